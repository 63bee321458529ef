"""The residual networks of the paper's own CIFAR-10 experiments: three stages of 16, 32 and 64 channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from badnets.networks.architecture import InputSize, architecture, chain
from badnets.networks.architectures.cifar.resnet import BasicBlock, head, stages

Width = Annotated[int, Field(ge=2, le=256, multiple_of=2, description="channels of the first stage")]
DEPTHS = (20, 32, 44, 56, 110)


class Padded(nn.Module):
    """Every second row and column, and ``more`` channels of zeros before the given ones and as many behind them."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self.more = more

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, c, h, w) to (n, c + 2 more, h / 2, w / 2), rounded up."""
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))


def block(channels: int, out: int, stride: int) -> nn.Module:
    """A block of two convolutions whose shortcut has no weights."""
    made = BasicBlock(channels, out, stride)
    if stride != 1:
        made.shortcut = Padded((out - channels) // 2)
    return made


def _builder(depth: int) -> Callable[..., nn.Module]:
    def build(classes: int, input_size: InputSize, *, width: Width = 16) -> nn.Module:
        """Conv ``width``@3x3; three stages of (depth - 2) / 6 residual blocks; global average; dense ``classes``.

        Any height and width from 1x1 up. At 3 channels, 10 classes and width 16, ResNet-20, 32, 44, 56 and 110 have
        269,722, 464,154, 658,586, 853,018 and 1,727,962 parameters.

        Source: He, Zhang, Ren, Sun, Deep residual learning for image recognition (2016), section 4.2, with the names of
        tensors and the zeros on both sides of github.com/akamaster/pytorch_resnet_cifar10.
        Differs from the paper: none (it does not say on which side the zeros are).
        """
        return chain(
            conv1=nn.Conv2d(input_size[0], width, 3, padding=1, bias=False),
            bn1=nn.BatchNorm2d(width),
            relu=nn.ReLU(),
            **stages(block, width, ((depth - 2) // 6,) * 3),
            **head(4 * width, classes),
        )

    return build


for _depth in DEPTHS:
    architecture(
        f"resnet{_depth}",
        "the paper's ResNets for CIFAR-10, shortcuts without weights, of akamaster/pytorch_resnet_cifar10",
        family="resnet20",
    )(_builder(_depth))
