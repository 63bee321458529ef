"""C1's face network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from badnets.core.errors import BadInput
from badnets.networks.architecture import ARCHITECTURES
from badnets.networks.architectures.deepid import DeepID, build
from badnets.networks.network import layer_table
from badnets.networks.registry import build_network


def test_the_count_of_parameters_is_the_studys() -> None:
    body = build(1283, (3, 55, 47))
    assert sum(p.numel() for p in body.parameters()) == 601_643
    assert ARCHITECTURES["deepid"].input_size == (3, 55, 47)


def test_layers_have_the_names_and_shapes_of_the_study() -> None:
    network = build_network("deepid", class_names=["a", "b"], input_size=(3, 55, 47), seed=0)
    shapes = {row["name"]: row["output_shape"] for row in layer_table(network)}
    assert shapes["conv_1"] == [20, 52, 44]
    assert shapes["pool_3"] == [60, 5, 4]
    assert shapes["flatten_1"] == [1200]
    assert shapes["conv_4"] == [80, 4, 3]
    assert shapes["flatten_2"] == [960]
    assert shapes["fc_1"] == shapes["fc_2"] == [160]
    assert shapes["total"] == [2]


def test_branches_are_added_before_the_relu() -> None:
    body = build(2, (3, 55, 47))
    assert isinstance(body, DeepID)
    with torch.no_grad():
        for branch, value in ((body.fc_1, 3.0), (body.fc_2, -2.0)):
            branch.weight.zero_()
            branch.bias.fill_(value)
        body.output.weight.fill_(1.0)
        body.output.bias.zero_()
    assert body(torch.rand(1, 3, 55, 47)).tolist() == [[160.0, 160.0]]  # relu(3 - 2) = 1; relus apart would give 3


def test_it_can_be_traced() -> None:
    body = build(3, (1, 31, 33)).eval()
    pictures = torch.rand(2, 1, 31, 33)
    traced: nn.Module = torch.fx.symbolic_trace(body)
    assert torch.equal(traced(pictures), body(pictures))


@pytest.mark.parametrize("size", [(3, 30, 47), (3, 55, 30)])
def test_small_pictures_are_refused(size: tuple[int, int, int]) -> None:
    with pytest.raises(BadInput, match="deepid: expected pictures of at least 31x31"):
        build(3, size)
