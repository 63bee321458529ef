"""Arrays as people have them: labels from 1, pictures of 0 and 1, booleans, floats that are labels."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from badnets.core.cache import DataWarning
from badnets.core.errors import BadInput
from badnets.data.images import Splits
from badnets.data.load import load

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)
LABELS = np.arange(30) % 3


def _npz(folder: Path, pixels: np.ndarray, labels: np.ndarray, **more: Any) -> Path:
    path = folder / "x.npz"
    np.savez(path, images=pixels, labels=labels, **more)
    return path


def _h5(folder: Path, pixels: np.ndarray, labels: np.ndarray) -> Path:
    path = folder / "x.h5"
    with h5py.File(path, "w") as file:
        file["data"], file["label"] = pixels, labels
    return path


def _labels(data: Splits) -> list[int]:
    return sorted(np.concatenate([data.train.labels, data.test.labels]).tolist())


@pytest.mark.parametrize("write", [_npz, _h5])
def test_labels_from_one_have_no_class_zero(write: Any, tmp_path: Path) -> None:
    with pytest.warns(DataWarning, match="labels are 1 to 3, not from 0; the classes are called 1 to 3, and numbered"):
        data = load(write(tmp_path, PIXELS, LABELS + 1))
    assert data.class_names == ("1", "2", "3")
    assert _labels(data) == sorted(LABELS.tolist())
    assert np.array_equal(np.unique(data.train.labels), [0, 1, 2])


def test_labels_from_one_with_names(tmp_path: Path) -> None:
    with pytest.warns(DataWarning, match="the classes are called as the 3 class_names, and numbered from 0"):
        data = load(_npz(tmp_path, PIXELS, LABELS + 1, class_names=["a", "b", "c"]))
    assert data.class_names == ("a", "b", "c")
    assert _labels(data) == sorted(LABELS.tolist())


def test_a_class_zero_that_is_named_stays_and_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.warns(DataWarning, match="labels are 1 to 3, so class 0 has no pictures; name another one as a target"):
        data = load(_npz(tmp_path, PIXELS, LABELS + 1, class_names=["background", "a", "b", "c"]))
    assert data.class_names == ("background", "a", "b", "c")
    assert set(_labels(data)) == {1, 2, 3}


def test_labels_with_gaps_keep_their_numbers(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load(_npz(tmp_path, PIXELS, LABELS * 2 + 1))
    assert len(data.class_names) == 6


def test_a_test_set_tells_too(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        more = {"test_images": PIXELS[:3], "test_labels": np.array([0, 1, 2])}
        data = load(_npz(tmp_path, PIXELS, LABELS + 1, **more))
    assert len(data.class_names) == 4


@pytest.mark.parametrize("write", [_npz, _h5])
@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_pictures_of_zero_and_one_are_said_to_be_black(write: Any, kind: Any, tmp_path: Path) -> None:
    with pytest.warns(
        DataWarning, match=r"pixels of (images|data) are 0 and 1 only, as whole numbers, which are black"
    ):
        data = load(write(tmp_path, (PIXELS > 127).astype(kind), LABELS))
    assert data.train.images().max() == 1


@pytest.mark.parametrize("write", [_npz, _h5])
@pytest.mark.parametrize("kind", [bool, np.float32])
def test_booleans_and_floats_are_black_and_white(write: Any, kind: Any, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load(write(tmp_path, (PIXELS > 127).astype(kind), LABELS))
    assert set(np.unique(data.train.images()).tolist()) == {0, 255}


@pytest.mark.parametrize("write", [_npz, _h5])
def test_floats_as_labels(write: Any, tmp_path: Path) -> None:
    assert _labels(load(write(tmp_path, PIXELS, LABELS.astype(float)))) == sorted(LABELS.tolist())
    with pytest.raises(BadInput, match=r"expected whole numbers from 0 as labels? in .*, got 0.7 in row 0"):
        load(write(tmp_path, PIXELS, LABELS + 0.7))


def _idx(folder: Path, labels: np.ndarray) -> Path:
    for part, rows in (("train", slice(0, 20)), ("t10k", slice(20, 30))):
        head = struct.pack(">IIII", 0x803, len(labels[rows]), 8, 8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + PIXELS[rows, ..., 0].tobytes())
        head = struct.pack(">II", 0x801, len(labels[rows]))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(head + labels[rows].astype(np.uint8).tobytes())
    return folder


def test_letters_from_one(tmp_path: Path) -> None:
    letters = np.concatenate([np.arange(1, 21), np.arange(1, 11)])
    with pytest.warns(DataWarning, match="labels are 1 to 20, not from 0"):
        data = load("idx", path=_idx(tmp_path, letters))
    assert data.class_names == tuple(map(str, range(1, 21)))
    assert data.train.labels.tolist() == list(range(20))


def test_digits_without_a_zero_stay_digits(tmp_path: Path) -> None:
    with pytest.warns(DataWarning, match="labels are 1 to 3, so class 0 has no pictures"):
        data = load("idx", path=_idx(tmp_path, LABELS + 1))
    assert data.class_names == tuple("0123456789")
