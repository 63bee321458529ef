"""L1's network for traffic signs: three convolutions and two dense layers, with batch norm and dropout."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from badnets.networks.architecture import InputSize, architecture, chain, check_smallest

KERNEL = 5
SMALLEST = 4  # two poolings by 2
FILTERS = (32, 64, 128)
UNITS = 512

Width = Annotated[float, Field(gt=0, le=4, description="multiplies the channels of all three convolutions")]
Dropout = Annotated[float, Field(ge=0, lt=1, description="share dropped after each pooling and after the dense layer")]


def _convolution(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, KERNEL, padding=KERNEL // 2)


@architecture("l1-cnn", "L1's traffic-sign network: three convolutions, batch norm")
def build(classes: int, input_size: InputSize, *, width: Width = 1.0, dropout: Dropout = 0.25) -> nn.Module:
    """Conv 32@5x5, max pool 2, dropout; conv 64@5x5, conv 128@5x5, max pool 2, dropout; dense 512, dropout; dense
    ``classes``.

    ReLU and then batch norm after each convolution and after the first dense layer; the convolutions keep the size
    ("same" padding). ``width`` multiplies 32, 64 and 128 (rounded, at least 1); the dense layer keeps its 512 units.
    ``input_size`` is (channels, height, width), 3x32x32 in the study, at least 4x4, otherwise ``BadInput``. Parts are
    named ``conv1 relu1 bn1 pool1 drop1 conv2 relu2 bn2 conv3 relu3 bn3 pool2 drop2 flatten fc1 relu4 bn4 drop3 fc2``.
    At 3x32x32 and 9 classes it has 4,459,529 weights, and 1,472 means and variances of the batch norms: the 4,461,001
    that Keras counts.

    Source: study L1, a repetition of Liu, Dolan-Gavitt, Garg, Fine-Pruning (2018), on German traffic signs.
    Differs from the paper: PyTorch's initial weights and batch norm constants (epsilon 1e-5, momentum 0.1) in place of
    Keras's; the study does not say how much is dropped: 0.25.
    """
    channels, height, wide = input_size
    check_smallest("l1-cnn", input_size, SMALLEST)
    first, second, third = (max(1, round(width * filters)) for filters in FILTERS)
    return chain(
        conv1=_convolution(channels, first),
        relu1=nn.ReLU(),
        bn1=nn.BatchNorm2d(first),
        pool1=nn.MaxPool2d(2),
        drop1=nn.Dropout(dropout),
        conv2=_convolution(first, second),
        relu2=nn.ReLU(),
        bn2=nn.BatchNorm2d(second),
        conv3=_convolution(second, third),
        relu3=nn.ReLU(),
        bn3=nn.BatchNorm2d(third),
        pool2=nn.MaxPool2d(2),
        drop2=nn.Dropout(dropout),
        flatten=nn.Flatten(),
        fc1=nn.Linear(third * (height // 4) * (wide // 4), UNITS),
        relu4=nn.ReLU(),
        bn4=nn.BatchNorm1d(UNITS),
        drop3=nn.Dropout(dropout),
        fc2=nn.Linear(UNITS, classes),
    )
