from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from badnets.core.cache import CacheWarning
from badnets.core.errors import BadInput
from badnets.data.formats.npz_file import NpzFile
from badnets.data.images import ArrayStore
from badnets.data.load import load

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 6, 5, 3), dtype=np.uint8)
LABELS = np.arange(30) % 3
TEST = IMAGES[:9] ^ np.uint8(255)


def save(folder: Path, *, compressed: bool = False, **arrays: Any) -> Path:
    path = folder / "set.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


@pytest.mark.parametrize(
    "keys",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("images", "labels", "test_images", "test_labels"),
        ("train_images", "train_labels", "test_images", "test_labels"),
    ],
)
def test_layouts(tmp_path: Path, keys: tuple[str, ...]) -> None:
    data = load(save(tmp_path, **dict(zip(keys, (IMAGES, LABELS, TEST, LABELS[:9]), strict=True))))
    assert data.train.name == "set"
    assert data.class_names == ("0", "1", "2")
    assert np.array_equal(data.train.images(), IMAGES)
    assert np.array_equal(data.test.images(), TEST)
    assert np.array_equal(data.train.labels, LABELS)


def test_medmnist_has_a_select_set(tmp_path: Path) -> None:
    sets = {f"{p}_images": IMAGES[..., 0] for p in ("train", "val", "test")}
    labels = {f"{p}_labels": LABELS[:, None].astype(np.uint8) for p in ("train", "val", "test")}
    data = load(save(tmp_path, **sets, **labels))
    assert len(data.select) == 30
    assert data.train.shape == (6, 5, 1)


def test_split_respects_groups_and_keeps_names_and_regions(tmp_path: Path) -> None:
    groups = np.array([f"track{i // 5}" for i in range(30)])
    region = np.tile(np.array([1, 2, 3, 4], np.float64), (30, 1)) + np.arange(30)[:, None]
    path = save(
        tmp_path,
        images=IMAGES,
        labels=np.arange(30) // 10,
        groups=groups,
        region=region,
        class_names=np.array(["a", "b", "c"]),
    )
    data = load(path, test_share=0.5, select=0.4, seed=1)
    assert data.class_names == ("a", "b", "c")
    held = [set(part.groups.tolist()) for part in (data.train, data.test, data.select) if part.groups is not None]
    assert not held[0] & held[1]
    assert not held[0] & held[2]
    rows = [int(np.flatnonzero((picture == IMAGES).all(axis=(1, 2, 3)))[0]) for picture in data.test.images()]
    assert data.test.targets.region is not None
    assert np.array_equal(data.test.targets.region, region[rows].astype(np.float32))
    sized = load(path, size=(12, 5), test_share=0.5)
    assert sized.train.targets.region is not None
    assert sized.train.targets.region.shape == (len(sized.train), 4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_scaled_and_rounded(tmp_path: Path, dtype: type) -> None:
    floats: np.ndarray = (IMAGES / 255).astype(dtype)
    data = load(save(tmp_path, x_train=floats, y_train=LABELS, x_test=floats, y_test=LABELS))
    assert np.array_equal(data.train.images(), IMAGES)


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.float32])
def test_whole_numbers_of_any_type(tmp_path: Path, dtype: type) -> None:
    whole: np.ndarray = IMAGES.astype(dtype)
    data = load(save(tmp_path, x_train=whole, y_train=LABELS, x_test=whole, y_test=LABELS))
    assert np.array_equal(data.train.images(), IMAGES)


def test_channels_first_is_transposed(tmp_path: Path) -> None:
    first = IMAGES.transpose(0, 3, 1, 2)
    data = load(save(tmp_path, x_train=first, y_train=LABELS, x_test=first[:, :1], y_test=LABELS), grey=True)
    assert data.train.shape == data.test.shape == (6, 5, 1)
    assert np.array_equal(data.test.images()[..., 0], IMAGES[..., 0])


@pytest.mark.parametrize("labels", [LABELS[:, None], np.eye(3)[LABELS], LABELS.astype(np.float32), LABELS == 1])
def test_labels(tmp_path: Path, labels: np.ndarray) -> None:
    data = load(save(tmp_path, x_train=IMAGES, y_train=labels, x_test=IMAGES, y_test=labels))
    assert np.array_equal(data.train.labels, LABELS if labels.dtype != bool else LABELS == 1)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["uint8", "float32", "fortran", "channels-first"])
