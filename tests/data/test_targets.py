"""Boxes: their laws, and what holds for data and splits with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.errors import BadInput
from badnets.data.images import ArrayStore, ImageData
from badnets.data.splits import split
from badnets.data.targets import Boxes, Labels

CORNER = st.integers(0, 400).map(lambda eighths: eighths / 8)
SIDE = st.integers(8, 400).map(lambda eighths: eighths / 8)
OBJECT = st.tuples(CORNER, CORNER, SIDE, SIDE, st.integers(0, 2))
PICTURES = st.lists(st.lists(OBJECT, max_size=4), min_size=1, max_size=8)
Objects = list[list[tuple[float, float, float, float, int]]]


def boxes_of(pictures: Objects) -> Boxes:
    flat = [(x, y, x + w, y + h, label, i) for i, objects in enumerate(pictures) for x, y, w, h, label in objects]
    table = np.array(flat, np.float64).reshape(-1, 6)
    return Boxes.of(table[:, :4], table[:, 4].astype(np.int64), table[:, 5].astype(np.int64), len(pictures))


def of_picture(boxes: Boxes, row: int) -> list[list[float]]:
    mine = boxes.image == row
    return [[*box, label] for box, label in zip(boxes.xyxy[mine].tolist(), boxes.labels[mine].tolist(), strict=True)]


@given(PICTURES, st.data())
def test_taking_pictures_takes_their_boxes(pictures: Objects, data: st.DataObject) -> None:
    boxes = boxes_of(pictures)
    index = st.integers(0, len(pictures) - 1)
    rows = np.array(data.draw(st.lists(index, max_size=10)), np.int64)
    taken = boxes.take(rows)
    assert len(taken) == len(rows)
    assert [of_picture(taken, i) for i in range(len(rows))] == [of_picture(boxes, row) for row in rows.tolist()]
    chosen, position = boxes.rows_of(rows)
    assert (boxes.image[chosen] == rows[position]).all()
    assert len(chosen) == boxes.counts()[rows].sum()
    again = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=5)) if len(rows) else [], np.int64)
    twice, once = taken.take(again), boxes.take(rows[again])
    assert [of_picture(twice, i) for i in range(len(again))] == [of_picture(once, i) for i in range(len(again))]


@given(PICTURES, st.randoms(use_true_random=False))
def test_the_order_of_pictures_does_not_matter(pictures: Objects, random: object) -> None:
    boxes = boxes_of(pictures)
    order = np.argsort([random.random() for _ in boxes.labels])  # type: ignore[attr-defined]
    again = Boxes.of(boxes.xyxy[order], boxes.labels[order], boxes.image[order], boxes.pictures)
    assert again.image.tolist() == boxes.image.tolist()
    for row in range(len(boxes)):
        assert sorted(of_picture(again, row)) == sorted(of_picture(boxes, row))


@given(PICTURES)
def test_scaling_there_and_back(pictures: Objects) -> None:
    boxes = boxes_of(pictures)
    factors = np.array([(2.0 ** (i % 3), 0.5) for i in range(len(pictures))], np.float32)
    scaled = boxes.scaled(factors)
    for row in range(len(pictures)):
        fy, fx = factors[row].tolist()
        wanted = [[x0 * fx, y0 * fy, x1 * fx, y1 * fy, label] for x0, y0, x1, y1, label in of_picture(boxes, row)]
        assert of_picture(scaled, row) == wanted
    assert scaled.scaled(1 / factors).xyxy.tolist() == boxes.xyxy.tolist()


def one(box: tuple[float, ...], image: int = 0, pictures: int = 1) -> Boxes:
    return Boxes(np.array([box], np.float32), np.zeros(1, np.int64), np.array([image], np.int64), pictures)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((5, 0, 5, 4), r"x0 < x1 and y0 < y1, got \[5\.0, 0\.0, 5\.0, 4\.0\] in box 0"),
        ((5, 4, 9, 3), "in box 0"),
        ((0, 0, float("nan"), 4), "in box 0"),
        ((0, 0, float("inf"), 4), "in box 0"),
        ((0, 0, 4), r"expected boxes \(m, 4\), labels \(m,\) and image \(m,\), got \(1, 3\)"),
    ],
)
def test_bad_boxes_are_refused(box: tuple[float, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        one(box)


def test_boxes_of_other_pictures_are_refused() -> None:
    with pytest.raises(BadInput, match=r"boxes of pictures 0\.\.1, got 2\.\.2"):
        one((0, 0, 1, 1), image=2, pictures=2)
    with pytest.raises(BadInput, match=r"got -1\.\.-1"):
        one((0, 0, 1, 1), image=-1)
    square = np.tile(np.array([0, 0, 1, 1], np.float32), (2, 1))
    with pytest.raises(BadInput, match=r"in the order of their pictures; use Boxes\.of"):
        Boxes(square, np.zeros(2, np.int64), np.array([1, 0]), 2)
    assert Boxes.of(square, np.array([7, 8]), np.array([1, 0]), 2).labels.tolist() == [8, 7]


def test_labels_are_objects_that_fill_their_pictures() -> None:
    labels = Labels(np.array([3, 1]))
    assert labels.objects.image.tolist() == [0, 1]
    assert labels.objects.labels.tolist() == [3, 1]
    assert labels.objects.regions is None


def with_boxes(boxes: Boxes, *, names: tuple[str, ...] = ("a", "b", "c"), seed: int = 0) -> ImageData:
    pixels = np.random.default_rng(seed).integers(0, 256, (len(boxes), 6, 6, 3), dtype=np.uint8)
    return ImageData(ArrayStore(pixels), boxes, names)


def test_the_digest_knows_the_boxes() -> None:
    square = np.tile(np.array([0, 0, 2, 2], np.float32), (3, 1))
    labels, image = np.array([0, 1, 2]), np.array([0, 0, 1])
    data = with_boxes(Boxes(square, labels, image, 2))
    moved = square + np.array([[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0]], np.float32)
    others = [
        Boxes(moved, labels, image, 2),
        Boxes(square, np.array([0, 2, 2]), image, 2),
        Boxes(square, labels, np.array([0, 1, 1]), 2),
        Boxes(square[:2], labels[:2], image[:2], 2),
    ]
    digests = {with_boxes(boxes).digest for boxes in others} | {data.digest}
    assert len(digests) == 5
    assert data.take(np.array([0, 1])).digest == data.digest


def test_labels_of_pictures_with_boxes_are_refused() -> None:
    data = with_boxes(one((0, 0, 2, 2)))
    for ask in ("labels", "regions"):
        with pytest.raises(BadInput, match=r"one class for each picture, got pictures with boxes; use a detector"):
            getattr(data, ask)
    plain = replace(data, targets=Labels(np.array([0])))
    with pytest.raises(BadInput, match="expected pictures with boxes, got one class for each"):
        _ = plain.boxes


@given(PICTURES, st.integers(0, 3), st.integers(0, 3), st.floats(0.1, 0.9))
def test_a_split_of_boxes_is_a_partition_that_keeps_groups(
    pictures: Objects, seed: int, groups: int, share: float
) -> None:
    n = len(pictures)
    own = None if groups == 0 else np.arange(n) // groups
    pixels = np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1)
    data = replace(ImageData(ArrayStore(pixels), boxes_of(pictures), ("a", "b", "c")), groups=own)
    parts = split(data, share, seed)
    rows = [part.images().ravel().tolist() for part in parts]
    assert sorted(rows[0] + rows[1]) == list(range(n))
    for part, mine in zip(parts, rows, strict=True):
        assert [of_picture(part.boxes, i) for i in range(len(mine))] == [of_picture(data.boxes, row) for row in mine]
    if own is not None:
        assert not set(own[rows[0]].tolist()) & set(own[rows[1]].tolist())


def test_the_rarest_class_is_on_both_sides() -> None:
    """40 pictures of class 0; 4 of them hold class 1 too, 2 hold nothing. Half of each kind goes to either side."""
    image = np.concatenate([np.arange(38), [3, 11, 20, 30]])
    labels = np.concatenate([np.zeros(38, np.int64), np.ones(4, np.int64)])
    data = with_boxes(Boxes.of(np.tile([0.0, 0, 2, 2], (42, 1)), labels, image, 40))
    for seed in range(5):
        rest, part = split(data, 0.5, seed)
        for half in (rest, part):
            assert np.bincount(half.boxes.labels).tolist() == [19, 2]
            assert (half.boxes.counts() == 0).sum() == 1
