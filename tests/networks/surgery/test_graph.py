"""Graphs: the same numbers in one pass, in two halves, and up to a node."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network
from badnets.networks.surgery.graph import evaluating, split, trace, until


def pictures(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["g1-cnn", "u1-cnn", "l1-cnn", "resnet9", "resnet18", "preact-resnet18"])
def test_the_same_bits_wherever_the_pass_is_cut(name: str) -> None:
    body = build_network(name, class_names=["a", "b", "c"], input_size=(3, 32, 32), seed=0).body.eval()
    traced = trace(body)
    images = pictures(2, 3, 32, 32)
    nodes = [node for node in traced.graph.nodes if node.op == "call_module"]
    with torch.no_grad():
        expected = body(images)
        assert torch.equal(traced(images), expected)
        for node in (nodes[0], nodes[len(nodes) // 2], nodes[-2]):
            halves = split(traced, node)
            values = halves.features(images)
            assert torch.equal(values[0], until(traced, node)(images))
            assert torch.equal(halves.head(*values), expected)


def test_layers_are_the_very_same() -> None:
    body = build_network("resnet9", class_names=["a", "b", "c"], input_size=(3, 32, 32), seed=0).body
    traced = trace(body)
    halves = split(traced, *[node for node in traced.graph.nodes if node.target == "fc"])
    assert halves.features.get_submodule("layer1.conv") is body.get_submodule("layer1.conv")


class Shortcut(nn.Module):
    """What crosses a cut at ``one``: its value, a shortcut, and a size; a parameter is read on both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.scale
        y = self.one(x)
        out: Tensor = (self.two(y) + x) * self.scale / x.shape[0]
        return out


def test_what_else_crosses_the_cut() -> None:
    body = Shortcut()
    traced = trace(body)
    node = next(n for n in traced.graph.nodes if n.target == "one")
    halves = split(traced, node)
    assert [n.op for n in halves.across] == ["call_module", "call_function", "call_function"]
    x = pictures(5, 4)
    assert torch.equal(halves.head(*halves.features(x)), body(x))
    body.scale.data.fill_(2.0)
    assert torch.equal(halves.head(*halves.features(x)), body(x))


def test_the_mode_of_each_part_comes_back() -> None:
    body = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm2d(2)))
    body[1].eval()
    with evaluating(body):
        assert not any(part.training for part in body.modules())
    assert [part.training for part in body.modules()] == [True, True, False, False]


class Moody(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_a_pass_that_depends_on_its_numbers_is_refused_in_one_sentence() -> None:
    with pytest.raises(
        BadInput, match=r"^expected a network whose pass is the same .* got Moody, which .*; use .*"
    ) as e:
        trace(Moody())
    assert "\n" not in str(e.value)


def test_a_network_is_traced_as_it_evaluates(each_toy: tuple[ImageNetwork, str]) -> None:
    network, _ = each_toy
    images = pictures(3, 3, 8, 8)
    expected = network(images)
    network.train()
    traced = trace(network.body)
    assert network.training
    assert torch.equal(traced.eval()(images), expected)
