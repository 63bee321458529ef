"""A residual network of nine layers that a CPU trains in seconds."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from badnets.networks.architecture import InputSize, architecture, chain, check_smallest

SMALLEST = 8  # three poolings by 2
Width = Annotated[int, Field(ge=1, le=256, description="channels of the first convolution; the last has 8 times those")]


def convolution(channels: int, out: int, *, stride: int = 1, pool: bool = False) -> nn.Sequential:
    """3x3 convolution, max pool 2 if asked for, batch norm, ReLU. The pooling comes before the normalization: with
    positive scales the result is nearly the same, at a quarter of the normalization's cost, which on a CPU is memory
    traffic and no small part of the whole."""
    filters = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
    pooling: dict[str, nn.Module] = {"pool": nn.MaxPool2d(2)} if pool else {}
    return chain(conv=filters, **pooling, bn=nn.BatchNorm2d(out), relu=nn.ReLU())


class Residual(nn.Module):
    """What came in plus two convolutions of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = convolution(channels, channels)
        self.conv2 = convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, channels, h, w) to the same shape."""
        result: Tensor = x + self.conv2(self.conv1(x))
        return result


@architecture("resnet9", "small residual network for 32x32, good on CPUs")
def build(classes: int, input_size: InputSize, *, width: Width = 16) -> nn.Module:
    """Eight 3x3 convolutions of w, 2w (2w 2w), 4w, 8w (8w 8w) channels, residual ones in brackets; dense ``classes``.

    w is ``width``. The convolutions to 2w, 4w and 8w halve the map; global max pool before the dense layer. At least
    8x8 pixels, otherwise ``BadInput``. Width 64 is the network of the DAWNBench entry; 16 has a sixteenth of its work.

    Source: the nine-layer residual network of Coleman et al., DAWNBench (2017), as D. Page's entry made it known.
    Differs from the paper: width 16 by default; pooling before normalization; logits are not scaled.
    """
    check_smallest("resnet9", input_size, SMALLEST)
    return chain(
        prep=convolution(input_size[0], width),
        layer1=convolution(width, 2 * width, pool=True),
        residual1=Residual(2 * width),
        layer2=convolution(2 * width, 4 * width, pool=True),
        layer3=convolution(4 * width, 8 * width, pool=True),
        residual2=Residual(8 * width),
        pool=nn.AdaptiveMaxPool2d(1),
        flatten=nn.Flatten(),
        fc=nn.Linear(8 * width, classes),
    )
