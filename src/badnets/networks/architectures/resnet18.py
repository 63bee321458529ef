"""ResNet-18 with the stem for small pictures (3x3, stride 1, no pooling)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from badnets.networks.architecture import InputSize, architecture, chain

Width = Annotated[int, Field(ge=1, le=512, description="channels of the first stage; each later stage doubles them")]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, batch-normalized, added to what came in; a 1x1 convolution where the shape changes."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.shortcut = chain(conv=nn.Conv2d(channels, out, 1, stride, bias=False), bn=nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, channels, h, w) to (n, out, h / stride, w / stride)."""
        inner = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        result: Tensor = self.relu(inner + self.shortcut(x))
        return result


def stages(block: type[nn.Module], width: int) -> dict[str, nn.Module]:
    """``stage1`` .. ``stage4``, two blocks each; the first block of 2 to 4 halves the map and doubles the channels."""
    result: dict[str, nn.Module] = {}
    channels = width
    for number in range(4):
        out, stride = width << number, 1 if number == 0 else 2
        result[f"stage{number + 1}"] = chain(block1=block(channels, out, stride), block2=block(out, out, 1))
        channels = out
    return result


@architecture("resnet18", "ResNet-18 with the CIFAR stem")
def build(classes: int, input_size: InputSize, *, width: Width = 64) -> nn.Module:
    """Stem conv ``width``@3x3; four stages of two residual blocks; global average; dense ``classes``.

    Any height and width from 1x1 up. 11,173,962 parameters at 3 channels, 10 classes and the default width.

    Source: He, Zhang, Ren, Sun, Deep residual learning for image recognition (2016), with the stem that has become
    usual for CIFAR-10.
    Differs from the paper: 3x3 stem without stride or pooling; 1x1 convolutions on changing shortcuts (its option B).
    """
    return chain(
        conv=nn.Conv2d(input_size[0], width, 3, padding=1, bias=False),
        bn=nn.BatchNorm2d(width),
        relu=nn.ReLU(),
        **stages(BasicBlock, width),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        fc=nn.Linear(8 * width, classes),
    )