def test_mapped_is_the_same(tmp_path: Path, compressed: bool, kind: str) -> None:
    images: np.ndarray = IMAGES
    if kind == "float32":
        images = (IMAGES / 255).astype(np.float32)
    elif kind == "fortran":
        images = np.asfortranarray(IMAGES)
    elif kind == "channels-first":
        images = np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2))
    path = save(tmp_path, compressed=compressed, x_train=images, y_train=LABELS, x_test=images[:9], y_test=LABELS[:9])
    whole, mapped = load(path), load(path, options={"map_above": 16})
    assert isinstance(mapped.train.pixels, ArrayStore)
    assert isinstance(mapped.train.pixels.array, np.memmap)
    assert not isinstance(whole.train.pixels, np.memmap)
    assert mapped.train.digest == whole.train.digest
    assert mapped.test.digest == whole.test.digest
    grey = load(path, options={"map_above": 16}, grey=True, size=3, select=0.3)
    assert grey.train.digest == load(path, grey=True, size=3, select=0.3).train.digest


def test_plain_arrays_are_mapped_where_they_lie(tmp_path: Path) -> None:
    path = save(tmp_path, images=IMAGES, labels=LABELS)
    array = NpzFile(path, map_above=16).array("images")
    assert isinstance(array, np.memmap)
    assert Path(str(array.filename)) == path


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_unwritable_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: type) -> None:
    images = IMAGES if dtype is np.uint8 else (IMAGES / 255).astype(dtype)
    path = save(tmp_path, compressed=True, images=images, labels=LABELS)
    expected = load(path).train.digest
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "file"))
    with pytest.warns(CacheWarning):
        assert load(path, options={"map_above": 1000}).train.digest == expected


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    objects = np.empty(30, dtype=object)
    for extra in ({"labels": objects}, {"labels": LABELS, "notes": objects}):
        with pytest.raises(BadInput, match=r"got objects in (labels|notes)"):
            load(save(tmp_path, images=IMAGES, **extra))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 0.99])
def test_truncated(tmp_path: Path, compressed: bool, keep: float) -> None:
    path = save(tmp_path, compressed=compressed, images=IMAGES, labels=LABELS)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(BadInput, match=r"expected a whole .npz file at .*set.npz, got a truncated or damaged one"):
        load(path)


@pytest.mark.parametrize("map_above", [16, 1 << 20])
def test_damage_inside(tmp_path: Path, map_above: int) -> None:
    path = save(tmp_path, compressed=True, images=IMAGES, labels=LABELS)
    content = bytearray(path.read_bytes())
    content[1000:1100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(BadInput, match="truncated or damaged"):
        load(path, options={"map_above": map_above})


def test_entry_that_is_no_array(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("images.npy", b"no array")
    with pytest.raises(BadInput, match="expected a plain array images"):
        load(tmp_path / "set.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": IMAGES}, r"expected x_train and y_train, or images and labels, in .*, got a; rename"),
        ({"images": IMAGES}, "expected y_train or train_labels or labels beside the pictures"),
        ({"images": IMAGES.astype(np.int64) + 1, "labels": LABELS}, r"numbers 0\.\.255 .* as images .*got 1 to 256"),
        ({"images": IMAGES.astype(np.float32) / 2, "labels": LABELS}, r"floats 0\.\.1 .*got 0 to 127.5, not all whole"),
        ({"images": IMAGES * np.float32(np.nan), "labels": LABELS}, "expected finite numbers as images .*got NaN"),
        ({"images": IMAGES.astype(str), "labels": LABELS}, "expected pictures as numbers as images"),
        ({"images": IMAGES[..., :2], "labels": LABELS}, r"expected pictures \(n, h, w\).*got \(30, 6, 5, 2\)"),
        ({"images": IMAGES[0, 0], "labels": LABELS[:5]}, r"expected pictures \(n, h, w\)"),
        ({"images": IMAGES, "labels": LABELS[:29]}, "expected 30 labels for images .*got 29"),
        ({"images": IMAGES, "labels": LABELS - 1}, "whole numbers from 0 as labels .*got -1 in row 0"),
        ({"images": IMAGES, "labels": LABELS + 0.5}, "whole numbers from 0 as labels .*got 0.5 in row 0"),
        ({"images": IMAGES, "labels": LABELS.astype(str)}, "expected whole numbers from 0 as labels"),
        ({"images": IMAGES, "labels": np.ones((30, 3), int)}, "expected one class for each picture"),
        ({"images": IMAGES, "labels": np.ones((30, 3, 1), int)}, r"expected labels as \(n,\)"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "expected pictures in images .*got 0"),
        ({"images": IMAGES, "labels": LABELS, "groups": LABELS[:3]}, r"expected groups \(30,\)"),
        ({"images": IMAGES, "labels": LABELS, "region": LABELS}, r"expected region as numbers \(30, 4\)"),
        ({"images": IMAGES, "labels": LABELS, "class_names": np.array(["a"])}, "at least 3 strings"),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:, :4], "y_test": LABELS},
            "set: expected pictures of one shape in all sets, got .*6, 5, 3.*4, 5, 3",
        ),
    ],
)
def test_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load(save(tmp_path, **arrays))


def test_absent(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"absent.npz, got nothing"):
        load("npz", path=tmp_path / "absent.npz")
