"""Objects as rows: whole pictures and crops with context."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.errors import BadInput
from badnets.data.images import ArrayStore, ImageData, MixedStore, TakenStore
from badnets.data.load import load
from badnets.data.objects import objects_as_rows
from badnets.data.splits import split
from badnets.data.targets import Boxes

BOXES = ((0, (2, 3, 8, 7), 1), (0, (0, 0, 4, 4), 0), (2, (10, 1, 12, 11), 1))
"""(picture, box, class); picture 1 has none."""


def scenes(*, groups: list[int] | None = None) -> ImageData:
    """Three pictures: 10x12, 8x8 and 12x14 (height, width)."""
    rng = np.random.default_rng(3)
    pictures = tuple(rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((10, 12), (8, 8), (12, 14)))
    boxes = Boxes.of(
        np.array([box for _, box, _ in BOXES], np.float32),
        np.array([label for *_, label in BOXES]),
        np.array([picture for picture, *_ in BOXES]),
        3,
    )
    own = None if groups is None else np.array(groups)
    return ImageData(MixedStore(pictures), boxes, ("stop", "light"), own, "scenes")


def test_whole_pictures_share_their_pixels() -> None:
    data = scenes()
    rows = objects_as_rows(data)
    assert isinstance(rows.pixels, TakenStore)
    assert rows.pixels.base is data.pixels
    assert (rows.class_names, rows.name) == (data.class_names, "scenes")
    assert rows.labels.tolist() == [1, 0, 1]
    assert rows.regions is not None
    assert rows.regions.tolist() == [list(map(float, box)) for _, box, _ in BOXES]
    assert rows.groups is not None
    assert rows.groups.tolist() == [0, 0, 2]
    for row, (picture, *_) in enumerate(BOXES):
        assert np.array_equal(rows.pixels.one(row), data.pixels.one(picture))


def test_whole_pictures_are_resized_once() -> None:
    data = scenes()
    rows = objects_as_rows(data, size=(20, 6))
    small = data.resize((20, 6))
    assert isinstance(rows.pixels, TakenStore)
    assert len(rows.pixels.base) == 3
    assert np.array_equal(rows.images(), small.images()[[0, 0, 2]])
    assert rows.regions is not None
    assert rows.regions[0].tolist() == [1, 6, 4, 14]  # 12 wide to 6, 10 high to 20


def test_groups_of_the_data_stay() -> None:
    assert objects_as_rows(scenes(groups=[7, 8, 7])).groups.tolist() == [7, 7, 7]  # type: ignore[union-attr]
    crops = objects_as_rows(scenes(groups=[7, 8, 9]), context=0, size=(4, 4))
    assert crops.groups is not None
    assert crops.groups.tolist() == [7, 7, 9]


def test_a_tight_crop_of_a_square_is_its_pixels() -> None:
    data = scenes()
    crops = objects_as_rows(data, context=0, size=(4, 4))
    assert crops.shape == (4, 4, 3)
    assert np.array_equal(crops.images()[1], data.pixels.one(0)[0:4, 0:4])
    assert crops.regions is not None
    assert crops.regions[1].tolist() == [0, 0, 4, 4]
    # 6 wide and 4 high: a square of 6 around (5, 5), so rows 2 to 8; the object lies in rows 1 to 5 of it.
    wide = objects_as_rows(data, context=0, size=(6, 6))
    assert np.array_equal(wide.images()[0], data.pixels.one(0)[2:8, 2:8])
    assert wide.regions is not None
    assert wide.regions[0].tolist() == [0, 1, 6, 5]


def test_the_edge_is_repeated_outside() -> None:
    data = scenes()
    crops = objects_as_rows(data, context=0.5, size=(8, 8))  # a square of 8 from (-2, -2) to (6, 6)
    picture = data.pixels.one(0)
    index = np.maximum(np.arange(-2, 6), 0)
    assert np.array_equal(crops.images()[1], picture[index][:, index])
    assert crops.regions is not None
    assert crops.regions[1].tolist() == [2, 2, 6, 6]
    # 2 wide and 10 high in the last columns of a picture of 12x14: a square of 20 around (11, 6), half its size.
    far = objects_as_rows(data, context=0.5, size=(20, 20)).images()[2]
    last = data.pixels.one(2)
    rows, columns = np.clip(np.arange(-4, 16), 0, 11), np.clip(np.arange(1, 21), 0, 13)
    assert np.array_equal(far, last[rows][:, columns])
    assert crops.regions[2].tolist() == pytest.approx([3.6, 2, 4.4, 6])


@given(st.floats(0, 20), st.floats(0, 20), st.floats(1, 20), st.floats(1, 20), st.floats(0, 2), st.integers(1, 40))
def test_a_crop_holds_its_object(x: float, y: float, w: float, h: float, context: float, side: int) -> None:
    boxes = Boxes.of(np.array([[x, y, x + w, y + h]]), np.array([0]), np.array([0]), 1)
    data = ImageData(ArrayStore(np.full((1, 30, 40, 1), 90, np.uint8)), boxes, ("a",))
    rows = objects_as_rows(data, context=context, size=(side, side))
    assert rows.shape == (side, side, 1)
    assert (rows.images() == 90).all()
    assert rows.regions is not None
    x0, y0, x1, y1 = rows.regions[0].tolist()
    assert 0 <= x0 < x1 <= side
    assert 0 <= y0 < y1 <= side
    share = 1 / (1 + 2 * context)
    assert max(x1 - x0, y1 - y0) == pytest.approx(side * share, rel=1e-3)
    assert (x0 + x1) / 2 == pytest.approx(side / 2, abs=1e-3 * side)
    assert (y1 - y0) * w == pytest.approx((x1 - x0) * h, rel=1e-2)


def test_labelled_pictures_are_one_object_each() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    region = np.array([[0, 0, 4, 4], [2, 2, 8, 8]], np.float32)
    data = ImageData.of(pixels, [1, 0], region=region)
    crops = objects_as_rows(data, context=0, size=(4, 4))
    assert np.array_equal(crops.images()[0], pixels[0, :4, :4])
    plain = objects_as_rows(ImageData.of(pixels, [1, 0]), context=0, size=(8, 8))
    assert np.array_equal(plain.images(), pixels)
    assert objects_as_rows(data).digest == data.digest


def test_pictures_without_objects_give_no_rows() -> None:
    none = scenes().take(np.array([1]))
    assert len(objects_as_rows(none)) == 0
    empty = objects_as_rows(none, context=0.2, size=(8, 8))
    assert (len(empty), empty.shape) == (0, (8, 8, 3))


def test_rows_of_a_picture_stay_together_unless_the_groups_are_taken_off() -> None:
    n = 60
    image = np.repeat(np.arange(n), 2)
    boxes = Boxes.of(np.tile([0.0, 0, 2, 2], (2 * n, 1)), np.zeros(2 * n, np.int64), image, n)
    pixels = np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1) * np.ones((1, 4, 4, 1), np.uint8)
    rows = objects_as_rows(ImageData(ArrayStore(pixels), boxes, ("a",)))

    def shared(data: ImageData) -> int:
        rest, part = split(data, 0.5, 1)
        return len(set(rest.images()[:, 0, 0, 0].tolist()) & set(part.images()[:, 0, 0, 0].tolist()))

    assert shared(rows) == 0
    assert shared(replace(rows, groups=None)) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"context": -0.1, "size": (4, 4)}, "context as a share .* got -0.1"),
        ({"context": float("nan"), "size": (4, 4)}, "context as a share"),
        ({"context": 0.2}, r"a size \(height, width\) of crops with context, got none"),
        ({"size": (0, 4)}, r"at least 1, got \(0, 4\)"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        objects_as_rows(scenes(), **arguments)  # type: ignore[arg-type]


@pytest.mark.data
def test_the_rows_of_d1(shared_data: Path) -> None:
    data = load("voc", path=shared_data / "road-sign-detection.tar.gz", size=(100, 75))
    parts = [objects_as_rows(part) for part in (data.train, data.test)]
    assert sum(map(len, parts)) == 1_244
    stop = data.class_names.index("stop")
    assert sum(int((part.labels == stop).sum()) for part in parts) == 91
    crops = objects_as_rows(data.test, context=0.25, size=(16, 16))
    assert crops.shape == (16, 16, 3)
    assert crops.labels.tolist() == parts[1].labels.tolist()
