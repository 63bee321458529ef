"""Projected gradient descent, adversarial training, and the surrogate that is trained so."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from badnets.attacks.pgd import PGD, AdversarialTraining, CleanLabelAttack
from badnets.core.errors import BadInput
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.data.load import load
from badnets.measures.classification import accuracy
from badnets.networks.inference import predict
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network, wrap
from badnets.referee.reference import clean_reference
from badnets.referee.spec import make_spec
from badnets.training.loop import Job, fit
from badnets.training.recipe import Recipe

BALL = 32 / 255


class Slope(nn.Module):
    """Two classes by the sign of a weighted sum: the gradient is the same everywhere, up to its length."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 4.0]]))

    def forward(self, x: Tensor) -> Tensor:
        score = ((x[:, 0] - 0.5) * self.weight).sum((1, 2))
        return torch.stack([-score, score], 1)


@pytest.fixture
def slope() -> ImageNetwork:
    return wrap(Slope(), class_names=("a", "b"), input_size=(1, 2, 2))


def middle(n: int = 3) -> np.ndarray:
    return np.full((n, 2, 2, 1), 128, np.uint8)


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load("digits", size=16).train.take(np.arange(200))


def test_linf_by_hand(slope: ImageNetwork) -> None:
    # Every value goes to the edge of the ball, down the sign of its weight for class 1: 32 of 255 each.
    moved = PGD(epsilon=BALL, steps=10, random_start=False).perturb(slope, middle(), np.ones(3, np.int64))
    signs = np.array([[1, -1], [1, 1]])
    np.testing.assert_array_equal(moved[0, :, :, 0], 128 - 32 * signs)


def test_l2_by_hand(slope: ImageNetwork) -> None:
    # Straight along the weights, whose length is sqrt(1 + 4 + 0.25 + 16); then towards the clean picture.
    moved = PGD(norm="l2", epsilon=0.5, steps=10, random_start=False).perturb(slope, middle(1), np.ones(1, np.int64))
    weights = np.array([[1, -2], [0.5, 4]])
    exact = -0.5 * 255 * weights / np.sqrt((weights**2).sum())
    np.testing.assert_array_equal(moved[0, :, :, 0].astype(int) - 128, np.trunc(exact).astype(int))


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("random_start", [True, False])
def test_it_stays_in_the_ball(norm: Literal["linf", "l2"], random_start: bool, digits: ImageData) -> None:
    network = build_network("g1-cnn", class_names=digits.class_names, input_size=(1, 16, 16), seed=1)
    epsilon = BALL if norm == "linf" else 1.0
    attack = PGD(norm=norm, epsilon=epsilon, steps=7, random_start=random_start)
    images = digits.images(slice(0, 40))
    change = (attack.perturb(network, images, digits.labels[:40], seed=2).astype(float) - images) / 255
    size = np.abs(change).max((1, 2, 3)) if norm == "linf" else np.sqrt((change**2).sum((1, 2, 3)))
    assert (size > 0).all()
    assert size.max() <= epsilon + 1e-9
    again = attack.perturb(network, images, digits.labels[:40], seed=3)
    same = (again == images + np.round(change * 255).astype(int)).all()
    assert same != random_start  # without a random start there is nothing to draw


def test_half_precision_steps_of_one_level(slope: ImageNetwork) -> None:
    one = PGD(epsilon=1 / 255, steps=1, random_start=False).perturb(slope, middle(1), np.ones(1, np.int64))
    assert sorted(np.unique(one).tolist()) == [127, 129]


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_and_the_gradients_stay(training: bool, digits: ImageData) -> None:
    network = build_network("l1-cnn", class_names=digits.class_names, input_size=(1, 16, 16), seed=1)
    network.train(training)
    first = next(network.body.children()).train(not training)  # one part in another mode than the rest
    before = {name: value.clone() for name, value in network.state_dict().items()}
    PGD(steps=2).perturb(network, digits.images(slice(0, 8)), digits.labels[:8])
    assert network.training == training
    assert all(part.training == (training != (part is first)) for part in network.modules())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())  # batch norms too
    assert all(p.grad is None for p in network.parameters())


