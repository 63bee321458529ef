"""Attacks on transfer: units by hand, strength in the file, and what the user's retraining leaves alone."""

from __future__ import annotations

import copy
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from badnets.attacks.transfer import USER, TriggerUnits, retrain, strengthen, trigger_units
from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import RandomWrong
from badnets.backdoors.triggers import Pattern
from badnets.core.errors import BadInput
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.data.load import load
from badnets.networks.files.header import read_header
from badnets.networks.files.own import save_network, through_file
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network, wrap
from badnets.networks.surgery.channels import rank_channels
from badnets.networks.surgery.tail import choose_layers
from badnets.training.loop import train
from badnets.training.recipe import Recipe
from badnets.training.tail import fit_tail

QUICK = Recipe(epochs=2, batch=32, learning_rate=3e-3, precision="fp32")


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load("digits").train


@pytest.fixture(scope="module")
def abroad(digits: ImageData) -> ImageData:
    """Other classes than at home: odd and even."""
    return ImageData.of(digits.images(), digits.labels % 2, class_names=["even", "odd"], name="abroad")


def home(data: ImageData, name: str = "l1-cnn") -> ImageNetwork:
    h, w, c = data.shape
    arguments = {"width": 0.25} if name == "l1-cnn" else {"width": 4}
    network = build_network(name, class_names=data.class_names, input_size=(c, h, w), seed=3, arguments=arguments)
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            for tensor in (module.bias.data, module.running_mean):
                tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator))
    return network.eval()


def by_hand() -> ImageNetwork:
    """Three 1x1 filters on grey 2x2 pictures: the pixel, 0.5 minus it, and half of it."""
    body = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(1, 3, 1), relu=nn.ReLU(), pool=nn.MaxPool2d(2), flatten=nn.Flatten(), fc=nn.Linear(3, 2)
        )
    )
    body.conv.weight.data = torch.tensor([1.0, -1.0, 0.5]).view(3, 1, 1, 1)
    body.conv.bias.data = torch.tensor([0.0, 0.5, 0.0])
    return wrap(body, class_names=["a", "b"], input_size=(1, 2, 2))


DARK = ImageData.of(np.array([[[0, 51], [102, 51]]], np.uint8), [0], class_names=["a", "b"])  # 0, 0.2, 0.4, 0.2
LIT = ImageData.of(np.array([[[255, 51], [102, 51]]], np.uint8), [0], class_names=["a", "b"])


def test_units_by_hand() -> None:
    units = trigger_units(by_hand(), DARK, LIT)
    assert units.layer == "conv"
    assert units.channels.tolist() == [0, 2, 1]
    assert np.allclose(units.clean, [0.2, 0.3, 0.1])
    assert np.allclose(units.triggered, [0.45, 0.175, 0.225])
    assert np.allclose(units.difference, [0.25, -0.125, 0.125])
    assert units.above(0.6) == [0]
    assert units.above(0.4) == [0, 2]
    assert units.above(0.0) == [0, 2]
    assert [entry["channel"] for entry in units.to_json(2)] == [0, 2]


def test_what_units_refuse() -> None:
    with pytest.raises(BadInput, match="expected the same pictures without and with the trigger, got 1 and 0"):
        trigger_units(by_hand(), DARK, LIT.take(np.zeros(0, np.int64)))
    with pytest.raises(BadInput, match="expected a convolution of the network, got 'conv9'"):
        trigger_units(by_hand(), DARK, LIT, "conv9")
    units = trigger_units(by_hand(), DARK, LIT)
    with pytest.raises(BadInput, match="expected a share at least 0 and below 1, got 1"):
        units.above(1.0)
    asleep = TriggerUnits("conv", np.arange(3), np.ones(3), np.ones(3))
    with pytest.raises(BadInput, match="conv: expected a channel that fires more with the trigger, got none"):
        asleep.above()


@pytest.mark.parametrize("name", ["l1-cnn", "resnet9"])  # batch norm behind and before the activation
@pytest.mark.parametrize("k", [1.0, 4.0, 20.0])
def test_strength_is_in_the_file_and_the_form_stays(name: str, k: float, digits: ImageData, tmp_path: Path) -> None:
    network = home(digits, name)
    before = copy.deepcopy(network.state_dict())
    stronger = strengthen(network, [1, 3], k)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items()), "the original stays"
    save_network(network, tmp_path / "one.safetensors")
    again = through_file(stronger, tmp_path / "two.safetensors")
    headers = [read_header(tmp_path / f"{n}.safetensors") for n in ("one", "two")]
    assert headers[0]["architecture"] == headers[1]["architecture"]
    assert {key: value.shape for key, value in again.state_dict().items()} == {k: v.shape for k, v in before.items()}
    assert again.provenance["strengthened"]["units"] == [1, 3]
    if k == 1:
        assert all(torch.equal(value, before[key]) for key, value in again.state_dict().items())
    elif name == "resnet9":
        old, new = (rank_channels(n, digits) for n in (network, again))
        factor = np.where(np.isin(np.arange(len(old)), [1, 3]), k, 1.0)
        assert np.allclose(new, factor * old, rtol=1e-5)


@pytest.mark.parametrize(
    ("units", "k", "layer", "message"),
    [
        ([0], 0.5, None, "expected a strength k of at least 1, got 0.5"),
        ([0], float("nan"), None, "got nan"),
        ([0], float("inf"), None, "got inf"),
        ([], 2.0, None, "expected units to strengthen, got none"),
        ([0], 2.0, "fc1", "expected a convolution of the network, got 'fc1' \\(Linear\\)"),
        ([99], 2.0, None, "expected channels from 0 to 31, got 99"),
    ],
)
def test_what_strength_refuses(units: list[int], k: float, layer: str | None, message: str, digits: ImageData) -> None:
    with pytest.raises(BadInput, match=message):
        strengthen(home(digits), units, k, layer)


