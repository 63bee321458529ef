"""Small networks whose channels take every way that a channel can take."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from badnets.networks.architectures.g1_cnn import ReluAvgPool2d
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import wrap

SIZE = (3, 8, 8)


def chain(*layers: tuple[str, nn.Module]) -> nn.Module:
    """Layers in a row, by name."""
    return nn.Sequential(OrderedDict(layers))


def norm_before() -> nn.Module:
    """conv -> norm -> ReLU -> pool."""
    return chain(
        ("conv", nn.Conv2d(3, 6, 3)), ("bn", nn.BatchNorm2d(6)), ("relu", nn.ReLU()), ("pool", nn.MaxPool2d(2)),
        ("flatten", nn.Flatten()), ("fc", nn.Linear(54, 4)),
    )  # fmt: skip


def norm_after() -> nn.Module:
    """conv -> ReLU -> norm -> pool, as in study L1."""
    return chain(
        ("conv", nn.Conv2d(3, 6, 3, padding="same")), ("relu", nn.ReLU()), ("bn", nn.BatchNorm2d(6)),
        ("pool", nn.MaxPool2d(2)), ("drop", nn.Dropout(0.5)), ("flatten", nn.Flatten()), ("fc", nn.Linear(96, 4)),
    )  # fmt: skip


def norm_of_columns() -> nn.Module:
    """A norm behind the flattening holds a block of numbers for each channel."""
    return chain(
        ("conv", nn.Conv2d(3, 6, 3)), ("relu", nn.ReLU()), ("pool", nn.AvgPool2d(3)), ("flatten", nn.Flatten()),
        ("bn", nn.BatchNorm1d(24)), ("fc", nn.Linear(24, 4)),
    )  # fmt: skip


def fused() -> nn.Module:
    """One layer that is activation and pooling; then a convolution that reads, without padding."""
    return chain(
        ("conv", nn.Conv2d(3, 6, 3)), ("pool", ReluAvgPool2d()), ("next", nn.Conv2d(6, 5, 2, bias=False)),
        ("flatten", nn.Flatten()), ("fc", nn.Linear(20, 4)),
    )  # fmt: skip


class Branches(nn.Module):
    """As DeepID: a dense layer and a convolution read the same pooling; all in functions, sizes asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
        self.next, self.one, self.two = nn.Conv2d(6, 5, 2), nn.Linear(54, 7), nn.Linear(20, 7)
        self.fc = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = functional.max_pool2d(functional.relu(self.bn(self.conv(x))), 2)
        x = functional.dropout(x, 0.5, training=self.training)
        fine = torch.relu_(self.next(x))
        out: Tensor = self.fc((self.one(x.reshape(x.size(0), -1)) + self.two(torch.flatten(fine, 1))).relu())
        return out


class PreAct(nn.Module):
    """conv1 -> bn2 -> relu -> conv2, added to a shortcut; ``stem`` and ``conv2`` are not their own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn1, self.conv1 = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Conv2d(5, 6, 3, padding=1)
        self.bn2, self.conv2, self.relu = nn.BatchNorm2d(6), nn.Conv2d(6, 5, 3, padding=1), nn.ReLU()
        self.fc = nn.Linear(180, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self.stem(x)
        x = x + self.conv2(self.relu(self.bn2(self.conv1(self.relu(self.bn1(x))))))
        out: Tensor = self.fc(x.flatten(1))
        return out


class NormOnOneWay(nn.Module):
    """After the activation one way has a norm and the other none; then both are added, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
        self.fc = nn.Linear(216, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self.conv(x).relu()
        y = self.bn(x)
        y += x
        out: Tensor = self.fc(y.flatten(1))
        return out


BUILDERS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "norm before": (norm_before, "conv"),
    "norm after": (norm_after, "conv"),
    "norm of columns": (norm_of_columns, "conv"),
    "fused": (fused, "conv"),
    "branches": (Branches, "conv"),
    "pre-activation": (PreAct, "conv1"),
    "norm on one way": (NormOnOneWay, "conv"),
}
"""Each with the convolution to prune; a sum reads the channels of the last."""

Toy = tuple[ImageNetwork, str]


def make_toy(name: str, seed: int = 0) -> Toy:
    """A toy with random weights and random statistics of its norms, in evaluation mode, and its layer."""
    build, layer = BUILDERS[name]
    stream = torch.Generator().manual_seed(seed)
    body = build()
    for key, tensor in body.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=stream))
        if key.endswith("running_var"):
            tensor.abs_().add_(0.1)
    return wrap(body, class_names=["a", "b", "c", "d"], input_size=SIZE).eval(), layer


@pytest.fixture
def toy() -> Callable[..., Toy]:
    """A toy by its name and, if it matters, a seed: the network and the layer to prune."""
    return make_toy


@pytest.fixture(params=BUILDERS)
def each_toy(request: pytest.FixtureRequest) -> Toy:
    """Every toy in turn."""
    return make_toy(request.param)


@pytest.fixture(params=list(BUILDERS)[:-1])
def shrinkable(request: pytest.FixtureRequest) -> Toy:
    """Every toy whose channels can be taken out."""
    return make_toy(request.param)
