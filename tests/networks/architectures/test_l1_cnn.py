"""L1's network: the study's numbers, its order of layers, and its arguments."""

from __future__ import annotations

import pytest
import torch
from torch import fx, nn

from badnets.core.errors import BadInput
from badnets.networks.architectures import l1_cnn

CONVOLUTIONS = ["conv1", "relu1", "bn1", "pool1", "drop1", "conv2", "relu2", "bn2", "conv3", "relu3", "bn3", "pool2"]
NAMES = [*CONVOLUTIONS, "drop2", "flatten", "fc1", "relu4", "bn4", "drop3", "fc2"]


def count(network: nn.Module) -> tuple[int, int]:
    """(weights, means and variances of batch norms)."""
    buffers = sum(value.numel() for name, value in network.named_buffers() if "running" in name)
    return sum(p.numel() for p in network.parameters()), buffers


def test_it_has_the_parameters_of_the_study() -> None:
    convolutions = (25 * 3 * 32 + 32) + (25 * 32 * 64 + 64) + (25 * 64 * 128 + 128)
    dense = (8 * 8 * 128 * 512 + 512) + (512 * 9 + 9)
    normalizations = 2 * (32 + 64 + 128 + 512)
    trained, kept = count(l1_cnn.build(9, (3, 32, 32)))
    assert trained == convolutions + dense + normalizations == 4_459_529
    assert kept == normalizations == 1_472
    assert trained + kept == 4_461_001


def test_layers_are_in_the_order_of_the_study_and_can_be_traced() -> None:
    network = l1_cnn.build(9, (3, 32, 32))
    assert [name for name, _ in network.named_children()] == NAMES
    traced = fx.symbolic_trace(network)
    assert [node.target for node in traced.graph.nodes if node.op == "call_module"] == NAMES


def test_the_last_convolution_sees_half_of_the_picture_and_keeps_its_size() -> None:
    network = l1_cnn.build(9, (3, 32, 32)).eval()
    assert isinstance(network, nn.Sequential)
    last = NAMES.index("relu3") + 1
    assert network[:last](torch.zeros(1, 3, 32, 32)).shape == (1, 128, 16, 16)


@pytest.mark.parametrize(("width", "channels"), [(0.5, [16, 32, 64]), (2.0, [64, 128, 256]), (0.01, [1, 1, 1])])
def test_width_multiplies_the_convolutions_alone(width: float, channels: list[int]) -> None:
    network = l1_cnn.build(5, (1, 13, 9), width=width, dropout=0.5)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in layers] == channels
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.5] * 3
    assert network.get_submodule("fc1").out_features == 512
    assert network.eval()(torch.zeros(2, 1, 13, 9)).shape == (2, 5)


def test_the_smallest_picture_is_as_documented() -> None:
    assert l1_cnn.build(3, (1, 4, 4)).eval()(torch.zeros(2, 1, 4, 4)).shape == (2, 3)
    with pytest.raises(BadInput, match="at least 4x4, got 4x3"):
        l1_cnn.build(3, (1, 4, 3))
