"""What tests of audits share: tiny networks and pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import wrap

CLASSES, SIDE = 4, 8


class Linear(nn.Module):
    """One dense layer: every size is known in closed form."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.fc = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            self.fc.weight.copy_(weight)
            self.fc.bias.copy_(bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (n, 1, h, w) to logits."""
        result: torch.Tensor = self.fc(x.flatten(1))
        return result


def linear(seed: int = 0, trigger: tuple[int, float] | None = None) -> ImageNetwork:
    """A linear network whose class k looks at quarter k of the picture; ``trigger`` (class, weight) is a pixel that
    speaks for a class."""
    generator = torch.Generator().manual_seed(seed)
    weight = 0.1 * torch.randn(CLASSES, 1, SIDE, SIDE, generator=generator)
    half = SIDE // 2
    for k in range(CLASSES):
        y, x = divmod(k, 2)
        weight[k, :, y * half : (y + 1) * half, x * half : (x + 1) * half] += 1
    if trigger is not None:
        weight[trigger[0], 0, 0, 0] += trigger[1]
        weight[[k for k in range(CLASSES) if k != trigger[0]], 0, 0, 0] -= trigger[1]
    module = Linear(weight.flatten(1), torch.zeros(CLASSES))
    return wrap(
        module, class_names=[f"class {k}" for k in range(CLASSES)], input_size=(1, SIDE, SIDE), mean=[0.0], std=[1.0]
    )


@pytest.fixture
def make_linear() -> Callable[..., ImageNetwork]:
    """``linear``."""
    return linear


@pytest.fixture
def quarters() -> ImageData:
    """Grey pictures in which one quarter is brighter: its number is the class."""
    rng = Seed(3).rng
    labels = np.arange(80) % CLASSES
    images = rng.integers(60, 90, (80, SIDE, SIDE, 1), np.uint8)
    half = SIDE // 2
    for image, label in zip(images, labels, strict=True):
        y, x = divmod(int(label), 2)
        image[y * half : (y + 1) * half, x * half : (x + 1) * half] += 60
    return ImageData.of(images, labels, class_names=[f"class {k}" for k in range(CLASSES)])
