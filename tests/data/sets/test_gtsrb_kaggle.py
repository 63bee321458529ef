"""GTSRB in Kaggle's layout gives what the official layout gives."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from badnets.core.cache import DataWarning
from badnets.core.errors import BadInput
from badnets.data.load import detect, load
from badnets.data.sets.gtsrb import CLASS_NAMES

HEAD = "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path"
TRAINED = (1, 14, 36)


def save(root: Path, path: str, seed: int, label: int) -> str:
    """A picture of 20x40 and its line of the table."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / path)
    return f"20,40,5,10,15,30,{label},{path}"


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    """Classes 1, 14 and 36 with five tracks of two frames; two test pictures of each."""
    root = tmp_path / "signs"
    lines = [
        save(root, f"Train/{label}/{label:05d}_{track:05d}_{frame:05d}.png", 100 * label + 2 * track + frame, label)
        for label in TRAINED
        for track in range(5)
        for frame in range(2)
    ]
    (root / "Train.csv").write_text("\n".join([HEAD, *lines]), encoding="utf-8")
    lines = [save(root, f"Test/{i:05d}.png", i, TRAINED[i % 3]) for i in range(6)]
    (root / "Test.csv").write_text("\n".join([HEAD, *lines]), encoding="utf-8")
    for label in range(3):
        save(root, f"Meta/{label}.png", 9, label)
    (root / "Meta.csv").write_text("Path,ClassId,ShapeId,ColorId,SignId\nMeta/1.png,1,1,0,3.29\n", encoding="utf-8")
    return root


def official(kaggle: Path) -> Path:
    """The same pictures in the official layout."""
    root = kaggle.parent / "GTSRB"
    head = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"
    for label in TRAINED:
        images = root / "Final_Training" / "Images" / f"{label:05d}"
        images.mkdir(parents=True)
        lines = []
        for file in sorted((kaggle / "Train" / str(label)).iterdir()):
            name = file.stem.split("_", 1)[1] + ".ppm"
            Image.open(file).save(images / name)
            lines.append(f"{name};20;40;5;10;15;30;{label}")
        (images / f"GT-{label:05d}.csv").write_text("\n".join([head, *lines]), encoding="utf-8")
    test = root / "Final_Test" / "Images"
    test.mkdir(parents=True)
    lines = []
    for i, file in enumerate(sorted((kaggle / "Test").iterdir())):
        Image.open(file).save(test / f"{i:05d}.ppm")
        lines.append(f"{i:05d}.ppm;20;40;5;10;15;30;{TRAINED[i % 3]}")
    (root / "Final_Test" / "GT-final_test.csv").write_text("\n".join([head, *lines]), encoding="utf-8")
    return root


def packed(root: Path, *names: str) -> Path:
    path = root.parent / "archive.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            tar.add(root / name, name)
    return path


def test_it_gives_what_the_official_layout_gives(kaggle: Path) -> None:
    tar = packed(kaggle, "Meta", "Meta.csv", "Test", "Test.csv", "Train", "Train.csv")
    late = packed(kaggle, "Train.csv", "Train", "Test", "Test.csv")
    assert detect(kaggle) == detect(tar) == detect(late) == "gtsrb"
    first, *others = [load(place) for place in (official(kaggle), kaggle, tar, late)]
    assert (len(first.train), len(first.test)) == (30, 6)
    assert first.class_names == tuple(CLASS_NAMES[i] for i in TRAINED)
    for data in others:
        assert (data.train.digest, data.test.digest) == (first.train.digest, first.test.digest)
        assert data.train.groups is not None
        assert first.train.groups is not None
        assert data.train.groups.tolist() == first.train.groups.tolist()
    assert others[0].train.regions is not None
    assert others[0].train.regions[0].tolist() == [8, 8, 24, 24]  # 5..15 of 20 and 10..30 of 40, now 32x32


def test_pictures_that_are_there_twice_count_once(kaggle: Path) -> None:
    shutil.copytree(kaggle / "Train", kaggle / "train")
    shutil.copytree(kaggle / "Test", kaggle / "test")
    data = load(kaggle)
    assert (len(data.train), len(data.test)) == (30, 6)


def test_a_share_of_the_tracks_where_no_table_tells_the_classes(kaggle: Path) -> None:
    (kaggle / "Test.csv").unlink()
    with pytest.warns(DataWarning, match=r"6 test pictures were left out, Test\.csv does not tell"):
        data = load(kaggle)
    assert (len(data.train), len(data.test)) == (24, 6)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("20,40,5,10,15,30,1", r"expected Width,Height,.*,ClassId,Path in line 2 of .*Test\.csv"),
        ("20,40,5,10,15,30,43,Test/00000.png", "class 43"),
        ("20,40,5,10,25,30,1,Test/00000.png", "a region inside the picture"),
        ("20,40,5,nan,25,30,1,Test/00000.png", "in line 2"),
    ],
)
def test_damaged_tables_are_refused(kaggle: Path, line: str, message: str) -> None:
    (kaggle / "Test.csv").write_text(f"{HEAD}\n{line}\n", encoding="utf-8")
    with pytest.raises(BadInput, match=message):
        load(kaggle)


def test_a_folder_of_another_class_is_refused(kaggle: Path) -> None:
    save(kaggle, "Train/43/00043_00000_00000.png", 1, 1)
    with pytest.raises(BadInput, match="expected class folders 00000 to 00042"):
        load(kaggle)
