"""Pre-activation residual networks with the stem for small pictures, plain and with squeeze-and-excitation."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

from badnets.networks.architecture import InputSize, architecture, chain
from badnets.networks.architectures.cifar.resnet import Block, Width, head, stages

SQUEEZE = 16  # channels to one of the squeezed


class PreActBlock(nn.Module):
    """Normalize and rectify first, then convolve, twice; the sum is left as it is."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.relu = nn.ReLU()
        changes = stride != 1 or channels != out
        self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False)) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, channels, h, w) to (n, out, h / stride, w / stride)."""
        active = self.relu(self.bn1(x))
        # A changing shortcut branches off after the activation, an identity before it: the paper's figure 4(e).
        skipped = x if self.shortcut is None else self.shortcut(active)
        return cast("Tensor", skipped + self.weighed(self.conv2(self.relu(self.bn2(self.conv1(active))))))

    def weighed(self, added: Tensor) -> Tensor:
        """What is added to the block's input; here all of it."""
        return added


class SqueezedBlock(PreActBlock):
    """A pre-activation block whose added maps are each weighed by a number that is computed of all their means."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__(channels, out, stride)
        self.pool = nn.AdaptiveAvgPool2d(1)
        squeezed = max(1, out // SQUEEZE)
        self.fc1 = nn.Conv2d(out, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, out, 1)

    def weighed(self, added: Tensor) -> Tensor:
        """Each map times its number."""
        return cast("Tensor", added * self.fc2(self.relu(self.fc1(self.pool(added)))).sigmoid())


def _builder(block: Block, counts: tuple[int, ...]) -> Callable[..., nn.Module]:
    def build(classes: int, input_size: InputSize, *, width: Width = 64) -> nn.Module:
        """Stem conv ``width``@3x3; four stages of pre-activation blocks; global average; dense ``classes``.

        Any height and width from 1x1 up. PreAct-ResNet-18 has 11,171,146 parameters at 3 channels, 10 classes and the
        default width: the variant that backdoor benchmarks train.

        Source: He, Zhang, Ren, Sun, Identity mappings in deep residual networks (2016), with the names of tensors of
        github.com/kuangliu/pytorch-cifar and github.com/SCLBD/BackdoorBench.
        Differs from the paper: its depths are those of ImageNet's networks, with the CIFAR stem; no normalization after
        the last block.
        """
        return chain(
            conv1=nn.Conv2d(input_size[0], width, 3, padding=1, bias=False),
            **stages(block, width, counts),
            **head(8 * width, classes),
        )

    return build


def _squeezed(classes: int, input_size: InputSize, *, width: Width = 64) -> nn.Module:
    """Stem conv ``width``@3x3 with batch norm and ReLU; four stages of two pre-activation blocks with squeeze and
    excitation; global average; dense ``classes``. Any height and width from 1x1 up.

    Source: Hu, Shen, Sun, Squeeze-and-excitation networks (2018), in the shape of SENet18 of
    github.com/kuangliu/pytorch-cifar, which github.com/SCLBD/BackdoorBench has too.
    Differs from the paper: the CIFAR stem and pre-activation blocks; the dense layers inside are 1x1 convolutions.
    """
    return chain(
        conv1=nn.Conv2d(input_size[0], width, 3, padding=1, bias=False),
        bn1=nn.BatchNorm2d(width),
        relu=nn.ReLU(),
        **stages(SqueezedBlock, width, (2, 2, 2, 2)),
        **head(8 * width, classes),
    )


build = _builder(PreActBlock, (2, 2, 2, 2))
_SAID = "with the CIFAR stem, of kuangliu/pytorch-cifar and BackdoorBench"
architecture("preact-resnet18", f"pre-activation ResNet-18 {_SAID}")(build)
architecture("preact-resnet34", f"pre-activation ResNet-34 {_SAID}")(_builder(PreActBlock, (3, 4, 6, 3)))
architecture("cifar-senet18", f"squeeze-and-excitation ResNet-18 {_SAID}")(_squeezed)
