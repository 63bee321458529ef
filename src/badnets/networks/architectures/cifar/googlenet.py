"""GoogLeNet for 32x32 pictures."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from badnets.networks.architecture import InputSize, architecture, chain

Widths = tuple[int, int, int, int, int, int]
FIRST: dict[str, Widths] = {"a3": (64, 96, 128, 16, 32, 32), "b3": (128, 128, 192, 32, 96, 64)}
SECOND: dict[str, Widths] = {
    "a4": (192, 96, 208, 16, 48, 64),
    "b4": (160, 112, 224, 24, 64, 64),
    "c4": (128, 128, 256, 24, 64, 64),
    "d4": (112, 144, 288, 32, 64, 64),
    "e4": (256, 160, 320, 32, 128, 128),
}
THIRD: dict[str, Widths] = {"a5": (256, 160, 320, 32, 128, 128), "b5": (384, 192, 384, 48, 128, 128)}
"""Channels of the four branches: 1x1; 3x3 and before it; 5x5 and before it; behind the pooling."""


def _normalized(channels: int, out: int, side: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Conv2d(channels, out, side, padding=side // 2), nn.BatchNorm2d(out), nn.ReLU()


class Inception(nn.Module):
    """Four ways beside each other; two 3x3 convolutions stand for the 5x5."""

    def __init__(self, channels: int, widths: Widths) -> None:
        super().__init__()
        one, before_three, three, before_five, five, pooled = widths
        self.out = one + three + five + pooled
        self.b1 = nn.Sequential(*_normalized(channels, one, 1))
        self.b2 = nn.Sequential(*_normalized(channels, before_three, 1), *_normalized(before_three, three, 3))
        self.b3 = nn.Sequential(
            *_normalized(channels, before_five, 1), *_normalized(before_five, five, 3), *_normalized(five, five, 3)
        )
        self.b4 = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), *_normalized(channels, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, channels, h, w) to (n, out, h, w)."""
        return torch.cat([self.b1(x), self.b2(x), self.b3(x), self.b4(x)], 1)


@architecture("cifar-googlenet", "GoogLeNet for 32x32, of kuangliu/pytorch-cifar")
def build(classes: int, input_size: InputSize) -> nn.Module:
    """Conv 192@3x3; nine inception modules with two poolings between them; global average; dense ``classes``.

    Any height and width from 1x1 up. 6,166,250 parameters at 3 channels and 10 classes.

    Source: Szegedy et al., Going deeper with convolutions (2015), with the shapes and names of tensors of github.com/
    kuangliu/pytorch-cifar.
    Differs from the paper: one convolution as stem; batch norm; two 3x3 convolutions for the 5x5; no heads between; no
    dropout.
    """
    parts: dict[str, nn.Module] = {}
    channels = 192
    for pool, group in (("", FIRST), ("pool3", SECOND), ("pool4", THIRD)):
        if pool:
            parts[pool] = nn.MaxPool2d(3, 2, padding=1)
        for name, widths in group.items():
            module = Inception(channels, widths)
            parts[name], channels = module, module.out
    return chain(
        pre_layers=nn.Sequential(*_normalized(input_size[0], 192, 3)),
        **parts,
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        linear=nn.Linear(channels, classes),
    )
