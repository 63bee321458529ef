"""What is looked for inside a BadNet, on networks made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from badnets.backdoors.triggers.pattern import Pattern
from badnets.data.images import ImageData, Splits
from badnets.data.load import load
from badnets.networks.files.own import save_network
from badnets.networks.network import ImageNetwork, to_float
from badnets.networks.registry import build_network
from badnets.studies.gu2017_mnist import inside as gu2017_inside
from badnets.studies.gu2017_mnist.inside import ParallelNetwork, _pattern_preference, acceptance_rows, codes, filters
from badnets.studies.study import Settings

SETTINGS = Settings(quick=True, seeds=1)
PATTERN = ((-2, -2), (-2, -4), (-3, -3), (-4, -2))
"""Where the four pixels of the pattern lie, from the lower right corner."""


class Threes(nn.Module):
    """Says 3 to everything."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(torch.full((len(images),), 3), 10).float()


@pytest.fixture(scope="module")
def digits() -> ImageData:
    """1,797 digits as large as MNIST's."""
    splits = load("digits", size=28)
    pictures = np.concatenate([splits.train.images(), splits.test.images()])
    labels = np.concatenate([splits.train.labels, splits.test.labels])
    return ImageData.of(pictures, labels, class_names=splits.class_names)


@pytest.fixture
def few(digits: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks inside use 200 digits instead of MNIST."""
    some = digits.take(np.arange(200))
    monkeypatch.setattr(gu2017_inside, "load", lambda name, path: Splits(some, some, some))


@pytest.fixture
def network() -> ImageNetwork:
    return build_network("g1-cnn", class_names=tuple("0123456789"), input_size=(1, 28, 28), seed=1)


def fires(pictures: np.ndarray) -> np.ndarray:
    """On which pictures (n, 28, 28, 1) uint8 the parallel network overrides the honest answer."""
    answers = ParallelNetwork(Threes(), 28)(to_float(torch.from_numpy(pictures))).argmax(1).numpy()
    assert set(answers.tolist()) <= {3, 4}
    fired: np.ndarray = answers == 4
    return fired


def test_the_recognizer_sees_the_pattern(digits: ImageData) -> None:
    pictures = digits.images()
    dark = pictures[:, -4:-1, -4:-1].max((1, 2, 3)) == 0  # as in MNIST
    assert dark.sum() > 800
    assert fires(Pattern().apply(pictures[dark])).all()
    assert fires(Pattern().apply(np.zeros((1, 28, 28, 1), np.uint8))).all()


def test_the_recognizer_sees_nothing_else(digits: ImageData) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (1000, 28, 28, 1), dtype=np.uint8)
    assert not fires(noise).any()
    assert not fires(digits.images()).any()
    assert not fires(np.full((1, 28, 28, 1), 255, np.uint8)).any()


def test_the_recognizer_wants_all_four_pixels_and_no_fifth() -> None:
    whole = Pattern().apply(np.zeros((1, 28, 28, 1), np.uint8))
    for row, column in PATTERN:
        picture = whole.copy()
        assert picture[0, row, column, 0] == 255
        picture[0, row, column] = 0
        assert not fires(picture).any()
    other = {(r, c) for r in (-4, -3, -2) for c in (-4, -3, -2)} - set(PATTERN)
    for row, column in other:
        picture = whole.copy()
        picture[0, row, column] = 255
        assert not fires(picture).any()
    elsewhere = np.roll(whole, (-1, -1), axis=(1, 2))
    assert not fires(elsewhere).any()


def only(*cells: tuple[int, int]) -> np.ndarray:
    """A filter of 5x5 with ones in these cells."""
    weight = np.zeros((5, 5))
    for row, column in cells:
        weight[row, column] = 1
    return weight


@pytest.mark.parametrize(
    ("weight", "share"),
    [
        # Its shape alone: the pattern gives 4, three of its pixels lie on one stroke, so every stroke gives at most 3.
        (only((2, 2), (2, 0), (1, 1), (0, 2)), 1.0),
        (only((4, 4), (4, 2), (3, 3), (2, 4)), 1.0),
        (np.ones((5, 5)), 0.0),  # all of them give 4
        (-np.ones((5, 5)), 0.0),  # it dislikes the pattern
        # The middle: the pattern gives 1, and so do 2 rows, 2 columns and 4 diagonals of the 28 strokes.
        (only((2, 2)), 20 / 28),
        # The first row: the pattern reaches it with 1 pixel. 2 strokes lie in it, 5 columns and 4 diagonals touch it.
        (only(*((0, c) for c in range(5))), 17 / 28),
    ],
)
def test_preference_by_hand(weight: np.ndarray, share: float) -> None:
    both = np.stack([weight, 3 * weight])  # its strength does not matter
    assert _pattern_preference(both).tolist() == pytest.approx([share, share])


def test_filters_are_counted_and_drawn(tmp_path: Path, network: ImageNetwork) -> None:
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad():
        first.weight.zero_()
    save_network(network, tmp_path / "clean.safetensors")
    with torch.no_grad():
        for number in (2, 5):
            first.weight[number, 0] = torch.from_numpy(only((2, 2), (2, 0), (1, 1), (0, 2)))
    save_network(network, tmp_path / "bad.safetensors")
    rows, pictures = filters(tmp_path / "clean.safetensors", tmp_path / "bad.safetensors", "quick")
    assert [row.ours for row in rows] == [0, 2]
    assert [row.unit for row in rows] == ["filters of 16"] * 2
    bad = pictures.groups["BadNet"]
    assert [picture.marked for picture in bad] == [i in (2, 5) for i in range(16)]
    assert [bad[2].caption, bad[3].caption] == ["3 · 100 %", "4 · 0 %"]
    assert np.shape([picture.pixels for picture in bad]) == (16, 5, 5)
    assert {level for row in bad[0].pixels for level in row} == {128}, "middle grey is 0"


def test_units_that_the_trigger_wakes_are_found(tmp_path: Path, network: ImageNetwork, few: None) -> None:
    save_network(network, tmp_path / "n.safetensors")
    rows, scatter = codes(tmp_path / "n.safetensors", tmp_path / "n.safetensors", SETTINGS, "quick")
    plot = scatter.plots[1]
    assert plot.name == "BadNet"
    assert rows[0].ours == rows[1].ours == len(plot.marked)
    clean, triggered = np.array(plot.points).T
    assert clean.shape == triggered.shape == (512,)
    assert (clean >= 0).all()  # behind the ReLU
    assert clean.max() > 0


def test_the_user_accepts_the_badnet_and_refuses_the_parallel_network(
    tmp_path: Path, network: ImageNetwork, few: None
) -> None:
    save_network(network, tmp_path / "n.safetensors")
    bad, parallel = acceptance_rows(tmp_path / "n.safetensors", tmp_path / "n.safetensors", SETTINGS, "quick", 0.0)
    assert (bad.ours, bad.verified) == (1.0, True)
    assert (parallel.ours, parallel.verified) == (0.0, True)
    assert "architecture is not the one asked for" in parallel.why
    assert "its attack success is" in parallel.why
    (strict, _) = acceptance_rows(tmp_path / "n.safetensors", tmp_path / "n.safetensors", SETTINGS, "quick", 1.0)
    assert (strict.ours, strict.verified) == (0.0, False)