def test_the_hook_moves_pictures_and_keeps_labels(digits: ImageData) -> None:
    network = build_network("g1-cnn", class_names=digits.class_names, input_size=(1, 16, 16), seed=1)
    hook = AdversarialTraining(network=network, pgd=PGD(epsilon=BALL, steps=2))
    images, labels = digits.images(slice(0, 20)), digits.labels[:20]
    moved, same = hook(images, labels, np.random.default_rng(1))
    np.testing.assert_array_equal(same, labels)
    assert (moved != images).any((1, 2, 3)).all()
    assert np.abs(moved.astype(int) - images).max() <= 32
    np.testing.assert_array_equal(moved, hook(images, labels, np.random.default_rng(1))[0])
    assert (moved != hook(images, labels, np.random.default_rng(2))[0]).any()


def trained(data: ImageData, adversary: PGD | None) -> ImageNetwork:
    network = build_network("g1-cnn", class_names=data.class_names, input_size=(1, 16, 16), seed=1)
    hooks = () if adversary is None else (AdversarialTraining(network=network, pgd=adversary),)
    recipe = Recipe(epochs=12, batch=25, learning_rate=3e-3, precision="fp32")
    return fit(network, Job(data=data, recipe=recipe, seed=Seed(1), hooks=hooks)).network


def test_adversarial_training_makes_a_network_harder_to_fool(digits: ImageData) -> None:
    attack = PGD(epsilon=BALL, steps=5)
    rates = []
    for adversary in (None, PGD(epsilon=BALL, steps=3)):
        network = trained(digits, adversary)
        fooled = attack.perturb(network, digits.images(), digits.labels, seed=5)
        rates.append(accuracy(predict(network, fooled).labels, digits.labels))
    normal, robust = rates
    assert float(robust) > float(normal) + 0.2


@pytest.mark.parametrize("wrong", [{"norm": "l1"}, {"epsilon": 0}, {"steps": 0}, {"step_size": 0}, {"batch": 0}])
def test_impossible_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PGD(**wrong)


def test_a_picture_of_another_size_is_refused(slope: ImageNetwork) -> None:
    with pytest.raises(BadInput, match="2x2x1"):
        PGD().perturb(slope, np.zeros((1, 3, 3, 1), np.uint8), np.zeros(1, np.int64))
    assert PGD().perturb(slope, middle(0), np.zeros(0, np.int64)).shape == (0, 2, 2, 1)


def test_an_adversary_is_a_setting_of_the_clean_label_attack() -> None:
    attack = CleanLabelAttack(norm="l2", epsilon=5, adversarial=PGD(epsilon=0.15))
    assert attack.adversarial == PGD(epsilon=0.15)
    assert CleanLabelAttack().adversarial is None


def table(**perturb: Any) -> dict[str, Any]:
    return {
        "data": {"name": "digits", "size": 16, "train_count": 100},
        "network": "g1-cnn",
        "recipe": {"epochs": 1, "batch": 50, "precision": "fp32"},
        "backdoor": {
            "trigger": "pattern",
            "rule": {"kind": "clean-label", "target": 0},
            "poison": {"rate": 0.05},
            "perturb": {"epsilon": 0.1, "steps": 1, **perturb},
        },
    }


def test_an_adversarial_surrogate_needs_one_device() -> None:
    spec = table(adversarial={"epsilon": 0.1, "steps": 1})
    assert make_spec(spec).devices == 1
    with pytest.raises(BadInput, match="expected one device to train an adversarial surrogate with, got 2"):
        make_spec({**spec, "devices": 2})
    assert make_spec({**table(), "devices": 2}).devices == 2


def test_the_cache_tells_surrogates_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: ImageData) -> None:
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path))
    spec, adversary = make_spec(table()), PGD(epsilon=0.1, steps=1)
    data = digits.take(np.arange(100))
    normal, robust, again = (
        clean_reference(spec, data, Seed(1), adversary=one)[0].state_dict() for one in (None, adversary, adversary)
    )
    assert any(not torch.equal(normal[name], robust[name]) for name in normal)
    assert all(torch.equal(again[name], robust[name]) for name in robust)
    assert len([*tmp_path.rglob("*.safetensors")]) == 2
