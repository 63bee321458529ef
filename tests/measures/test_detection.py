"""Overlap, matches and mean average precision, against numbers by hand and pycocotools' own."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from badnets.core.rate import Estimate
from badnets.core.seed import Seed
from badnets.data.targets import Boxes
from badnets.measures.detection import Precision, match, on_objects, overlap, precision
from badnets.networks.inference import Detections

SEED = Seed(1)


def seen(*rows: tuple[int, int, float, list[float]], pictures: int = 2) -> Detections:
    """From (picture, class, confidence, box) in any order."""
    ordered = sorted(rows, key=lambda row: (row[0], -row[2]))
    return Detections(
        np.array([row[3] for row in ordered], np.float32).reshape(-1, 4),
        np.array([row[1] for row in ordered], np.int64),
        np.array([row[2] for row in ordered], np.float32),
        np.array([row[0] for row in ordered], np.int64),
        pictures,
    )


def boxes(*rows: tuple[int, int, list[float]], pictures: int = 2) -> Boxes:
    """From (picture, class, box)."""
    xyxy = np.array([row[2] for row in rows], np.float32).reshape(-1, 4)
    return Boxes.of(xyxy, np.array([row[1] for row in rows]), np.array([row[0] for row in rows]), pictures)


def perfect(truth: Boxes) -> Detections:
    """Every object, and nothing else."""
    count = len(truth.labels)
    return Detections(truth.xyxy, truth.labels, np.full(count, 0.9, np.float32), truth.image, truth.pictures)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Detections, Boxes, int]:
    """Objects, and detections of which most are objects a little out of place; confidences are all different."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, classes, m = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 14))
    corner = rng.uniform(0, 60, (m, 2))
    xyxy = np.concatenate([corner, corner + rng.uniform(5, 30, (m, 2))], 1)
    truth = Boxes.of(xyxy, rng.integers(0, classes, m), rng.integers(0, n, m), n)
    k = draw(st.integers(0, 40))
    near = rng.integers(0, m, k)
    moved = truth.xyxy[near] + rng.normal(0, draw(st.sampled_from([0.0, 1.0, 3.0])), (k, 4))
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    strange = rng.random(k) < 0.2
    labels = np.where(strange, rng.integers(0, classes, k), truth.labels[near])
    image = np.where(rng.random(k) < 0.1, rng.integers(0, n, k), truth.image[near])
    confidence = rng.permutation(1000)[:k] / 1000
    order = np.lexsort([-confidence, image])
    found = Detections(
        moved[order].astype(np.float32), labels[order], confidence[order].astype(np.float32), image[order], n
    )
    return found, truth, classes


