"""Drawn street scenes: several signs in a picture, with boxes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from badnets.core.cache import CacheWarning
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng, Seed
from badnets.data.drawn import scenes
from badnets.data.drawn.canvas import Canvas
from badnets.data.drawn.scenes import MOST, SIDES, Street, render_scenes
from badnets.data.drawn.signs import class_names, faces_of, plates_of
from badnets.data.images import Splits
from badnets.data.load import load

STYLES = ("us", "eu")
SMALL: dict[str, Any] = {"size": 64, "train": 24, "test": 20}

# Only operations that IEEE 754 defines to the last bit are used, so these hold on every machine.
# A change of the drawing changes them: raise VERSION then (that of signs.py, if the signs changed as well).
GOLDEN = {
    ("us", 64): "645bdddba55f154a093132221f5ae0a93d5ad011159c97ae41c0451dae6cb451",
    ("us", 160): "cca0ceaa4abe97fbad44be871cf00dfca40a4d0406a2f3aba7fd20d1b3811e7c",
    ("eu", 64): "de14cdf6dca8dc6a048b4846f2901d1fcbfffa167d1fd0b20ad94cce8f65a7b5",
    ("eu", 160): "3060c7143e2787b9c79e591257d8b35be84459803be6a5ca1d8e41492da44347",
}


def load_scenes(progress: Any = None, **options: Any) -> Splits:
    return load("scenes", options=options, progress=progress)


def asked(n: int, style: str = "us") -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Counts, labels and rows of n pictures with 1, 2, 3, 4, 1, ... signs, all classes in turn."""
    rows = np.arange(n, dtype=np.int64)
    counts = rows % MOST + 1
    return counts, np.arange(counts.sum(), dtype=np.int64) % len(class_names(style)), rows


def street_of(style: str, counts: NDArray[np.int64], labels: NDArray[np.int64], seed: int = 5) -> Street:
    rows = np.arange(len(counts), dtype=np.int64)
    return Street.of(Seed(seed), rows, counts, labels, tuple(faces_of(style).values()))


