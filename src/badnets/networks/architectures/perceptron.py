"""The network without convolutions that every course begins with."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from badnets.networks.architecture import InputSize, architecture, chain

Width = Annotated[int, Field(ge=1, le=4096, description="of each hidden layer")]
Depth = Annotated[int, Field(ge=0, le=16, description="hidden layers")]


@architecture("perceptron", "dense layers alone, as in first lessons")
def build(classes: int, input_size: InputSize, *, width: Width = 128, depth: Depth = 1) -> nn.Module:
    """``depth`` dense layers of ``width`` with ReLU, and dense ``classes``; pictures of any size.

    Parts are named ``flatten fc1 relu1 fc2 ... fcN``.

    Source: Rumelhart, Hinton, Williams, Learning representations by back-propagating errors (1986).
    Differs from the paper: ReLU.
    """
    channels, height, wide = input_size
    layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    inputs = channels * height * wide
    for number in range(1, depth + 1):
        layers |= {f"fc{number}": nn.Linear(inputs, width), f"relu{number}": nn.ReLU()}
        inputs = width
    return chain(**layers, **{f"fc{depth + 1}": nn.Linear(inputs, classes)})
