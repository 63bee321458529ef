"""DenseNet for 32x32 pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from badnets.networks.architecture import InputSize, architecture, chain, check_smallest

SMALLEST = 8  # three poolings by 2
BLOCKS = {121: (6, 12, 24, 16), 161: (6, 12, 36, 24), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
Growth = Annotated[int, Field(ge=1, le=96, description="channels that each block adds; 12 is densenet_cifar")]


class DenseBlock(nn.Module):
    """1x1 to 4 ``growth`` channels and 3x3 to ``growth``, each normalized and rectified first, before what came in."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, channels, h, w) to (n, growth + channels, h, w)."""
        inner = self.conv1(self.relu(self.bn1(x)))
        return torch.cat([self.conv2(self.relu(self.bn2(inner))), x], 1)


def _transition(channels: int, out: int) -> nn.Module:
    return chain(
        bn=nn.BatchNorm2d(channels),
        relu=nn.ReLU(),
        conv=nn.Conv2d(channels, out, 1, bias=False),
        pool=nn.AvgPool2d(2),
    )


def _dense(classes: int, input_size: InputSize, counts: tuple[int, ...], growth: int) -> nn.Module:
    check_smallest("cifar-densenet", input_size, SMALLEST)
    parts: dict[str, nn.Module] = {}
    channels = 2 * growth
    for number, count in enumerate(counts, 1):
        blocks = [DenseBlock(channels + index * growth, growth) for index in range(count)]
        parts[f"dense{number}"] = nn.Sequential(*blocks)
        channels += count * growth
        if number < len(counts):
            parts[f"trans{number}"] = _transition(channels, channels // 2)
            channels //= 2
    return chain(
        conv1=nn.Conv2d(input_size[0], 2 * growth, 3, padding=1, bias=False),
        **parts,
        bn=nn.BatchNorm2d(channels),
        relu=nn.ReLU(),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        linear=nn.Linear(channels, classes),
    )


def _builder(counts: tuple[int, ...], usual: int) -> Callable[..., nn.Module]:
    def build(classes: int, input_size: InputSize, *, growth: Growth = usual) -> nn.Module:
        """Conv 3x3; four stages of dense blocks, halved in channels and size between them; global average; dense
        ``classes``.

        At least 8x8 pixels, otherwise ``BadInput``. At 3 channels and 10 classes DenseNet-121 has 6,956,298 parameters,
        and 1,000,618 with growth 12.

        Source: Huang, Liu, van der Maaten, Weinberger, Densely connected convolutional networks (2017), with the shapes
        and names of tensors of github.com/kuangliu/pytorch-cifar.
        Differs from the paper: ImageNet's depths with a stem for small pictures.
        """
        return _dense(classes, input_size, counts, growth)

    return build


for _depth, _counts in BLOCKS.items():
    architecture(
        f"cifar-densenet{_depth}",
        "DenseNet for 32x32, of kuangliu/pytorch-cifar; growth=12 is its densenet_cifar",
        family="cifar-densenet",
        spellings=("growth=12",) if _depth == 121 else (),
    )(_builder(_counts, 48 if _depth == 161 else 32))
