"""Picture sets: stores, views, sizes, digests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from badnets.core.errors import BadInput
from badnets.data.images import ArrayStore, Boxes, ImageData, Labels, MixedStore, Splits


def _data(n: int = 6, side: int = 4, channels: int = 3) -> ImageData:
    pixels = np.arange(n * side * side * channels, dtype=np.uint8).reshape(n, side, side, channels)
    return ImageData.of(pixels, np.arange(n) % 3, class_names=("a", "b", "c"), groups=np.arange(n) // 2)


@pytest.mark.parametrize("bad", [np.zeros((2, 4, 4, 3)), np.zeros((2, 3, 4, 4), np.uint8), np.zeros((4, 4), np.uint8)])
def test_other_arrays_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(BadInput, match="uint8"):
        ArrayStore(bad)


def test_labels_and_groups_must_fit() -> None:
    data = _data()
    with pytest.raises(BadInput, match="expected 6 targets"):
        replace(data, targets=Labels(np.zeros(5, np.int64)))
    with pytest.raises(BadInput, match=r"expected labels 0\.\.2"):
        replace(data, targets=Labels(np.full(6, 3)))
    with pytest.raises(BadInput, match="integers"):
        Labels(np.zeros(3))
    with pytest.raises(BadInput, match="regions"):
        Labels(np.zeros(3, np.int64), np.zeros((2, 4), np.float32))


def test_what_is_read_is_a_copy() -> None:
    data = _data()
    before = data.images()
    data.images()[:] = 0
    data.images(np.array([1, 2]))[:] = 0
    data.pixels.one(3)[:] = 0
    np.testing.assert_array_equal(data.images(), before)


def test_a_view_of_a_view() -> None:
    data = _data()
    view = data.take(np.array([5, 3, 1, 0])).take(np.array([2, 0]))
    np.testing.assert_array_equal(view.images(), data.images(np.array([1, 5])))
    np.testing.assert_array_equal(view.pixels.one(1), data.pixels.one(5))
    assert view.labels.tolist() == [1, 2]
    assert view.groups is not None
    assert view.groups.tolist() == [0, 2]


def test_batches_cover_all_rows_once() -> None:
    data = _data(7)
    parts = list(data.batches(3))
    assert np.concatenate([rows for rows, _ in parts]).tolist() == list(range(7))
    np.testing.assert_array_equal(np.concatenate([pictures for _, pictures in parts]), data.images())
    assert list(_data(6).take(np.zeros(0, np.int64)).batches(3)) == []


def test_the_digest_is_of_content_not_of_storage(tmp_path: Path) -> None:
    data = _data()
    path = tmp_path / "pixels.npy"
    np.save(path, data.images())
    mapped = replace(data, pixels=ArrayStore(np.load(path, mmap_mode="r")))
    turned = data.take(np.arange(6)[::-1].copy()).take(np.arange(6)[::-1].copy())
    assert data.digest == mapped.digest == turned.digest
    pixels = data.images()
    pixels[2, 0, 0, 0] ^= 1
    others = [
        replace(data, pixels=ArrayStore(pixels)),
        replace(data, targets=Labels((data.labels + 1) % 3)),
        replace(data, class_names=("a", "b", "x")),
        replace(data, targets=Labels(data.labels, np.zeros((6, 4), np.float32))),
        data.take(np.arange(5)),
    ]
    assert len({data.digest, *(other.digest for other in others)}) == 6


def test_the_digest_is_the_same_on_every_machine() -> None:
    assert _data().digest == "232aa6ef3af81aaafa33f8b05448b7ed871d9b8021fb29225f64d4841e68baf6"


def test_regions_follow_a_new_size() -> None:
    region = np.array([[1, 2, 3, 4]] * 6, np.float32)
    data = replace(_data(), targets=Labels(_data().labels, region)).resize((8, 12))
    assert data.shape == (8, 12, 3)
    assert data.targets.region is not None
    assert data.targets.region[0].tolist() == [3, 4, 9, 8]


def test_mixed_sizes_need_a_size() -> None:
    pictures = (np.zeros((4, 6, 3), np.uint8), np.full((5, 5, 3), 200, np.uint8))
    data = ImageData(MixedStore(pictures), Labels(np.array([0, 1])), ("a", "b"))
    with pytest.raises(BadInput, match="resize them first"):
        data.images()
    with pytest.raises(BadInput, match="resize them first"):
        _ = data.shape
    assert data.take(np.array([1])).pixels.one(0).shape == (5, 5, 3)
    same = data.resize((4, 4))
    assert same.images()[1].tolist() == np.full((4, 4, 3), 200).tolist()


def test_the_same_size_changes_nothing() -> None:
    data = _data()
    assert data.resize((4, 4)) is data


def test_data_is_told_in_one_line() -> None:
    pixels = np.zeros((1437, 8, 8, 1), np.uint8)
    digits = ImageData.of(pixels, np.arange(1437) % 10, name="digits")
    assert repr(digits) == "ImageData(digits: 1,437 pictures 8x8x1, 10 classes)"
    none = digits.take(np.zeros(0, np.int64))
    assert repr(Splits(digits, digits, none)) == (
        f"Splits(train={digits!r}, select=ImageData(digits: 0 pictures 8x8x1, 10 classes), test={digits!r})"
    )
    assert repr(digits.targets) == "Labels(1,437)"
    assert repr(Labels(np.zeros(2, np.int64), np.zeros((2, 4), np.float32))) == "Labels(2, with regions)"
    boxes = Boxes.of(np.array([[0, 0, 2, 2]] * 3), np.array([0, 1, 1]), np.array([0, 1, 1]), 4)
    assert repr(boxes) == "Boxes(3 in 4 pictures)"
    mixed = ImageData(MixedStore((np.zeros((2, 3, 3), np.uint8),) * 4), boxes, ("a", "b"), name="x")
    assert repr(mixed) == "ImageData(x: 4 pictures of mixed sizes, 2 classes, 3 boxes)"