def shared(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Intersection over union of two boxes."""
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    tall = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(wide * tall / (areas - wide * tall))


@pytest.mark.parametrize(("style", "size"), GOLDEN)
def test_the_same_pictures_on_every_machine(style: str, size: int) -> None:
    images, boxes = render_scenes(style, *asked(8, style), Seed(7), size)
    total = hashlib.sha256(images.tobytes() + boxes.astype("<f4").tobytes())
    assert total.hexdigest() == GOLDEN[style, size], "the drawing changed: raise VERSION and renew the digest"


@settings(max_examples=6, deadline=None)
@given(order=st.permutations(range(8)), cut=st.integers(0, 8))
def test_a_row_is_the_same_picture_in_any_batch(order: list[int], cut: int) -> None:
    counts, labels, rows = asked(8)
    start = np.cumsum(counts) - counts
    whole, where = render_scenes("us", counts, labels, rows, Seed(3), 64)
    for part in (np.array(order[:cut], dtype=np.int64), np.array(order[cut:], dtype=np.int64)):
        own = np.array([start[row] + k for row in part for k in range(counts[row])], dtype=np.int64)
        images, boxes = render_scenes("us", counts[part], labels[own], rows[part], Seed(3), 64)
        np.testing.assert_array_equal(images, whole[part])
        np.testing.assert_array_equal(boxes, where[own])


def test_the_number_of_threads_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "_PIXELS_AT_ONCE", 64 * 64 * 3)
    drawn = []
    for count in (1, 3):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        drawn.append(render_scenes("eu", *asked(10, "eu"), Seed(1), 64))
    np.testing.assert_array_equal(drawn[0][0], drawn[1][0])
    np.testing.assert_array_equal(drawn[0][1], drawn[1][1])


@pytest.mark.parametrize("style", STYLES)
def test_boxes_lie_inside_have_the_sizes_promised_and_hardly_overlap(style: str) -> None:
    counts, labels, _ = asked(400, style)
    street = street_of(style, counts, labels)
    boxes = street.boxes
    assert boxes.min() >= 0
    assert boxes.max() <= 1
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    assert longer.min() >= SIDES[0] - 1e-9
    assert longer.max() <= SIDES[1] + 1e-9
    assert longer.min() < 0.19
    assert longer.max() > 0.47
    stop = np.cumsum(counts)
    for last, count in zip(stop, counts, strict=True):
        own = boxes[last - count : last]
        assert all(shared(own[a], own[b]) <= 0.05 for a in range(count) for b in range(a))


def test_signs_that_find_no_place_get_a_quarter_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "_TRIES", 1)
    counts = np.full(60, MOST, dtype=np.int64)
    boxes = street_of("us", counts, np.arange(240, dtype=np.int64) % 16).boxes.reshape(60, MOST, 4)
    middles = (boxes[..., :2] + boxes[..., 2:]) / 2
    quarters = np.sort((middles[..., 0] > 0.5) * 2 + (middles[..., 1] > 0.5), axis=1)
    assert (quarters == np.arange(MOST)).all(axis=1).sum() > 40  # one try is hardly ever enough for four signs
    for own in boxes:
        assert max(shared(own[a], own[b]) for a in range(MOST) for b in range(a)) <= 0.05


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("size", [64, 160])
def test_boxes_are_tight(style: str, size: int) -> None:
    """On a black wall whatever is not black is a sign."""
    faces = faces_of(style)
    labels = np.arange(2 * len(faces), dtype=np.int64) % len(faces)
    street = street_of(style, np.ones(len(labels), dtype=np.int64), labels)
    rows = np.arange(len(labels), dtype=np.int64)
    picture = np.zeros((len(labels), 3, size, size), dtype=np.float32)
    scenes._signs(Canvas(RowRng(Seed(1), rows), size), picture, plates_of(style, size // 3), street)
    for box, drawn in zip(street.boxes * size, picture.max(axis=1), strict=True):
        down, across = np.nonzero(drawn > 0.003)
        covered = np.array([across.min(), down.min(), across.max() + 1, down.max() + 1])
        assert np.abs(box - covered).max() <= 1.6


def test_several_signs_are_drawn_within_their_boxes() -> None:
    counts, labels, rows = asked(40)
    street = street_of("us", counts, labels)
    picture = np.zeros((40, 3, 96, 96), dtype=np.float32)
    scenes._signs(Canvas(RowRng(Seed(1), rows), 96), picture, plates_of("us", 32), street)
    inside = np.zeros((40, 96, 96), dtype=bool)
    for image, (x0, y0, x1, y1) in zip(street.image, street.boxes * 96, strict=True):
        box = inside[image, int(y0 - 0.5) : int(y1 + 1.5), int(x0 - 0.5) : int(x1 + 1.5)]
        box[:] = True
        window = picture[image, :, int(y0) : int(y1 + 1), int(x0) : int(x1 + 1)]
        assert (window.max(axis=0) > 0.003).mean() > 0.35  # a leaning triangle fills a third of its box
    assert picture.max(axis=1)[~inside].max() <= 0.003


def test_leaves_hang_seldom_and_only_before_the_first_sign() -> None:
    counts, labels, rows = asked(120)
    street = street_of("us", counts, labels)
    flat = np.full((120, 3, 64, 64), 0.9, dtype=np.float32)
    scenes._leaves_before(Canvas(RowRng(Seed(1), rows), 64), flat, street)
    changed = (flat != np.float32(0.9)).any(axis=1)
    assert 4 <= changed.any(axis=(1, 2)).sum() <= 32
    for image, nth, box in zip(street.image, street.nth, street.boxes * 64, strict=True):
        x0, y0, x1, y1 = (int(v) for v in np.rint(box))
        within = changed[image, y0 + 1 : y1 - 1, x0 + 1 : x1 - 1].mean()
        assert within <= (0.6 if nth == 0 else 0)


@pytest.mark.parametrize("style", STYLES)
def test_splits_are_balanced_independent_and_have_one_to_four_signs(style: str) -> None:
    splits = load_scenes(style=style, **SMALL)
    names = class_names(style)
    assert splits.class_names == names
    for part, n in ((splits.train, 24), (splits.test, 20)):
        assert part.shape == (64, 64, 3)
        assert part.name == f"scenes-{style}"
        assert len(part) == len(part.boxes) == n
        assert set(part.boxes.counts()) <= {1, 2, 3, 4}
        often = np.bincount(part.boxes.labels, minlength=len(names))
        assert often.max() - often.min() <= 1
        assert (part.boxes.xyxy >= 0).all()
        assert (part.boxes.xyxy <= 64).all()
    assert len(splits.select) == 0
    train = {image.tobytes() for image in splits.train.images()}
    assert len(train) == 24
    assert not train & {image.tobytes() for image in splits.test.images()}


def test_every_count_of_signs_is_equally_likely() -> None:
    order = scenes.order("us", 64, 2_000, Seed(0))
    boxes = order.targets(np.tile(np.array([0, 0, 1, 1], np.float32), (order.objects, 1)))
    assert np.abs(np.bincount(boxes.counts(), minlength=5)[1:] - 500).max() < 80  # four standard deviations


def test_the_select_set_comes_from_the_training_set() -> None:
    whole = load_scenes(**SMALL)
    options = {"train": SMALL["train"], "test": SMALL["test"]}
    splits = load("scenes", size=SMALL["size"], options=options, select=0.25, seed=2)
    assert 0 < len(splits.select) < 12
    assert len(splits.train) + len(splits.select) == 24
    assert splits.test.digest == whole.test.digest


def test_seeds_give_different_scenes() -> None:
    first, second = (load_scenes(**SMALL, seed=seed).train for seed in (1, 2))
    assert not (first.images() == second.images()).all(axis=(1, 2, 3)).any()
    assert not np.array_equal(first.boxes.labels[:20], second.boxes.labels[:20])


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache keeps scenes; empty at first."""
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path))
    return tmp_path / "scenes"