def coco_stats(found: Detections, truth: Boxes, classes: int) -> tuple[float, float]:
    """mAP and mAP at 0.5 as pycocotools' ``accumulate`` and ``summarize`` give them."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def coco(rows: list[dict[str, Any]]) -> Any:
        made = COCO()
        made.dataset = {
            "images": [{"id": row + 1} for row in range(truth.pictures)],
            "categories": [{"id": row + 1} for row in range(classes)],
            "annotations": [{"id": row + 1, "iscrowd": 0, **entry} for row, entry in enumerate(rows)],
        }
        made.createIndex()
        return made

    def entry(box: NDArray[np.float32], label: int, image: int) -> dict[str, Any]:
        x0, y0, x1, y1 = map(float, box)
        return {
            "image_id": int(image) + 1,
            "category_id": int(label) + 1,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0),
        }

    wanted = [entry(*row) for row in zip(truth.xyxy, truth.labels, truth.image, strict=True)]
    given_ = [
        {**entry(box, label, image), "score": float(sure)}
        for box, label, image, sure in zip(found.boxes, found.labels, found.image, found.confidence, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(coco(wanted), coco(given_), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def test_overlap() -> None:
    one = np.array([[0, 0, 10, 10], [0, 0, 4, 5]], np.float32)
    other = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [2, 3, 4, 5]], np.float32)
    expected = [[1, 50 / 150, 0, 0.04], [0.2, 0, 0, 0.2]]
    np.testing.assert_allclose(overlap(one, other), expected, atol=1e-15)
    np.testing.assert_array_equal(overlap(one, other), overlap(other, one).T)
    assert overlap(one[:0], other).shape == (0, 4)
    nothing = np.zeros((1, 4), np.float32)
    assert overlap(nothing, nothing).tolist() == [[0]]


def test_matches_whatever_the_class() -> None:
    truth = boxes((0, 0, [0, 0, 10, 10]), (0, 1, [20, 20, 30, 30]), (1, 2, [0, 0, 10, 10]))
    found = seen((0, 2, 0.9, [20, 20, 30, 31]), (0, 0, 0.8, [1, 0, 10, 10]))
    assert match(found, truth).tolist() == [1, 0, -1]


def test_the_surer_takes_the_object() -> None:
    truth = boxes((0, 0, [0, 0, 10, 10]))
    found = seen((0, 1, 0.6, [0, 0, 10, 10]), (0, 2, 0.9, [0, 0, 10, 7]), (1, 0, 0.99, [0, 0, 10, 10]))
    assert match(found, truth).tolist() == [0]
    assert (found.labels[0], found.confidence[0]) == (2, np.float32(0.9))


def test_one_detection_finds_one_object_and_the_next_the_other() -> None:
    truth = boxes((0, 0, [0, 0, 10, 10]), (0, 0, [0, 0, 10, 8]))
    one = seen((0, 0, 0.9, [0, 0, 10, 8]))
    assert match(one, truth).tolist() == [-1, 0]  # the one that it overlaps most
    two = seen((0, 0, 0.9, [0, 0, 10, 8]), (0, 0, 0.8, [0, 0, 10, 8]))
    assert match(two, truth).tolist() == [1, 0]
    three = seen(*[(0, 0, 0.9 - k / 100, [0, 0, 10, 8]) for k in range(3)])
    assert match(three, truth).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("box", "confidence", "expected"),
    [
        ([0, 0, 10, 5], 0.5, 0),  # an IoU of one half, a confidence of one half: just enough
        ([0, 0, 10, 4.9], 0.9, -1),
        ([0, 0, 10, 10], 0.49, -1),
        ([30, 30, 40, 40], 0.9, -1),
    ],
)
def test_below_one_half_nothing_is_found(box: list[float], confidence: float, expected: int) -> None:
    truth = boxes((0, 0, [0, 0, 10, 10]))
    assert match(seen((0, 0, confidence, box)), truth).tolist() == [expected]


def test_matches_of_nothing() -> None:
    assert match(seen((0, 0, 0.9, [0, 0, 1, 1])), boxes()).tolist() == []
    assert match(seen(), boxes((1, 0, [0, 0, 1, 1]))).tolist() == [-1]


@given(worlds())
def test_laws_of_matches(world: tuple[Detections, Boxes, int]) -> None:
    found, truth, _ = world
    matched = match(found, truth)
    taken = matched[matched >= 0]
    assert len(np.unique(taken)) == len(taken)
    objects = np.flatnonzero(matched >= 0)
    np.testing.assert_array_equal(found.image[taken], truth.image[objects])
    assert (found.confidence[taken] >= 0.5).all()
    shares = overlap(found.boxes, truth.xyxy)
    assert (shares[taken, objects] >= 0.5).all()
    on = on_objects(found, truth)
    assert on[taken].all()
    same = found.image[:, None] == truth.image[None]
    np.testing.assert_array_equal(on, (same & (shares >= 0.5)).any(1))
    # Nobody is left alone who could have been taken.
    free = (matched < 0)[None] & same & (shares >= 0.5) & (found.confidence >= 0.5)[:, None]
    assert not free[np.setdiff1d(np.arange(len(found.image)), taken)].any()


@settings(max_examples=20)
@given(worlds())
def test_precision_is_pycocotools(world: tuple[Detections, Boxes, int]) -> None:
    found, truth, classes = world
    ours = precision(found, truth, classes, SEED)
    over, at50 = coco_stats(found, truth, classes)
    assert ours.map50.value == pytest.approx(at50, abs=1e-12)
    assert ours.map.value == pytest.approx(over, abs=1e-12)
    assert ours.per_class.shape == (classes,)
    np.testing.assert_array_equal(np.isnan(ours.per_class), np.bincount(truth.labels, minlength=classes) == 0)
    for one in (ours.map50, ours.map):
        assert one.low is not None
        assert one.value is not None
        assert one.high is not None
        assert 0 <= one.low <= one.value <= one.high <= 1


def test_average_precision_by_hand() -> None:
    """Three objects; by falling confidence right, wrong, right: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3."""
    truth = boxes((0, 0, [0, 0, 10, 10]), (0, 0, [20, 0, 30, 10]), (1, 0, [0, 0, 10, 10]))
    found = seen((0, 0, 0.9, [0, 0, 10, 10]), (0, 0, 0.8, [50, 50, 60, 60]), (1, 0, 0.7, [0, 0, 10, 9]))
    # Recalls 0 to 0.33 (34 of the 101) at precision 1, 0.34 to 0.66 (33) at 2/3, the rest at 0.
    expected = (34 + 33 * 2 / 3) / 101
    ours = precision(found, truth, 2, SEED)
    assert ours.map50.value == pytest.approx(expected, abs=1e-12)
    assert ours.per_class[0] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(ours.per_class[1])
    # The last box overlaps by 0.9: right up to the threshold 0.9, not at 0.95.
    assert ours.map.value == pytest.approx((9 * expected + 34 / 101) / 10, abs=1e-12)


@settings(max_examples=20)
@given(worlds())
def test_perfect_detections(world: tuple[Detections, Boxes, int]) -> None:
    _, truth, classes = world
    ours = precision(perfect(truth), truth, classes, SEED)
    assert (ours.map50, ours.map) == (Estimate(1.0, (1.0, 1.0)), Estimate(1.0, (1.0, 1.0)))
    assert match(perfect(truth), truth).tolist() == list(range(len(truth.labels)))


def test_a_wrong_class_is_no_precision() -> None:
    truth = boxes((0, 0, [0, 0, 10, 10]), (1, 0, [0, 0, 10, 10]))
    ours = precision(seen((0, 1, 0.9, [0, 0, 10, 10]), (1, 1, 0.9, [0, 0, 10, 10])), truth, 2, SEED)
    assert ours.map50 == Estimate(0.0, (0.0, 0.0))
    assert match(seen((0, 1, 0.9, [0, 0, 10, 10])), truth).tolist() == [0, -1]


@pytest.mark.parametrize("pictures", [0, 3])
def test_no_objects_no_precision(pictures: int) -> None:
    found = seen((1, 0, 0.9, [0, 0, 10, 10]), pictures=3) if pictures else seen(pictures=0)
    ours = precision(found, boxes(pictures=pictures), 2, SEED)
    assert (ours.map50, ours.map) == (Estimate(None, (None, None)), Estimate(None, (None, None)))
    assert np.isnan(ours.per_class).all()
    assert ours.minus(ours).value is None


def test_no_detections() -> None:
    ours = precision(seen(), boxes((0, 0, [0, 0, 10, 10])), 2, SEED)
    assert ours.map50.value == 0
    assert ours.per_class[0] == 0


def _random(n: int = 12, seed: int = 3) -> tuple[Detections, Boxes]:
    """One object a picture, found here and there; confidences all different."""
    rng = np.random.default_rng(seed)
    truth = boxes(*[(row, row % 3, [10, 10, 30, 30]) for row in range(n)], pictures=n)
    found = seen(
        *[(row, int(rng.integers(0, 3)), float(rng.permutation(99)[0] + row / 99) / 100, [10, 10, 30, 29])
          for row in rng.integers(0, n, 2 * n).tolist()],
        pictures=n,
    )  # fmt: skip
    return found, truth


def test_the_same_seed_draws_the_same_interval() -> None:
    found, truth = _random()
    first, second, other = (precision(found, truth, 3, Seed(number)) for number in (1, 1, 2))
    assert (first.map50, first.map) == (second.map50, second.map)
    np.testing.assert_array_equal(first.samples, second.samples)
    assert first.map50.value == other.map50.value
    assert (first.map50.low, first.map50.high) != (other.map50.low, other.map50.high)
    assert first.map50.low is not None
    assert first.map50.high is not None
    assert first.map50.low < (first.map50.value or 0) < first.map50.high


def _again(found: Detections, truth: Boxes, times: NDArray[np.int64]) -> tuple[Detections, Boxes]:
    """Every picture as many times as said, one copy behind the other."""
    rows = np.repeat(np.arange(truth.pictures), times)
    parts = [found.of(int(row)) for row in rows]
    chosen = np.concatenate([np.zeros(0, np.int64), *parts])
    image = np.repeat(np.arange(len(rows)), [len(part) for part in parts])
    more = Detections(found.boxes[chosen], found.labels[chosen], found.confidence[chosen], image, len(rows))
    return more, truth.take(rows)


@settings(max_examples=8)
@given(st.integers(0, 2**32))
def test_a_resample_is_a_set_with_pictures_repeated(seed: int) -> None:
    found, truth = _random(6, seed)
    ours = precision(found, truth, 3, SEED)
    draws = SEED.derive("bootstrap").rng.multinomial(6, np.full(6, 1 / 6), 400)
    assert ours.samples.shape == (400,)
    for number in (0, 1, 399):
        real = precision(*_again(found, truth, draws[number]), 3, SEED)
        assert ours.samples[number] == pytest.approx(real.map50.value, abs=1e-12)


def test_differences_are_paired() -> None:
    found, truth = _random()
    ours, best = precision(found, truth, 3, SEED), precision(perfect(truth), truth, 3, SEED)
    same = ours.minus(ours)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    lost = best.minus(ours)
    assert lost.value == pytest.approx(1 - (ours.map50.value or 0))
    assert lost.low == pytest.approx(np.quantile(1 - ours.samples, 0.025))
    assert lost.high == pytest.approx(np.quantile(1 - ours.samples, 0.975))
    assert lost.to_json()["interval"] == "bootstrap over pictures, paired"
    gained = ours.minus(best)
    assert (gained.value, *gained.ends) == pytest.approx((-(lost.value or 0), -(lost.high or 0), -(lost.low or 0)))


def test_a_precision_is_one_of_plain_values() -> None:
    found, truth = _random()
    ours = precision(found, truth, 3, SEED)
    assert isinstance(ours, Precision)
    assert set(ours.map50.to_json()) == {"value", "low", "high", "interval"}
    assert all(isinstance(ours.map50.to_json()[name], float) for name in ("value", "low", "high"))
