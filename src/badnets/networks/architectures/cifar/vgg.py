"""VGG for 32x32 pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from badnets.networks.architecture import InputSize, architecture, chain, check_smallest

SMALLEST = 32  # five poolings by 2
CHANNELS = (64, 128, 256, 512, 512)
CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""How many there are before each pooling, by depth."""

BatchNorm = Annotated[bool, Field(description="a batch norm behind each convolution")]
Dense = Annotated[Literal[1, 3], Field(description="dense layers; of three, two of 512 units have dropout")]


def _builder(depth: int) -> Callable[..., nn.Module]:
    def build(classes: int, input_size: InputSize, *, batch_norm: BatchNorm = True, dense: Dense = 1) -> nn.Module:
        """3x3 convolutions with ReLU, five times a few and a max pool 2; global average; dense ``classes``.

        At least 32x32 pixels, otherwise ``BadInput``. At 3 channels and 10 classes the defaults of VGG-16 have
        14,728,266 parameters; three dense layers without batch norm 15,245,130.

        Source: Simonyan, Zisserman, Very deep convolutional networks (2015), with the shapes and names of tensors of
        github.com/kuangliu/pytorch-cifar (one dense layer; csdongxian/ANP_backdoor and THUYimingLi/BackdoorBox have the
        same) and of github.com/chengyangfu/pytorch-vgg-cifar10 (three).
        Differs from the paper: 512 units in the dense layers, or one layer alone; batch norm; larger pictures end in a
        mean, for their dense layers would have other shapes.
        """
        check_smallest(f"cifar-vgg{depth}", input_size, SMALLEST)
        layers: list[nn.Module] = []
        channels = input_size[0]
        for out, count in zip(CHANNELS, CONVOLUTIONS[depth], strict=True):
            for _ in range(count):
                norm = [nn.BatchNorm2d(out)] if batch_norm else []
                layers += [nn.Conv2d(channels, out, 3, padding=1), *norm, nn.ReLU()]
                channels = out
            layers.append(nn.MaxPool2d(2))
        head: nn.Module = nn.Linear(channels, classes)
        if dense == 3:
            hidden = [part for _ in range(2) for part in (nn.Dropout(), nn.Linear(channels, channels), nn.ReLU())]
            head = nn.Sequential(*hidden, head)
        return chain(
            features=nn.Sequential(*layers), pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), classifier=head
        )

    return build


for _depth in CONVOLUTIONS:
    architecture(
        f"cifar-vgg{_depth}",
        "VGG for 32x32, of kuangliu/pytorch-cifar; dense=3 as in chengyangfu/pytorch-vgg-cifar10",
        family="cifar-vgg",
        spellings=("batch_norm=false", "dense=3", "batch_norm=false,dense=3"),
    )(_builder(_depth))
