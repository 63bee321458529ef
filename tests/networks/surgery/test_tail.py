"""The end of a network: which layers are fully connected, which gives the classes, and that nothing else learns."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from badnets.core.errors import BadInput
from badnets.core.seed import Seed
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network, wrap
from badnets.networks.surgery.tail import (
    Tail,
    begin_anew,
    choose_layers,
    fully_connected,
    head_of,
    replace_head,
    weight_layers,
)

NAMES = ("a", "b", "c")


def built(name: str) -> ImageNetwork:
    side = {"deepid": 36, "torchvision:vgg11": 32, "torchvision:squeezenet1_1": 48}.get(name, 32)
    return build_network(name, class_names=NAMES, input_size=(3, side, side), seed=0)


def plain(*layers: nn.Module) -> ImageNetwork:
    return wrap(nn.Sequential(*layers), class_names=NAMES, input_size=(3, 8, 8))


@pytest.mark.parametrize(
    ("name", "dense", "head"),
    [
        ("g1-cnn", ["fc1", "fc2"], "fc2"),
        ("u1-cnn", ["fc1", "fc2"], "fc2"),
        ("l1-cnn", ["fc1", "fc2"], "fc2"),
        ("resnet9", ["fc"], "fc"),
        ("resnet18", ["linear"], "linear"),
        ("preact-resnet18", ["linear"], "linear"),
        ("deepid", ["fc_1", "fc_2", "output"], "output"),  # two branches, summed
        ("torchvision:vgg11", ["classifier.0", "classifier.3", "classifier.6"], "classifier.6"),
        ("torchvision:resnet18", ["fc"], "fc"),
    ],
)
def test_the_dense_layers_at_the_end(name: str, dense: list[str], head: str) -> None:
    network = built(name)
    assert fully_connected(network.body) == dense
    assert head_of(network) == head


def test_a_convolution_may_give_the_classes() -> None:
    network = built("torchvision:squeezenet1_1")
    assert head_of(network) == "classifier.1"
    with pytest.raises(BadInput, match="expected fully connected layers in front of the answer, got none"):
        fully_connected(network.body)
    replace_head(network, ("x", "y"), Seed(1))
    assert network(torch.zeros(2, 3, 48, 48)).shape == (2, 2)


def test_dense_layers_inside_are_not_the_end() -> None:
    class Squeezed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.gate, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x).relu()
            x = x * self.gate(x.mean((2, 3))).sigmoid()[:, :, None, None]
            out: torch.Tensor = self.fc(x.mean((2, 3)))
            return out

    network = wrap(Squeezed(), class_names=NAMES, input_size=(3, 8, 8))
    assert fully_connected(network.body) == ["fc"]
    assert weight_layers(network.body) == ["conv", "gate", "fc"]


def test_the_last_n_layers() -> None:
    network = built("l1-cnn")
    assert choose_layers(network, "all") == ["conv1", "conv2", "conv3", "fc1", "fc2"]
    assert choose_layers(network, 3) == ["conv3", "fc1", "fc2"]
    assert choose_layers(network, "fc") == choose_layers(network, 2)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (0, "expected 1 to 5 layers to retrain, got 0"),
        (6, "expected 1 to 5 layers to retrain, got 6"),
        ("last", 'expected layers as "fc", "all" or a number, got \'last\''),
        (True, "got True"),
    ],
)
def test_layers_that_are_not_there(layers: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        choose_layers(built("l1-cnn"), layers)  # type: ignore[arg-type]


def test_heads_that_cannot_be_replaced() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(192, 3), nn.Linear(192, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.one(x.flatten(1)) + self.two(x.flatten(1))
            return out

    with pytest.raises(BadInput, match="expected one layer that gives the classes, got one, two"):
        head_of(wrap(Sum(), class_names=NAMES, input_size=(3, 8, 8)))
    pooled = plain(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Unflatten(1, (3, 2)), nn.AvgPool1d(2), nn.Flatten())  # fmt: skip  # noqa: E501
    with pytest.raises(BadInput, match="expected a last layer for its 3 classes, got '0' for 6"):
        head_of(pooled)
    with pytest.raises(BadInput, match="got none"):
        head_of(plain(nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def test_a_new_head_depends_on_its_seed_alone() -> None:
    one, two, other = (built("g1-cnn") for _ in range(3))
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    replace_head(one, ("x", "y", "z", "w"), Seed(1))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(3)
    replace_head(two, ("x", "y", "z", "w"), Seed(1))
    replace_head(other, ("x", "y", "z", "w"), Seed(2))
    weights = [n.body.get_parameter("fc2.weight") for n in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert weights[0].shape == (4, 512)
    assert one.class_names == ("x", "y", "z", "w")
    assert float(weights[0].detach().abs().max()) <= 512**-0.5


def test_beginning_anew_reaches_the_norms_behind_and_nothing_before() -> None:
    network = built("l1-cnn")
    for key, value in network.body.state_dict().items():
        if key.startswith("bn"):
            value.add_(3)
    before = copy.deepcopy(network.body.state_dict())
    begin_anew(network, ["fc1"], Seed(0))
    changed = {key.split(".")[0] for key, value in network.body.state_dict().items() if not torch.equal(value, before[key])}  # fmt: skip  # noqa: E501
    assert changed == {"fc1", "bn4"}
    assert float(network.body.get_buffer("bn4.running_mean").abs().max()) == 0


@pytest.mark.parametrize("layers", ["fc", 3])
def test_both_parts_share_the_layers_and_give_the_answer(layers: str | int) -> None:
    network = built("l1-cnn").eval()
    tail = Tail(network.body, choose_layers(network, layers)).eval()  # type: ignore[arg-type]
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(tail(images), network.body(images))
        assert torch.equal(tail(images, *tail.features(images)), network.body(images))
    tail.train()
    assert network.body.get_submodule("fc1").training
    assert network.body.get_submodule("bn4").training
    assert not network.body.get_submodule("bn1").training
    assert network.body.get_submodule("bn3").training == (layers == 3)
    tail(images).sum().backward()
    assert network.body.get_parameter("fc1.weight").grad is not None
    assert network.body.get_parameter("conv2.weight").grad is None
