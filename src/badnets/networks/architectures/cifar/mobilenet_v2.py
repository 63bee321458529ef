"""MobileNetV2 for 32x32 pictures."""

from __future__ import annotations

from torch import Tensor, nn

from badnets.networks.architecture import InputSize, architecture, chain

STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and first stride."""


class Inverted(nn.Module):
    """1x1 to more channels, 3x3 for each channel alone, 1x1 back; added to what came in at stride 1."""

    def __init__(self, channels: int, out: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = expansion * channels
        self.conv1 = nn.Conv2d(channels, wide, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, stride, padding=1, groups=wide, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.conv3 = nn.Conv2d(wide, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module | None = None
        if stride == 1:
            changed = nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out))
            self.shortcut = nn.Identity() if channels == out else changed

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, channels, h, w) to (n, out, h / stride, w / stride)."""
        inner = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        result: Tensor = self.bn3(self.conv3(inner))
        return result if self.shortcut is None else result + self.shortcut(x)


@architecture("cifar-mobilenet-v2", "MobileNetV2 for 32x32, of kuangliu/pytorch-cifar")
def build(classes: int, input_size: InputSize) -> nn.Module:
    """Conv 32@3x3; 17 inverted blocks; conv 1280@1x1; global average; dense ``classes``.

    Any height and width from 1x1 up. 2,296,922 parameters at 3 channels and 10 classes.

    Source: Sandler et al., MobileNetV2 (2018), with the shapes and names of tensors of github.com/kuangliu/
    pytorch-cifar, which github.com/csdongxian/ANP_backdoor has too.
    Differs from the paper: ReLU in place of ReLU6; strides 1 in the stem and the second stage; shortcuts with a
    convolution where the channels change and the map does not; no dropout.
    """
    blocks = []
    channels = 32
    for expansion, out, count, first in STAGES:
        for index in range(count):
            blocks.append(Inverted(channels, out, expansion, 1 if index else first))
            channels = out
    return chain(
        conv1=nn.Conv2d(input_size[0], 32, 3, padding=1, bias=False),
        bn1=nn.BatchNorm2d(32),
        relu1=nn.ReLU(),
        layers=nn.Sequential(*blocks),
        conv2=nn.Conv2d(channels, 1280, 1, bias=False),
        bn2=nn.BatchNorm2d(1280),
        relu2=nn.ReLU(),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        linear=nn.Linear(1280, classes),
    )