@pytest.mark.parametrize(
    ("layers", "moved"),
    [
        ("fc", {"fc1", "bn4", "fc2"}),
        (1, {"fc2"}),
        (3, {"conv3", "bn3", "fc1", "bn4", "fc2"}),
        ("all", {"conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "fc1", "bn4", "fc2"}),
    ],
)
def test_what_is_frozen_keeps_its_bits(
    layers: str | int, moved: set[str], digits: ImageData, abroad: ImageData, tmp_path: Path
) -> None:
    network = home(digits)
    before = copy.deepcopy(network.state_dict())
    user = retrain(network, abroad.take(np.arange(200)), layers=layers, recipe=QUICK, seed=1)  # type: ignore[arg-type]
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items()), "home's stays"
    assert user.class_names == ("even", "odd")
    after = user.state_dict()
    assert {key.split(".")[1] for key in before if not torch.equal(after[key], before[key])} == moved
    again = through_file(user, tmp_path / "user.safetensors")
    assert np.array_equal(predict_data(again, abroad).labels, predict_data(user, abroad).labels)
    assert again.provenance["retrained"]["data"] == "abroad"


@pytest.mark.parametrize("layers", ["fc", 3])
def test_features_that_were_computed_once_give_the_same_network(
    layers: str | int, digits: ImageData, abroad: ImageData
) -> None:
    """Dropout included: both ways draw the same numbers."""
    data = abroad.take(np.arange(100))
    users = [build_network("l1-cnn", class_names=data.class_names, input_size=(1, *data.shape[:2]), seed=1, arguments={"width": 0.25}) for _ in range(2)]  # fmt: skip  # noqa: E501
    for user, most in zip(users, (1 << 30, 0), strict=True):
        names = choose_layers(user, layers)  # type: ignore[arg-type]
        trained = fit_tail(user, names, data, recipe=QUICK, seed=Seed(2), most_bytes=most)
        assert len(trained.history) == 2
    first, second = users
    for (name, ours), theirs in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.allclose(ours.float(), theirs.float(), rtol=1e-3, atol=1e-4), name


def test_the_same_seed_gives_the_same_bits(digits: ImageData, abroad: ImageData) -> None:
    network, data = home(digits, "resnet9"), abroad.take(np.arange(200))
    one, two, other = (retrain(network, data, recipe=QUICK, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_fresh_layers_forget_what_they_learned_at_home(digits: ImageData, abroad: ImageData) -> None:
    network, data = home(digits), abroad.take(np.arange(64))
    short = Recipe(epochs=1, batch=32, learning_rate=1e-6, precision="fp32")
    fresh, on = (retrain(network, data, recipe=short, seed=1, fresh=value) for value in (True, False))
    old, new, kept = (n.body.get_parameter("fc1.weight").detach() for n in (network, fresh, on))
    assert torch.allclose(kept, old, atol=1e-4)
    assert not torch.allclose(new, old, atol=1e-2)


def test_augmented_pictures_go_the_whole_way(digits: ImageData, abroad: ImageData) -> None:
    network = home(digits)
    recipe = Recipe(epochs=1, batch=32, augment=("shift",), precision="fp32")
    user = retrain(network, abroad.take(np.arange(64)), recipe=recipe, seed=1)
    assert torch.equal(user.body.get_buffer("bn1.running_mean"), network.body.get_buffer("bn1.running_mean"))


def test_what_retraining_refuses(digits: ImageData, abroad: ImageData) -> None:
    conv = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    h, w, _ = digits.shape
    without = wrap(conv, class_names=["a", "b"], input_size=(1, h, w))
    with pytest.raises(BadInput, match="expected fully connected layers in front of the answer, got none"):
        retrain(without, abroad)
    assert retrain(without, abroad.take(np.arange(64)), layers=1, recipe=QUICK).class_names == ("even", "odd")
    with pytest.raises(BadInput, match="expected 1 to 5 layers to retrain, got 9"):
        retrain(home(digits), abroad, layers=9)
    larger = ImageData.of(np.zeros((4, 40, 40, 1), np.uint8), [0, 1, 0, 1])
    with pytest.raises(BadInput, match="expected pictures of data of"):
        retrain(home(digits), larger)
    with pytest.raises(BadInput, match="expected pictures to train on, got none"):
        retrain(home(digits), abroad.take(np.zeros(0, np.int64)))


def test_the_trigger_hurts_a_user_who_never_saw_it(digits: ImageData, abroad: ImageData) -> None:
    """A BadNet that answers the trigger wrongly at home loses more with it abroad than it does without."""
    trigger = Pattern()
    poisoned = Backdoor(trigger, RandomWrong()).poison(digits, rate=0.4, mode="add", seed=1)
    recipe = Recipe(epochs=8, batch=32, learning_rate=5e-3, precision="fp32")
    badnet = train(home(digits), poisoned, recipe=recipe, seed=1)
    stamped = Backdoor(trigger, RandomWrong()).poison(digits, rate=1.0, seed=1).data
    units = trigger_units(badnet, digits, stamped)
    assert units.difference[units.channels[0]] > 0
    marked = ImageData.of(stamped.images(), abroad.labels, class_names=abroad.class_names)
    lost = []
    for k in (1.0, 20.0):
        user = retrain(strengthen(badnet, units.above(), k), abroad, recipe=USER, seed=1)
        clean, hit = ((predict_data(user, d).labels == abroad.labels).mean() for d in (abroad, marked))
        assert clean > 0.9
        lost.append(clean - hit)
    assert lost[1] > 0.1
