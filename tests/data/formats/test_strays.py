"""Files that are left out are counted and named, whatever holds them; and all that ends as a picture is found."""

from __future__ import annotations

import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from badnets.core.cache import DataWarning
from badnets.core.errors import BadInput
from badnets.data.formats.decode import ENDINGS
from badnets.data.load import load

CLASSES = ("cat", "dog")


def _set(root: Path) -> Path:
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((8, 8, 3), 40 * i, np.uint8)).save(root / name / f"{i}.png")
    return root


def _packed(root: Path) -> Path:
    archive = root.with_suffix(".tar.gz")
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(root, root.name)
    return archive


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_left_out_is_counted_and_named(tmp_path: Path, packed: bool) -> None:
    root = _set(tmp_path / "pets")
    for name in ("cat/1.heic", "cat/2.jp2", "dog/IMG_0001", "dog/3.svg", "README", "labels.csv", "cat/Thumbs.db"):
        (root / name).write_bytes(b"x")
    (root / "cat" / ".DS_Store").write_bytes(b"x")
    place = _packed(root) if packed else root
    top = "pets/" if packed else ""
    said = (
        f"4 files were left out, not named as pictures that are read: {top}cat/1.heic, {top}cat/2.jp2, {top}dog/3.svg"
    )
    for _ in range(2):  # from the cache, too
        with pytest.warns(DataWarning, match=f"{said} and 1 more") as seen:
            data = load(place)
        assert len(seen) == 1
        assert len(data.train) + len(data.test) == 6


def test_only_texts_beside_are_not_worth_a_word(tmp_path: Path) -> None:
    root = _set(tmp_path / "pets")
    for name in ("README.md", "LICENSE", "classes.txt", "cat/notes.json"):
        (root / name).write_text("x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(root)


def test_a_picture_is_found_by_every_ending(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for ending in ENDINGS:
            Image.new("RGB", (8, 8)).save(root / name / f"x{ending.upper()}", "PNG")
    data = load(root)
    assert len(data.train) + len(data.test) == 2 * len(ENDINGS)
    assert {".jpe", ".jfif", ".avif", ".webp", ".tif", ".tiff", ".ico", ".tga", ".pcx", ".dib", ".qoi"} <= set(ENDINGS)


def test_nothing_but_strays_says_so(tmp_path: Path) -> None:
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    (tmp_path / "pets" / "cat" / "1.heic").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"got none \(1 file was left out, not named as .*: cat/1.heic"):
        load(tmp_path / "pets")
