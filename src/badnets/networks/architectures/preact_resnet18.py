"""PreAct-ResNet-18 with the stem for small pictures."""

from __future__ import annotations

from torch import Tensor, nn

from badnets.networks.architecture import InputSize, architecture, chain
from badnets.networks.architectures.resnet18 import Width, stages


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
        self.shortcut = nn.Conv2d(channels, out, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, channels, h, w) to (n, out, h / stride, w / stride)."""
        active = self.relu(self.bn1(x))
        # A changing shortcut branches off after the activation, an identity before it: the paper's figure 4(e).
        skipped = x if self.shortcut is None else self.shortcut(active)
        result: Tensor = skipped + self.conv2(self.relu(self.bn2(self.conv1(active))))
        return result


@architecture("preact-resnet18", "pre-activation ResNet-18 with the CIFAR stem")
def build(classes: int, input_size: InputSize, *, width: Width = 64) -> nn.Module:
    """Stem conv ``width``@3x3; four stages of two pre-activation blocks; global average; dense ``classes``.

    Any height and width from 1x1 up. 11,171,146 parameters at 3 channels, 10 classes and the default width: the
    variant that backdoor benchmarks train.

    Source: He, Zhang, Ren, Sun, Identity mappings in deep residual networks (2016).
    Differs from the paper: 18 layers with the CIFAR stem; no normalization after the last block.
    """
    return chain(
        conv=nn.Conv2d(input_size[0], width, 3, padding=1, bias=False),
        **stages(PreActBlock, width),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        fc=nn.Linear(8 * width, classes),
    )