def test_the_cache_gives_the_same_data_without_drawing(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = load_scenes(style="eu", **SMALL)
    assert len(list(kept.iterdir())) == 2
    drawn, _ = scenes.order("eu", 64, 24, Seed(0).derive("scenes", "eu", "train")).draw(None)
    np.testing.assert_array_equal(fresh.train.images(), drawn)
    monkeypatch.setattr(scenes, "render_scenes", lambda *_: pytest.fail("drawn"))
    seen: list[tuple[str, int, int]] = []
    again = load_scenes(style="eu", **SMALL, progress=lambda *step: seen.append(step))
    assert (again.train.digest, again.test.digest) == (fresh.train.digest, fresh.test.digest)
    assert seen[-1] == ("drawing scenes", 44, 44)


def test_a_damaged_cache_file_is_drawn_again(kept: Path) -> None:
    fresh = load_scenes(**SMALL)
    for path in kept.iterdir():
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(CacheWarning, match="damaged in the cache, and made anew"):
        again = load_scenes(**SMALL)
    assert (again.train.digest, again.test.digest) == (fresh.train.digest, fresh.test.digest)


def test_without_a_writable_cache_it_goes_on_after_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "file"))
    with pytest.warns(CacheWarning, match="cannot be written") as caught:
        splits = load_scenes(**SMALL)
    assert len(caught) == 1
    assert len(splits.train) == 24


def test_by_name_with_style_size_and_grey() -> None:
    counts = {"train": 20, "test": 18}
    steps: list[tuple[str, int, int]] = []
    data = load("scenes-eu", options={**counts, "seed": 4}, size=64, grey=True, progress=lambda *s: steps.append(s))
    same = load("scenes", options={**counts, "seed": 4, "style": "eu", "size": 64}, grey=True)
    assert data.train.shape == (64, 64, 1)
    assert (data.train.digest, data.test.digest) == (same.train.digest, same.test.digest)
    assert steps[-1] == ("drawing scenes", 38, 38)
    assert load("scenes", options={"train": 16, "test": 16}).train.shape == (160, 160, 3)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("scenes", {"options": {"style": "uss"}}, "did you mean 'us'"),
        ("scenes", {"size": 63}, "scenes: expected a size of at least 64 pixels, got 63"),
        ("scenes-eu", {"options": {"train": 16}}, "scenes: expected train of at least 17"),
        ("scenes", {"options": {"test": 3}}, "scenes: expected test of at least 16"),
        ("scenes", {"size": (64, 80)}, "size of scenes, which are square, got 64 x 80"),
        ("scenes", {"size": 64, "options": {"size": 80}}, "one size of scenes"),
        ("scenes-us", {"options": {"style": "eu"}}, "expected style 'us'"),
        ("scenes", {"path": Path("x")}, "expected no path with data 'scenes', got x; the scenes are drawn"),
        ("scenes", {"options": {"signs": 4}}, "expected one of its options, got 'signs'"),
    ],
)
def test_wrong_settings_are_named(name: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        load(name, **arguments)


@pytest.mark.parametrize(
    ("counts", "labels", "rows", "said"),
    [
        ([1, 5], [0] * 6, [0, 1], r"1 to 4 signs in a picture, got 1\.\.5"),
        ([0], [], [0], r"1 to 4 signs in a picture, got 0\.\.0"),
        ([1, 2], [0, 1], [0, 1], "one label for each of 3 signs"),
        ([1, 2], [0, 1, 16], [0, 1], r"labels 0\.\.15 for style us"),
        ([1, 2], [0, 1, 2], [0], "one row number for each count"),
    ],
)
def test_wrong_counts_labels_and_rows_are_named(
    counts: list[int], labels: list[int], rows: list[int], said: str
) -> None:
    arrays = [np.array(values, dtype=np.int64) for values in (counts, labels, rows)]
    with pytest.raises(BadInput, match=said):
        render_scenes("us", arrays[0], arrays[1], arrays[2], Seed(1), 64)


def test_no_pictures_is_no_error() -> None:
    none = np.zeros(0, dtype=np.int64)
    images, boxes = render_scenes("us", none, none, none, Seed(1), 64)
    assert (images.shape, boxes.shape) == ((0, 64, 64, 3), (0, 4))
