"""Detectors on the training loop: the same bits each time, also after an interruption, also streamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from badnets.core.errors import BadInput
from badnets.core.seed import Seed
from badnets.data.images import ArrayStore, ImageData
from badnets.data.targets import Boxes
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network
from badnets.training.loop import Job, Trained, fit
from badnets.training.recipe import Recipe

NAMES = ("light", "dark")
RECIPE = Recipe(epochs=2, batch=4, learning_rate=2e-3, augment=("zoom", "flip"), precision="fp32")


def squares(n: int = 8) -> ImageData:
    """Grey noise with a light and a dark square, or one of them, or none in every fourth picture."""
    rng = np.random.default_rng(2)
    pixels = rng.integers(100, 130, (n, 64, 64, 3), np.uint8)
    boxes, labels, image = [], [], []
    for row in range(n):
        for label, level in ((0, 250), (1, 5)):
            if row % 4 == 3 or (row % 4 == 2 and label):
                continue
            x, y, side = *rng.integers(0, 40, 2), rng.integers(14, 24)
            pixels[row, y : y + side, x : x + side] = level
            boxes.append([x, y, x + side, y + side])
            labels.append(label)
            image.append(row)
    targets = Boxes.of(np.array(boxes, np.float32), np.array(labels), np.array(image), n)
    return ImageData(ArrayStore(pixels), targets, NAMES, name="squares")


def train(data: ImageData, recipe: Recipe = RECIPE, *, seed: int = 1, **job: Any) -> Trained:
    network = build_network(
        "faster-rcnn", class_names=NAMES, input_size=(3, 64, 64), seed=1, arguments={"width": 4, "proposals": 10}
    )
    return fit(network, Job(data=data, recipe=recipe, seed=Seed(seed), **job))


def same_weights(first: ImageNetwork, second: ImageNetwork) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


def test_the_same_seed_gives_the_same_bits() -> None:
    data = squares()
    torch.manual_seed(5)
    first = train(data)
    torch.manual_seed(6)
    second = train(data)
    assert same_weights(first.network, second.network)
    assert not same_weights(first.network, train(data, seed=2).network)
    assert same_weights(first.network, train(data, on_device_bytes=0).network)
    assert [set(epoch) for epoch in first.history] == [{"epoch", "loss", "seconds"}] * 2
    assert first.history[1]["loss"] < first.history[0]["loss"]
    assert not first.network.training


class _Stop:
    """Ctrl-C in the middle of an epoch; nothing is counted as right."""

    def __call__(self, epoch: int, step: int, steps: int, accuracy: float | None) -> None:
        assert accuracy is None
        if epoch == 1:
            raise KeyboardInterrupt


def test_a_resumed_training_gives_the_same_bits(tmp_path: Path) -> None:
    data, checkpoint = squares(), tmp_path / "checkpoint.pt"
    whole = train(data)
    with pytest.raises(KeyboardInterrupt):
        train(data, checkpoint=checkpoint, on_step=_Stop())
    epochs: list[int] = []
    resumed = train(data, checkpoint=checkpoint, on_step=lambda epoch, *_: epochs.append(epoch))
    assert set(epochs) == {1}
    assert same_weights(whole.network, resumed.network)
    assert [one["loss"] for one in resumed.history] == [one["loss"] for one in whole.history]


def test_pictures_without_objects_alone_in_a_batch() -> None:
    data = squares()
    empty = data.take(np.array([3, 7, 3, 7, 0]))  # in batches of one
    history = train(empty, Recipe(epochs=1, batch=1, precision="fp32")).history
    assert np.isfinite(history[0]["loss"])


def test_what_does_not_go_together_is_refused() -> None:
    plain = ImageData.of(np.zeros((4, 64, 64, 3), np.uint8), [0, 1, 0, 1], class_names=NAMES)
    with pytest.raises(BadInput, match="expected pictures with boxes for the detector faster-rcnn"):
        train(plain)
    with pytest.raises(BadInput, match="expected boxes to learn from, got none in 2 pictures"):
        train(squares().take(np.array([3, 7])))
    with pytest.raises(BadInput, match="expected one class for each picture with a batch hook"):
        train(squares(), hooks=(lambda images, labels, rng: (images, labels),))
    classifier = build_network("g1-cnn", class_names=NAMES, input_size=(3, 64, 64), seed=1)
    with pytest.raises(BadInput, match="expected one class for each picture for network g1-cnn"):
        fit(classifier, Job(data=squares(), recipe=RECIPE, seed=Seed(1)))
