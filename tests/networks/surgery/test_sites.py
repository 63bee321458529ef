"""Where channels live: found in the graph, whatever the layers are called."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.networks.device import own_stream
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network, wrap
from badnets.networks.surgery.graph import convolutions, site, trace

Toy = tuple[ImageNetwork, str]
MakeToy = Callable[..., Toy]


def ours(name: str, size: tuple[int, int, int] = (3, 32, 32)) -> ImageNetwork:
    return build_network(name, class_names=["a", "b", "c"], input_size=size, seed=0)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("g1-cnn", "conv2"),
        ("u1-cnn", "conv2"),
        ("l1-cnn", "conv3"),
        ("resnet9", "residual2.conv2.conv"),  # added to a shortcut only after its activation
        ("resnet18", "layer4.1.conv1"),
        ("preact-resnet18", "layer4.1.conv1"),
        ("torchvision:vgg11_bn", "features.25"),
        ("torchvision:resnet18", "layer4.1.conv1"),
    ],
)
def test_the_last_convolution_whose_channels_are_its_own(name: str, layer: str) -> None:
    assert site(ours(name)).layer == layer


def test_deepid() -> None:
    network = ours("deepid", (3, 55, 47))
    assert convolutions(trace(network.body)) == ["conv_1", "conv_2", "conv_3", "conv_4"]
    where = site(network, "conv_3")
    assert (where.channels, str(where.activation), str(where.pool), str(where.cut)) == (
        60,
        "relu_3",
        "pool_3",
        "pool_3",
    )
    assert [(tap.name, tap.flat) for tap in where.readers] == [("fc_1", True), ("conv_4", False)]
    assert (where.norms, where.others) == ((), ())


@pytest.mark.parametrize(
    ("name", "norms", "readers", "pool", "cut", "others"),
    [
        ("norm before", [("bn", False, True)], [("fc", True)], "pool", "pool", ()),
        ("norm after", [("bn", False, True)], [("fc", True)], "pool", "drop", ()),
        ("norm of columns", [("bn", True, False)], [("fc", True)], "pool", "pool", ()),
        ("fused", [], [("next", False)], "pool", "pool", ()),
        ("branches", [("bn", False, True)], [("next", False), ("one", True)], "max_pool2d", "dropout", ()),
        ("pre-activation", [("bn2", False, True)], [("conv2", False)], "None", "relu_1", ()),
        ("norm on one way", [("bn", False, False)], [], "None", "relu", ("add",)),
    ],
)
def test_every_way(
    toy: MakeToy, name: str, norms: object, readers: object, pool: str, cut: str, others: tuple[str, ...]
) -> None:
    where = site(*toy(name))
    assert [(tap.name, tap.flat, tap.shared) for tap in where.norms] == norms
    assert sorted((tap.name, tap.flat) for tap in where.readers) == readers
    assert (str(where.pool), str(where.cut), where.others) == (pool, cut, others)


class Odd(nn.Module):
    """Convolutions that cannot be pruned, each for a reason of its own; ``good`` can."""

    def __init__(self) -> None:
        super().__init__()
        self.good, self.grouped, self.twice = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 4, 1)
        self.shift, self.bare = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, affine=False)
        self.squashed, self.last, self.fc = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1), nn.Linear(4, 4)
        self.relu, self.pool = nn.ReLU(), nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.grouped(self.relu(self.good(x))))
        x = self.relu(self.twice(self.relu(self.twice(x))))
        x = self.relu(self.bare(self.shift(x)))
        x = torch.sigmoid(self.squashed(x))
        out: Tensor = self.pool(self.relu(self.last(x))).flatten(1)
        return out


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ("grouped", "which is grouped"),
        ("twice", "which is used twice"),
        ("shift", "whose batch norm 'bare' has no shift that could be set to zero"),
        ("squashed", "mixed with others (sigmoid) before an activation"),
        ("last", "whose channels are the answer itself"),
    ],
)
def test_what_cannot_be_pruned_is_refused_with_what_can(layer: str, reason: str) -> None:
    with own_stream(0):
        odd = Odd()
    network = wrap(odd, class_names=["a", "b"], input_size=(3, 4, 4))
    with pytest.raises(BadInput, match="expected a convolution that can be pruned") as refusal:
        site(network, layer)
    assert reason in str(refusal.value)
    assert str(refusal.value).endswith("these can be: good")
    assert site(network).layer == "good"


def test_a_convolution_that_is_added_is_refused(toy: MakeToy) -> None:
    with pytest.raises(BadInput, match=r"'conv2', whose channels are mixed with others \(add\) before an activation; "):
        site(toy("pre-activation")[0], "conv2")


@pytest.mark.parametrize(("layer", "got"), [("fc", r"'fc' \(Linear\)"), ("conv9", "'conv9'")])
def test_a_layer_that_is_no_convolution(toy: MakeToy, layer: str, got: str) -> None:
    with pytest.raises(BadInput, match=f"got {got}; its convolutions: conv, next$"):
        site(toy("branches")[0], layer)


def test_networks_without_any() -> None:
    dense = wrap(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), class_names=["a", "b"], input_size=(3, 2, 2))
    with pytest.raises(BadInput, match=r"^expected a network with a convolution, got none"):
        convolutions(trace(dense.body))
    linear = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(8, 2))
    with pytest.raises(BadInput, match="that can be pruned, got none: '0' is one whose channels are mixed"):
        site(wrap(linear, class_names=["a", "b"], input_size=(3, 2, 2)))
