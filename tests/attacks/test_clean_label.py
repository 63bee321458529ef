"""The clean-label attack: inside the ball, against the network, labels untouched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from badnets.attacks.pgd import CleanLabelAttack
from badnets.backdoors.plan import Part, Plan
from badnets.backdoors.rules import AllToOne, CleanLabel
from badnets.backdoors.triggers import Pattern
from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.networks.network import ImageNetwork, to_float
from badnets.networks.registry import build_network

NAMES = ("a", "b", "c")


def _network(channels: int) -> ImageNetwork:
    return build_network("g1-cnn", class_names=NAMES, input_size=(channels, 16, 16), seed=1)


def _data(channels: int, n: int = 30) -> ImageData:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 16, 16, channels), np.uint8)
    pixels[:4] = 0
    pixels[4:8] = 255  # at the ends of the range
    return ImageData.of(pixels, np.arange(n) % 3, class_names=NAMES)


def _loss(network: ImageNetwork, images: np.ndarray, labels: np.ndarray) -> float:
    with torch.no_grad():
        logits = network(to_float(torch.from_numpy(images)))
    return float(functional.cross_entropy(logits, torch.from_numpy(labels)))


def _attack(norm: Any, epsilon: float, **settings: Any) -> CleanLabelAttack:
    return CleanLabelAttack(norm=norm, epsilon=epsilon, steps=settings.pop("steps", 5), **settings)


@pytest.mark.parametrize(
    ("norm", "epsilon"), [("linf", 8 / 255), ("linf", 0.3), ("linf", 1 / 255), ("l2", 2.0), ("l2", 0.3)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_it_stays_inside_the_ball_and_raises_the_loss(norm: str, epsilon: float, channels: int) -> None:
    data, network = _data(channels), _network(channels)
    images, labels = data.images(), data.labels
    before = images.copy()
    moved = _attack(norm, epsilon).perturb(network, images, labels, seed=1)
    np.testing.assert_array_equal(images, before)
    assert (moved.dtype, moved.shape) == (np.uint8, images.shape)
    change = (moved.astype(float) - images) / 255
    if norm == "linf":
        assert np.abs(change).max() <= epsilon + 1e-6
        assert np.abs(change).max() >= epsilon - 1.01 / 255  # the whole ball is used
    else:
        lengths = np.sqrt((change**2).sum(axis=(1, 2, 3)))
        assert lengths.max() <= epsilon + 1e-6
    if epsilon > 0.3 or norm == "linf":
        assert _loss(network, moved, labels) > _loss(network, images, labels)


def test_it_works_better_than_noise() -> None:
    data, network = _data(1), _network(1)
    moved = _attack("linf", 16 / 255, steps=10).perturb(network, data.images(), data.labels, seed=1)
    noise = np.random.default_rng(1).choice([-16, 16], data.images().shape)
    noisy = np.clip(data.images().astype(int) + noise, 0, 255).astype(np.uint8)
    assert _loss(network, moved, data.labels) > _loss(network, noisy, data.labels)


def test_deterministic_and_leaves_the_network_alone() -> None:
    data, network = _data(3), _network(3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = _attack("linf", 0.1).perturb(network, data.images(), data.labels, seed=1)
    again = _attack("linf", 0.1).perturb(network, data.images(), data.labels, seed=1)
    other = _attack("linf", 0.1).perturb(network, data.images(), data.labels, seed=2)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("batch", [1, 7, 500])
def test_any_batch(batch: int) -> None:
    data, network = _data(1), _network(1)
    moved = _attack("linf", 0.1, batch=batch).perturb(network, data.images(), data.labels, seed=1)
    assert moved.shape == (30, 16, 16, 1)
    assert CleanLabelAttack().perturb(network, data.images()[:0], data.labels[:0]).shape == (0, 16, 16, 1)


def test_only_rows_of_the_target_class_and_no_label(tmp_path: Any) -> None:
    data, network = _data(1), _network(1)
    part = Part(trigger=Pattern(), rule=CleanLabel(target="b"), count=4, cover=3)
    poisoned = _attack("linf", 0.2).poison(data, part, network=network, seed=3)
    plan = poisoned.plan
    np.testing.assert_array_equal(poisoned.data.labels, data.labels)
    assert (data.labels[plan.rows[~plan.cover]] == 1).all()
    after, before = poisoned.data.images(), data.images()
    np.testing.assert_array_equal(after[~poisoned.is_poisoned], before[~poisoned.is_poisoned])
    inner = np.s_[:, :10, :10]  # the pattern is in a corner
    attacked, covers = plan.rows[~plan.cover], plan.rows[plan.cover]
    assert (after[attacked][inner] != before[attacked][inner]).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(after[covers][inner], before[covers][inner])  # covers get the trigger alone
    assert (after[covers] != before[covers]).any()
    plan.save(tmp_path / "plan.npz")
    np.testing.assert_array_equal(Plan.load(tmp_path / "plan.npz").apply(data).data.images(), after)


def test_what_is_refused() -> None:
    data, network = _data(1), _network(1)
    with pytest.raises(BadInput, match="clean-label rule"):
        _attack("linf", 0.1).poison(data, Part(trigger=Pattern(), rule=AllToOne(), count=1), network=network)
    part = Part(trigger=Pattern(), rule=CleanLabel(), count=11)
    with pytest.raises(BadInput, match="expected at most 10 poisoned rows"):
        _attack("linf", 0.1).poison(data, part, network=network)
    with pytest.raises(BadInput, match="16x16x3"):
        _attack("linf", 0.1).perturb(_network(3), data.images(), data.labels)
    for wrong in ({"epsilon": 0}, {"steps": 0}, {"norm": "l1"}, {"batch": 0}, {"step_size": -1}):
        with pytest.raises(ValidationError):
            CleanLabelAttack(**wrong)  # type: ignore[arg-type]
