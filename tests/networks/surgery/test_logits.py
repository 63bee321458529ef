"""Logits before a softmax, that do not saturate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from badnets.networks.network import ImageNetwork, LogProbabilities
from badnets.networks.surgery.logits import before_softmax


class Functional(nn.Module):
    """A softmax that is a function."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(48, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities."""
        result: Tensor = torch.softmax(self.fc(x.flatten(1)), 1)
        return result


def network(module: nn.Module) -> ImageNetwork:
    return ImageNetwork(
        LogProbabilities(module), architecture="custom", arguments={}, class_names="abc", input_size=(3, 4, 4)
    )


@pytest.mark.parametrize(
    "module", [nn.Sequential(nn.Flatten(), nn.Linear(48, 3), nn.Softmax(1)), Functional()], ids=["module", "function"]
)
def test_logits_before_a_softmax(module: nn.Module) -> None:
    with torch.no_grad():
        next(p for p in module.parameters() if p.ndim == 2).mul_(500)
    saturated = network(module)
    images = torch.rand(5, 3, 4, 4)
    before, after = saturated(images), before_softmax(saturated)(images)
    assert (before.min(1).values == before.min()).sum() > 1  # cut at the smallest number
    assert len(after.unique()) == after.numel()
    assert torch.equal(before.argmax(1), after.argmax(1))


def test_others_stay_as_they_are() -> None:
    bare = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    assert before_softmax(one := network(bare)) is one
    plain = ImageNetwork(bare, architecture="custom", arguments={}, class_names="abc", input_size=(3, 4, 4))
    assert before_softmax(plain) is plain
