"""HDF5 files of pictures: layouts, splits, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from badnets.core.errors import BadInput
from badnets.data.formats import convert
from badnets.data.formats.arrays import read_hdf5
from badnets.data.load import detect, load

PICTURES = np.random.default_rng(0).integers(0, 256, (12, 5, 4, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3


def write(path: Path, **arrays: Any) -> Path:
    with h5py.File(path, "w") as file:
        for key, value in arrays.items():
            file[key] = value
    return path


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return write(tmp_path / "faces.h5", data=PICTURES.transpose(0, 3, 1, 2), label=LABELS)


def test_the_layout_of_the_contest(faces: Path) -> None:
    assert detect(faces) == "hdf5"
    data = load(faces, select=0.25, test_share=0.25)
    assert data.train.name == "faces"
    assert data.class_names == ("0", "1", "2")
    assert [np.bincount(part.labels).tolist() for part in (data.train, data.select, data.test)] == [
        [2, 2, 2],
        [1, 1, 1],
        [1, 1, 1],
    ]
    whole = read_hdf5(faces)
    assert np.array_equal(whole.images(), PICTURES)
    assert np.array_equal(whole.labels, LABELS)


@pytest.mark.parametrize(
    ("data", "label"),
    [
        (PICTURES, LABELS),
        (PICTURES.transpose(0, 3, 1, 2).astype(np.float64), LABELS.astype(np.float32)),
        (PICTURES.astype(np.int32), LABELS[:, None].astype(np.uint8)),
        ((PICTURES / 255).astype(np.float32), LABELS),
    ],
    ids=["channels last", "floats to 255", "integers, column of labels", "floats to 1"],
)
def test_other_shapes_and_types(tmp_path: Path, data: Any, label: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "STEP_BYTES", 400)  # several parts
    whole = read_hdf5(write(tmp_path / "x.h5", data=data, label=label))
    assert np.array_equal(whole.images(), PICTURES)
    assert np.array_equal(whole.labels, LABELS)


def test_a_second_file_is_the_test_set(faces: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.h5", data=PICTURES[:2], label=[0, 4])
    data = load("hdf5", path=faces, options={"test": str(other)})
    assert len(data.train) == 12
    assert np.array_equal(data.test.images(), PICTURES[:2])
    assert data.train.class_names == data.test.class_names == tuple("01234")
    with pytest.raises(BadInput, match="got the same; name another"):
        load(faces, options={"test": str(faces)})


def test_more_classes_than_the_labels_show(faces: Path) -> None:
    assert load(faces, options={"classes": 7}).class_names == tuple("0123456")
    with pytest.raises(BadInput, match=r"labels 0\.\.1 in .*faces.h5 \(option classes\), got 2"):
        load(faces, options={"classes": 2})


def test_where_most_people_have_one_picture_whole_people_are_split(tmp_path: Path) -> None:
    labels = np.array([0, 0, 1, 1, *range(2, 22)])
    pictures = np.zeros((24, 3, 2, 2), np.uint8)
    pictures[:, 0, 0, 0] = np.arange(24)
    path = write(tmp_path / "few.h5", data=pictures, label=labels)
    data = load(path, test_share=0.5, select=0.5)
    parts = (data.train, data.select, data.test)
    assert [len(part) for part in parts] == pytest.approx([6, 6, 12], abs=1)
    people = [set(part.labels.tolist()) for part in parts]
    assert set.union(*people) == set(range(22))
    assert sum(map(len, people)) == 22
    for part in parts:
        assert np.array_equal(labels[part.images()[:, 0, 0, 0]], part.labels)
        assert part.groups is None
    assert load(path, test_share=0.5, select=0.5).test.digest == data.test.digest
    assert load(path, test_share=0.5, select=0.5, seed=1).test.digest != data.test.digest


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"data": PICTURES}, "expected datasets data and label in .*x.h5, got data; rename"),
        ({}, "got nothing; rename"),
        ({"images": PICTURES, "labels": LABELS}, "got images, labels; rename"),
        ({"data": PICTURES, "label": LABELS[:5]}, "expected 12 labels .*, got 5"),
        ({"data": PICTURES, "label": LABELS - 1.0}, r"from 0 as label in .*x.h5, got -1.0 in row 0"),
        ({"data": PICTURES, "label": LABELS + 0.5}, "got 0.5 in row 0"),
        ({"data": PICTURES, "label": np.full(12, np.nan)}, "got nan in row 0"),
        ({"data": PICTURES, "label": np.zeros((12, 3))}, "one class for each picture as label in .*x.h5"),
        ({"data": PICTURES, "label": ["a"] * 12}, "expected numbers as label"),
        ({"data": np.full((12, 5, 4, 3), np.nan), "label": LABELS}, "expected finite numbers as data .* NaN"),
        (
            {"data": PICTURES + 0.5, "label": LABELS},
            r"whole numbers 0\.\.255 or floats 0\.\.1 as data .*x.h5.*not all whole",
        ),
        ({"data": PICTURES.astype(int) * 2, "label": LABELS}, "got 0 to 5"),
        ({"data": PICTURES / 255 - 0.5, "label": LABELS}, "got -0.5 to 0.5, not all whole"),
        ({"data": PICTURES[..., :2], "label": LABELS}, "with c 1 or 3"),
        ({"data": PICTURES[0, 0, 0], "label": LABELS}, "with c 1 or 3"),
        ({"data": PICTURES[:0], "label": LABELS[:0]}, "expected numbers as data"),
        ({"model_weights": LABELS}, "weights of a Keras network; it belongs in the place of MODEL, with its arch"),
    ],
)
def test_other_layouts_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load(write(tmp_path / "x.h5", **arrays))


def test_files_that_are_not_whole_or_something_else(faces: Path, tmp_path: Path) -> None:
    content = faces.read_bytes()
    for name, wrong in (("short", content[: len(content) // 2]), ("empty", b""), ("text", b"no pictures")):
        path = tmp_path / f"{name}.h5"
        path.write_bytes(wrong)
        with pytest.raises(BadInput, match=f"expected a whole HDF5 file at .*{name}.h5"):
            load(path)
    with pytest.raises(BadInput, match=r"expected an HDF5 file at .*absent.h5, got nothing"):
        load(faces, options={"test": str(tmp_path / "absent.h5")})
    with pytest.raises(BadInput, match="expected a path with data 'hdf5'"):
        load("hdf5")


@pytest.mark.data
def test_the_faces_at_hand(shared_data: Path) -> None:
    folder = shared_data / "csaw-hackml"
    data = load(folder / "clean_faces.h5", options={"classes": 1283})
    assert (len(data.train), len(data.test)) == (64, 16)
    assert data.train.shape == (55, 47, 3)
    assert data.train.classes == 1283
    assert not set(data.train.labels.tolist()) & set(data.test.labels.tolist())
    assert read_hdf5(folder / "sunglasses_faces.h5").class_names == ("0",)
    with pytest.raises(BadInput, match="weights of a Keras network"):
        load(folder / "lab3_bd_weights.h5")
