from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.defenses.repair import DefenderView, repair
from badnets.defenses.repairs.clp import Clp, Part, channel_layers
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network


def named(body: nn.Module, channels: int = 1) -> ImageNetwork:
    return ImageNetwork(
        body, architecture="t", arguments={}, class_names=("a", "b"), input_size=(channels, 8, 8)
    ).eval()


def test_the_bound_by_hand() -> None:
    # Kernel of 2 inputs and 1x2 positions, as a matrix ((3, 0), (0, 4)) and ((1, 2), (2, 4)): largest singular values
    # 4 and 5; times |-2| / sqrt(3 + 1) and 0.5 / sqrt(24 + 1).
    convolution, norm = nn.Conv2d(2, 2, (1, 2)), nn.BatchNorm2d(2, eps=1.0)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([[[[3.0, 0.0]], [[0.0, 4.0]]], [[[1.0, 2.0]], [[2.0, 4.0]]]]))
        norm.weight.copy_(torch.tensor([-2.0, 0.5]))
        norm.running_var.copy_(torch.tensor([3.0, 24.0]))
    assert Part("bn", convolution, norm).bounds().tolist() == pytest.approx([4.0, 0.5])
    assert Part("conv", convolution, None).bounds().tolist() == pytest.approx([4.0, 5.0])


def test_one_loud_channel_is_silenced_shift_included() -> None:
    torch.manual_seed(0)
    body: Any = nn.Sequential(nn.Conv2d(1, 20, 3), nn.ReLU(), nn.BatchNorm2d(20), nn.Flatten(), nn.Linear(20 * 36, 2))
    with torch.no_grad():
        body[0].weight[7] *= 40
        body[2].bias.fill_(1.0)
    network = named(body)
    done = repair(DefenderView(network=network), Clp())
    norm: Any = done.network.body.get_submodule("2")
    assert norm.weight[7] == norm.bias[7] == 0
    assert (norm.weight != 0).sum() == (norm.bias != 0).sum() == 19
    assert torch.equal(done.network.body.get_submodule("0").weight, body[0].weight)
    assert done.trace[0]["channels"] == {"2": [7]}
    assert "no data" in done.chosen


def test_without_batch_norm_the_kernel_alone_counts() -> None:
    torch.manual_seed(0)
    body: Any = nn.Sequential(nn.Conv2d(1, 20, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20 * 36, 2))
    with torch.no_grad():
        body[0].weight[7] *= 40
    done = repair(DefenderView(network=named(body)), Clp())
    layer: Any = done.network.body.get_submodule("0")
    assert layer.weight[7].abs().max() == 0
    assert layer.bias[7] == 0
    assert "kernels alone" in done.chosen


class Swapped(nn.Module):
    """The batch norm defined after ``late`` gets what ``early`` gives, and the other one a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.early, self.late = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.summed = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.out = nn.Linear(4 * 64, 2)

    def forward(self, x: Tensor) -> Tensor:
        first = self.norm(torch.relu(self.early(x)))
        both: Tensor = self.out(self.summed(first + self.late(first)).flatten(1))
        return both


def test_pairs_come_from_the_graph() -> None:
    body = Swapped()
    parts = {part.name: part for part in channel_layers(named(body))}
    assert parts["norm"].convolution is body.early
    assert parts["late"].norm is None
    assert set(parts) == {"norm", "late"}


@pytest.mark.parametrize(
    ("name", "norms", "alone"),
    [("resnet9", 8, 0), ("l1-cnn", 3, 0), ("g1-cnn", 0, 2), ("preact-resnet18", 9, 11), ("resnet18", 20, 0)],
)
def test_pairs_in_our_networks(name: str, norms: int, alone: int) -> None:
    network = build_network(name, class_names=("a", "b"), input_size=(3, 32, 32), seed=0, arguments={})
    parts = channel_layers(network)
    assert sum(part.norm is not None for part in parts) == norms
    assert sum(part.norm is None for part in parts) == alone


def test_u_by_clean_accuracy(view: DefenderView) -> None:
    done = repair(view, Clp(u=None, allowance=0.05))
    assert done.pictures == 120
    assert "by accuracy on all 120 clean pictures" in done.chosen
    first, last = done.trace[0], done.trace[-1]
    assert first["u"] == 6.0
    assert first["accuracy"]["hits"] - last["accuracy"]["hits"] <= 6


def test_no_convolution() -> None:
    network = named(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)))
    with pytest.raises(BadInput, match="clp: expected a network with convolutions"):
        repair(DefenderView(network=network), Clp())
