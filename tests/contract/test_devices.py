"""All work is done where a network is: on a pretended card (conftest.py), and on a real one where there is one."""

from __future__ import annotations

import copy
import dataclasses
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from badnets import api
from badnets.attacks.pgd import PGD, AdversarialTraining
from badnets.attacks.pruning_aware import PruningAware
from badnets.attacks.transfer import retrain, strengthen, trigger_units
from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import AllToOne
from badnets.backdoors.triggers.pattern import Pattern
from badnets.core.seed import Seed
from badnets.data.images import ImageData, Splits
from badnets.data.load import load
from badnets.defenses.abstain import abstain
from badnets.defenses.abstainers import ABSTAINERS, make_abstainer
from badnets.defenses.repair import DefenderView, repair
from badnets.defenses.repairs import REPAIRS, make_repair
from badnets.networks.architecture import ARCHITECTURES
from badnets.networks.files.own import open_network, save_network
from badnets.networks.inference import ask, detect, predict, predict_data
from badnets.networks.network import ImageNetwork, layer_table
from badnets.networks.operators import import_torchvision
from badnets.networks.registry import build_network, parse_network
from badnets.networks.surgery.channels import prune_channels, pruned_channels, rank_channels, shrink
from badnets.networks.surgery.sweep import pruning_sweep
from badnets.referee.bench import retune
from badnets.training.loop import Job, fit, train
from badnets.training.recipe import Recipe

FEW = {"epochs": 2, "teacher_epochs": 1, "steps": 20, "rounds": 1, "starts": 1, "screening": 50}
GUARD = {"agreement": {"repair": "fine-tune", "settings": {"epochs": 1}}, "strip": {"overlays": 3}}
RECIPE = Recipe(epochs=2, batch=50, learning_rate=3e-3, precision="fp32")
BACKDOOR = Backdoor(Pattern(), AllToOne(target=0))
CPU = torch.device("cpu")


