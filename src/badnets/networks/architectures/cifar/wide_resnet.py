"""Wide residual networks, ``wrn-DEPTH-WIDTH``."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.networks.architecture import ARCHITECTURES, Architecture, InputSize, chain

Dropout = Annotated[float, Field(ge=0, lt=1, description="share dropped between the two convolutions of a block")]
Layout = Annotated[
    Literal["block", "layer"],
    Field(description="tensors named block1.layer.0 and fc; or layer1.0 and linear, with biases"),
]
PUBLISHED = ((10, 1), (10, 2), (16, 1), (16, 2), (16, 4), (28, 2), (28, 10), (34, 10), (40, 1), (40, 2), (40, 4))
MOST_BLOCKS, WIDEST = 200, 64
_NAME = re.compile(r"wrn-(\d{1,4})-(\d{1,4})")


class WideBlock(nn.Module):
    """Normalize and rectify first, then convolve, twice. A changing shortcut branches off after the activation."""

    def __init__(self, channels: int, out: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.convShortcut = None if channels == out else nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, channels, h, w) to (n, out, h / stride, w / stride)."""
        active = self.relu(self.bn1(x))
        skipped = x if self.convShortcut is None else self.convShortcut(active)
        result: Tensor = skipped + self.conv2(self.dropout(self.relu(self.bn2(self.conv1(active)))))
        return result


class BiasedBlock(nn.Module):
    """The same with biases, the stride in the second convolution, and a shortcut of what came in, not activated."""

    def __init__(self, channels: int, out: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.bn2 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, stride, padding=1)
        changes = stride != 1 or channels != out
        self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride)) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, channels, h, w) to (n, out, h / stride, w / stride)."""
        inner = self.dropout(self.conv1(self.relu(self.bn1(x))))
        result: Tensor = self.conv2(self.relu(self.bn2(inner))) + self.shortcut(x)
        return result


def wide_resnet(depth: int, width: int) -> Architecture:
    """The network of ``depth`` = 6 n + 4 layers, ``width`` times as wide as the thin one. Raises ``BadInput`` for other
    depths, or more than 200 blocks a stage or 64 times the width."""
    blocks, rest = divmod(depth - 4, 6)
    if rest or not (1 <= blocks <= MOST_BLOCKS and 1 <= width <= WIDEST):
        got = f"wrn-{depth}-{width}"
        raise BadInput(f"expected wrn-DEPTH-WIDTH of depth 10, 16, 22, 28, ... and width 1 to {WIDEST}, got {got!r}")

    def build(classes: int, input_size: InputSize, *, layout: Layout = "block", dropout: Dropout = 0.0) -> nn.Module:
        """Conv 16@3x3; three stages of blocks with 16, 32 and 64 times the width; batch norm, ReLU, global average;
        dense ``classes``.

        Any height and width from 1x1 up. At 3 channels and 10 classes wrn-16-1 has 175,066 parameters, wrn-40-2
        2,243,546 and wrn-28-10 36,479,194.

        Source: Zagoruyko, Komodakis, Wide residual networks (2016). ``layout`` "block": github.com/xternalz/
        WideResNet-pytorch, which github.com/bboylyg/NAD and other work on backdoors use; "layer": github.com/meliketoy/
        wide-resnet.pytorch, with that repository's biases, strides and shortcuts.
        Differs from the paper: PyTorch's initial weights.
        """
        block, container, last = (WideBlock, "block", "fc") if layout == "block" else (BiasedBlock, "layer", "linear")
        stages: dict[str, nn.Module] = {}
        channels = 16
        for number in range(3):
            out = (16 << number) * width
            units = []
            for index in range(blocks):
                units.append(block(channels, out, 2 if number and not index else 1, dropout))
                channels = out
            stage = nn.Sequential(*units)
            stages[f"{container}{number + 1}"] = chain(layer=stage) if layout == "block" else stage
        return chain(
            conv1=nn.Conv2d(input_size[0], 16, 3, padding=1, bias=layout == "layer"),
            **stages,
            bn1=nn.BatchNorm2d(channels),
            relu=nn.ReLU(),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            **{last: nn.Linear(channels, classes)},
        )

    return Architecture(
        name=f"wrn-{depth}-{width}",
        summary="wide ResNets, wrn-DEPTH-WIDTH, of xternalz/WideResNet-pytorch, NAD and others",
        build=build,
        family="wrn",
        spellings=("layout=layer",),
    )


@ARCHITECTURES.pattern
def named(name: str) -> Architecture | None:
    """Any other depth and width: ``wrn-22-8``."""
    found = _NAME.fullmatch(name)
    return None if found is None else wide_resnet(int(found[1]), int(found[2]))


for _sizes in PUBLISHED:
    ARCHITECTURES.add(wide_resnet(*_sizes))
