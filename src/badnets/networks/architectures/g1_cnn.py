"""G1's network: two convolutions and two dense layers; and its layer that rectifies and pools in one step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from badnets.networks.architecture import InputSize, architecture, chain, check_smallest, pooled_side

KERNEL = 5
SMALLEST = 16  # below it the second pooling has nothing left to pool


class ReluAvgPool2d(nn.Module):
    """``avg_pool2d(relu(x), 2)`` with the same numbers, about five times faster on a CPU in channels-last memory.

    torch's average pooling is slow there. A depthwise convolution computes it in one pass, and its gradient is the
    pooled one repeated; together with the ReLU's that is three passes over memory. Odd sides (and anything but a CPU)
    take torch's own way. Gradients of gradients work.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) to (n, c, h // 2, w // 2)."""
        if images.device.type != "cpu" or images.shape[2] % 2 or images.shape[3] % 2:
            return functional.avg_pool2d(functional.relu(images), 2)
        pooled: Tensor = _ReluAvgPool.apply(images)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return pooled


class _ReluAvgPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        positive = images.relu()
        ctx.save_for_backward(positive)
        channels = images.shape[1]
        quarter = images.new_full((channels, 1, 2, 2), 0.25)
        return functional.conv2d(positive, quarter, stride=2, groups=channels)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (positive,) = ctx.saved_tensors
        repeated = functional.interpolate(gradients[0] * 0.25, scale_factor=2, mode="nearest")
        spread: Tensor = torch.ops.aten.threshold_backward(repeated, positive, 0)
        return spread


@architecture("g1-cnn", "G1's MNIST network: two convolutions, two dense layers")
def build(classes: int, input_size: InputSize) -> nn.Module:
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
    return chain(
        conv1=nn.Conv2d(channels, 16, KERNEL),
        pool1=ReluAvgPool2d(),
        conv2=nn.Conv2d(16, 32, KERNEL),
        pool2=ReluAvgPool2d(),
        flatten=nn.Flatten(),
        fc1=nn.Linear(32 * pooled_side(height, KERNEL, KERNEL) * pooled_side(width, KERNEL, KERNEL), 512),
        relu=nn.ReLU(),
        fc2=nn.Linear(512, classes),
    )
