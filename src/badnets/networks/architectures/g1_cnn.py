"""G1's network: two convolutions and two dense layers."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from badnets.networks.architecture import architecture, check_smallest
from badnets.networks.architectures.relu_pool import ReluAvgPool2d

KERNEL = 5
SMALLEST = 16  # below it the second pooling has nothing left to pool


def _pooled(side: int) -> int:
    """The side of the map after both convolutions and both poolings."""
    for _ in range(2):
        side = (side - KERNEL + 1) // 2
    return side


@architecture("g1-cnn", "G1's MNIST network: two convolutions, two dense layers")
def build(classes: int, input_size: tuple[int, int, int]) -> nn.Module:
    """Conv 16@5x5, average pool 2; conv 32@5x5, average pool 2; dense 512; dense ``classes``; ReLU between; no padding.

    ``input_size`` is (channels, height, width), 1x28x28 in the paper; at least 16x16, otherwise ``BadInput``.
    Parts are named ``conv1 pool1 conv2 pool2 flatten fc1 relu fc2`` (``pool1`` and ``pool2`` begin with their ReLU).
    The codes of the paper's figures are the output of ``relu``.

    Source: Gu, Dolan-Gavitt, Garg, BadNets: Identifying vulnerabilities in the machine learning model supply chain
    (2017), table 1.
    Differs from the paper: none at 1x28x28; at other sizes the first dense layer takes what the poolings leave.
    """
    channels, height, width = input_size
    check_smallest("g1-cnn", input_size, SMALLEST)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 16, KERNEL),
            pool1=ReluAvgPool2d(),
            conv2=nn.Conv2d(16, 32, KERNEL),
            pool2=ReluAvgPool2d(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(32 * _pooled(height) * _pooled(width), 512),
            relu=nn.ReLU(),
            fc2=nn.Linear(512, classes),
        )
    )
