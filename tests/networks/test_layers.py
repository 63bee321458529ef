"""The layer table."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from badnets.networks.network import layer_table
from badnets.networks.registry import build_network, wrap


def test_g1_is_as_in_the_paper() -> None:
    network = build_network("g1-cnn", class_names=list("0123456789"), input_size=(1, 28, 28), seed=0)
    rows = layer_table(network)
    assert [(r["name"], r["kind"], r["output_shape"], r["parameters"]) for r in rows] == [
        ("conv1", "Conv2d", [16, 24, 24], 416),
        ("pool1", "ReluAvgPool2d", [16, 12, 12], 0),
        ("conv2", "Conv2d", [32, 8, 8], 12_832),
        ("pool2", "ReluAvgPool2d", [32, 4, 4], 0),
        ("flatten", "Flatten", [512], 0),
        ("fc1", "Linear", [512], 262_656),
        ("relu", "ReLU", [512], 0),
        ("fc2", "Linear", [10], 5_130),
        ("total", "Sequential", [10], 281_034),
    ]
    assert rows[-1]["trainable"] == 281_034


def test_frozen_layers_are_not_trainable() -> None:
    network = build_network("g1-cnn", class_names=["a", "b"], input_size=(1, 28, 28), seed=0)
    network.body.get_submodule("conv1").requires_grad_(False)
    assert [row["trainable"] for row in layer_table(network)][:4] == [0, 0, 12_832, 0]


def test_the_network_is_left_as_it_was() -> None:
    network = build_network("resnet9", class_names=["a", "b"], input_size=(3, 32, 32), seed=0).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    layer_table(network)
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_another_input_size_may_be_asked_for() -> None:
    network = build_network("resnet9", class_names=["a", "b"], input_size=(3, 32, 32), seed=0)
    assert layer_table(network, (3, 64, 64))[0]["output_shape"] == [16, 64, 64]


class Odd(nn.Module):
    """A layer passed twice, one never reached, a weight in two layers, and one that belongs to no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.unused = nn.Linear(4, 5)
        self.twice = nn.Linear(4, 4)
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.twice.weight
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(x).flatten(1) * self.scale
        result: Tensor = self.tied(self.twice(self.twice(x)))
        return result


def test_odd_networks() -> None:
    network = wrap(Odd(), class_names=list("abcd"), input_size=(4, 6, 6))
    rows = {row["name"]: row for row in layer_table(network)}
    assert rows["unused"]["output_shape"] is None
    assert (rows["twice"]["parameters"], rows["tied"]["parameters"], rows[""]["parameters"]) == (20, 0, 4)
    assert rows["pool"]["output_shape"] == [4, 1, 1]
    assert rows["total"]["parameters"] == 48 + 1 == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_any_precision(dtype: torch.dtype) -> None:
    network = build_network("g1-cnn", class_names=["a", "b"], input_size=(1, 28, 28), seed=0).to(dtype)
    assert layer_table(network)[-1]["output_shape"] == [2]