@pytest.fixture(params=["pretended", pytest.param("cuda", marks=pytest.mark.cuda)])
def card(request: pytest.FixtureRequest) -> torch.device:
    """A card, pretended or real."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA card")
    return torch.device("cuda", 0) if request.param == "cuda" else request.getfixturevalue("pretended")


@cache
def digits() -> Splits:
    data = load("digits", size=16)
    return dataclasses.replace(data, train=data.train.take(np.arange(200)), test=data.test.take(np.arange(60)))


@cache
def learned(name: str = "resnet9:width=4") -> ImageNetwork:
    """A network of the CPU that knows the digits a little."""
    kind, arguments = parse_network(name)
    named = digits().train.class_names
    network = build_network(kind, class_names=named, input_size=(1, 16, 16), seed=1, arguments=arguments, device=CPU)
    return fit(network, Job(data=digits().train, recipe=RECIPE, seed=Seed(1))).network


@pytest.fixture(autouse=True)
def _learned_on_the_cpu(request: pytest.FixtureRequest) -> None:
    for name in ("g1-cnn", "resnet9:width=4"):
        learned(name)


def moved(card: torch.device, name: str = "resnet9:width=4") -> ImageNetwork:
    return copy.deepcopy(learned(name)).to(card)


def same(first: ImageNetwork, second: ImageNetwork, card: torch.device, tolerance: float = 1e-4) -> None:
    """The second network is on the card, and both say the same (a card that trained adds in another order)."""
    assert first.device == CPU
    assert second.device == card
    pictures = digits().test if first.input_size == (1, 16, 16) else None
    assert pictures is not None
    one, other = (predict_data(network, pictures) for network in (first, second))
    if card.type == "cuda":
        assert np.mean(one.labels == other.labels) > 0.8
    else:
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.confidence, other.confidence, atol=tolerance)


@pytest.mark.parametrize("kind", REPAIRS)
def test_every_repair(kind: str, card: torch.device, tmp_path: Path) -> None:
    known = {field.name for field in dataclasses.fields(REPAIRS[kind])}  # type: ignore[arg-type]
    settings: dict[str, Any] = {key: value for key, value in FEW.items() if key in known}
    if kind == "unlearn":
        mask = np.zeros((16, 16), np.float32)
        mask[13:15, 13:15] = 1
        np.savez(tmp_path / "trigger.npz", mask=mask, pattern=np.ones((16, 16, 1), np.float32))
        settings["trigger"] = str(tmp_path / "trigger.npz")
    method, data = make_repair(kind, settings), digits().train
    views = (DefenderView(network=each, data=data, seed=Seed(1)) for each in (learned(), moved(card)))
    first, second = (repair(view, method).network for view in views)
    same(first, second, card, 2e-2)


@pytest.mark.parametrize("kind", ABSTAINERS)
def test_every_abstainer(kind: str, card: torch.device, tmp_path: Path) -> None:
    settings = {"suspect": 3} if kind == "refuse-class" else GUARD.get(kind)
    guarded = []
    for network in (learned(), moved(card)):
        view = DefenderView(network=network, data=digits().train, seed=Seed(1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            guarded.append(abstain(view, make_abstainer(kind, settings), refuse=0.1).network)
    same(guarded[0], guarded[1], card, 2e-2)
    save_network(guarded[1], tmp_path / "guarded.safetensors")
    again = open_network(tmp_path / "guarded.safetensors", device=card)
    assert np.array_equal(predict_data(again, digits().test).labels, predict_data(guarded[1], digits().test).labels)


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in ("faster-rcnn", "two-head", "onnx")])
def test_every_classifier(name: str, card: torch.device) -> None:
    arguments: Any = {"class_names": ["a", "b", "c"], "input_size": (3, 32, 32), "seed": 1}
    first, second = (build_network(name, device=place, **arguments) for place in (CPU, card))
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    one, other = predict(first, pictures), predict(second, pictures)
    np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-3)
    assert layer_table(first) == layer_table(second)
    assert second.device == card


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_training(optimizer: Any, card: torch.device, tmp_path: Path) -> None:
    recipe = dataclasses.replace(
        RECIPE, optimizer=optimizer, augment=("shift", "flip", "light", "rotate", "zoom"), learning_rate=1e-3
    )
    named = {"class_names": digits().train.class_names, "input_size": (1, 16, 16), "seed": 1}

    def trained(place: torch.device, *, streamed: bool) -> ImageNetwork:
        network = build_network("g1-cnn", device=place, **named)  # type: ignore[arg-type]
        hooks = (AdversarialTraining(network=network, pgd=PGD(steps=1, epsilon=0.05)),)
        kept, room = tmp_path / f"{place.type}-{streamed}.pt", 0 if streamed else 1 << 30
        job = Job(data=digits().train, recipe=recipe, seed=Seed(1), hooks=hooks, checkpoint=kept, on_device_bytes=room)
        return fit(network, job).network

    for streamed in (False, True):
        same(trained(CPU, streamed=streamed), trained(card, streamed=streamed), card, 2e-2)
    assert trained(card, streamed=True).device == card  # from its checkpoint


def test_by_name_and_in_place(card: torch.device) -> None:
    made = train("g1-cnn", digits().train, recipe=RECIPE, seed=1, device=card)
    assert made.device == card
    own = copy.deepcopy(learned("g1-cnn"))
    assert train(own, digits().train, recipe=RECIPE).device == CPU
    assert train(own, digits().train, recipe=RECIPE, device=card) is own
    assert own.device == card
    same(train("g1-cnn", digits().train, recipe=RECIPE, seed=1, device=CPU), made, card, 2e-2)


def test_a_network_with_a_box_head_and_a_detector(card: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    import_torchvision()
    # It asks whether the compiler knows the device before it takes the way without compiled operators.
    monkeypatch.setattr(sys.modules["torchvision.ops.roi_align"], "is_compile_supported", lambda _: True)
    scenes = load("scenes", size=64, options={"train": 16, "test": 16})
    signs = load("signs", size=32, options={"train": 32, "test": 16})
    for name, data in (("two-head:backbone=resnet18", signs), ("faster-rcnn:width=4", scenes)):
        network = train(name, data.train, recipe=Recipe(epochs=1, batch=4, precision="fp32"), seed=1, device=card)
        assert network.device == card
        if network.task == "detect":
            assert detect(network, data.test.images()).pictures == 16
            api.measure(network, data.test)
        else:
            assert ask(network, data.test.images()[0]).box is not None


def test_measures_and_certificates(card: torch.device, tmp_path: Path) -> None:
    before, after = (
        api.measure(network, digits().test, BACKDOOR, reference=network).figures for network in (learned(), moved(card))
    )
    assert before.asr == after.asr or card.type == "cuda"
    certificate = api.certify(
        moved(card),
        digits(),
        make_repair("fine-tune", {"epochs": 1}),
        backdoor=BACKDOOR,
        pictures=100,
        clean_network=moved(card),
    )
    assert certificate.environment.device == card.type
    save_network(learned(), tmp_path / "network.safetensors")
    assert api.open(tmp_path / "network.safetensors", device=card).device == card
    assert api.open(tmp_path / "network.safetensors", device="cpu").device == CPU


def test_surgery(card: torch.device) -> None:
    for name in ("g1-cnn", "resnet9:width=4"):
        first, second = learned(name), moved(card, name)
        means = [rank_channels(network, digits().train) for network in (first, second)]
        np.testing.assert_allclose(means[0], means[1], rtol=1e-3, atol=1e-5)
        order = np.argsort(means[0], kind="stable").tolist()[:6]
        curves = [
            [step.answers["clean"] for step in pruning_sweep(network, None, order, {"clean": digits().test})]
            for network in (first, second)
        ]
        assert np.mean(np.array(curves[0]) == np.array(curves[1])) > (0.95 if card.type == "cuda" else 0.99999)
        prune_channels(second, None, order)
        assert pruned_channels(second) == sorted(order)
    small = moved(card, "g1-cnn")
    prune_channels(small, None, [0, 3])
    assert shrink(small).device == card


def test_attacks(card: torch.device) -> None:
    network, images, labels = moved(card), digits().test.images(), digits().test.labels
    for norm in ("linf", "l2"):
        attack = PGD(norm=norm, epsilon=0.1, steps=2)  # type: ignore[arg-type]
        changed = [attack.perturb(one, images, labels, seed=1) for one in (learned(), network)]
        assert np.mean(changed[0] == changed[1]) > 0.95
    triggered = dataclasses.replace(digits().test, pixels=ImageData.of(Pattern().apply(images), labels).pixels)
    stronger = strengthen(network, trigger_units(network, digits().test, triggered).above(0.1), 2.0)
    for given, layers in ((stronger, "fc"), (moved(card, "g1-cnn"), "fc"), (stronger, "all"), (stronger, 2)):
        recipe = Recipe(epochs=1, batch=50, precision="fp32")
        users = [
            retrain(one, digits().train, layers=layers, recipe=recipe, seed=1)  # type: ignore[arg-type]
            for one in (copy.deepcopy(given).to(CPU), given)
        ]
        same(users[0], users[1], card, 2e-2)
    poisoned = BACKDOOR.poison(digits().train, rate=0.1, seed=1)
    for name in ("g1-cnn", "l1-cnn"):
        made = build_network(name, class_names=digits().train.class_names, input_size=(1, 16, 16), seed=1, device=card)
        attack_ = PruningAware(epochs=1, max_drop=0.5)
        assert attack_.train(made, digits().train, poisoned.data, recipe=RECIPE, seed=1).device == card
    tuned = retune(network, poisoned.data.take(np.arange(5)), digits().test, seed=Seed(1))
    assert tuned is not None
    assert tuned.device == card


def _stepped(network: ImageNetwork, images: Tensor) -> None:
    network(images).sum().backward()  # type: ignore[no-untyped-call]
    weight = next(network.parameters())
    weight.detach().cpu().sub_(weight.grad)  # type: ignore[arg-type]


FAULTS: dict[str, Callable[[ImageNetwork, Tensor], Any]] = {
    "made on the CPU": lambda network, images: network(images) + torch.ones(10),
    "weights made on the CPU": lambda network, images: nn.Linear(10, 2)(network(images)),
    "read without .cpu()": lambda network, images: network(images).argmax(1).numpy(),
    "an array without .cpu()": lambda network, images: np.asarray(network(images).detach()),
    "pictures left behind": lambda network, images: network(torch.zeros(2, 1, 16, 16)),
    "a generator of the CPU": lambda network, images: torch.rand(
        3, device=images.device, generator=torch.Generator().manual_seed(1)
    ),
    "rows of the card for the CPU": lambda network, images: torch.zeros(20)[network(images).argmax(1)],
    "a sum kept on the CPU": lambda network, images: torch.zeros(()).add_(network(images).sum()),
    "a gradient from the card": _stepped,
}
"""What nobody may do, each as a planted fault."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, card: torch.device) -> None:
    network = moved(card)
    images = network.floats(digits().test.images()[:2])
    assert network(images).device == card
    with pytest.raises((RuntimeError, TypeError)):
        FAULTS[fault](network, images)


@pytest.fixture(autouse=True)
def _nothing_is_left_on() -> Iterator[None]:
    yield
    assert torch.ones(1).device == CPU
