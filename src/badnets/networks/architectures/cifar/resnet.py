"""Residual networks with the stem for small pictures (3x3, stride 1, no pooling)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from badnets.networks.architecture import InputSize, architecture, chain

Width = Annotated[int, Field(ge=1, le=512, description="channels of the first stage; each later stage doubles them")]
Block = Callable[[int, int, int], nn.Module]


def projection(channels: int, out: int, stride: int) -> nn.Module:
    """A 1x1 convolution and a batch norm where the shape changes, else what came in."""
    if stride == 1 and channels == out:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, batch-normalized, added to what came in; a 1x1 convolution where the shape changes."""

    expansion = 1

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU()
        self.shortcut = projection(channels, out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, channels, h, w) to (n, out, h / stride, w / stride)."""
        inner = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        result: Tensor = self.relu(inner + self.shortcut(x))
        return result


class Bottleneck(nn.Module):
    """1x1, 3x3 (which has the stride) and 1x1 convolutions, the last to 4 ``out`` channels, added to what came in."""

    expansion = 4

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.conv3 = nn.Conv2d(out, 4 * out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * out)
        self.relu = nn.ReLU()
        self.shortcut = projection(channels, 4 * out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, channels, h, w) to (n, 4 out, h / stride, w / stride)."""
        inner = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        result: Tensor = self.relu(self.bn3(self.conv3(inner)) + self.shortcut(x))
        return result


def stages(block: Block, width: int, counts: tuple[int, ...], expansion: int = 1) -> dict[str, nn.Module]:
    """``layer1``, ``layer2``, ... of so many blocks each; the first block of all but the first halves the map and
    doubles the channels."""
    result: dict[str, nn.Module] = {}
    channels = width
    for number, count in enumerate(counts):
        out = width << number
        blocks = []
        for index in range(count):
            blocks.append(block(channels, out, 2 if number and not index else 1))
            channels = out * expansion
        result[f"layer{number + 1}"] = nn.Sequential(*blocks)
    return result


def head(channels: int, classes: int) -> dict[str, nn.Module]:
    """The end of these networks: the mean of each map, and a dense layer."""
    return {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "linear": nn.Linear(channels, classes)}


def _builder(block: type[BasicBlock | Bottleneck], counts: tuple[int, ...]) -> Callable[..., nn.Module]:
    def build(classes: int, input_size: InputSize, *, width: Width = 64) -> nn.Module:
        """Stem conv ``width``@3x3; four stages of residual blocks; global average; dense ``classes``.

        Any height and width from 1x1 up. ResNet-18 has 11,173,962 parameters at 3 channels, 10 classes and the default
        width.

        Source: He, Zhang, Ren, Sun, Deep residual learning for image recognition (2016), with the stem that has become
        usual for CIFAR-10, and the names of tensors of github.com/kuangliu/pytorch-cifar.
        Differs from the paper: 3x3 stem without stride or pooling; 1x1 convolutions on changing shortcuts (option B).
        """
        return chain(
            conv1=nn.Conv2d(input_size[0], width, 3, padding=1, bias=False),
            bn1=nn.BatchNorm2d(width),
            relu=nn.ReLU(),
            **stages(block, width, counts, block.expansion),
            **head(8 * width * block.expansion, classes),
        )

    return build


build = _builder(BasicBlock, (2, 2, 2, 2))
_SAID = "with the CIFAR stem, of kuangliu/pytorch-cifar"
architecture("resnet18", f"ResNet-18 {_SAID}")(build)
_DEEPER = {
    "cifar-resnet34": _builder(BasicBlock, (3, 4, 6, 3)),
    "cifar-resnet50": _builder(Bottleneck, (3, 4, 6, 3)),
    "cifar-resnet101": _builder(Bottleneck, (3, 4, 23, 3)),
}
for _name, _build in _DEEPER.items():
    architecture(_name, f"deeper ResNets {_SAID}", family="cifar-resnet")(_build)
