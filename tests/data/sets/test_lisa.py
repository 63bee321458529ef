"""LISA's crops: tables, tracks, super-classes, and what is refused."""

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
from badnets.data.objects import regroup
from badnets.data.sets.lisa import CLASS_NAMES, SUPERCLASSES

LABELS = ("stop", "speedLimit25", "speedLimitUrdbl", "merge", "yield")


@pytest.fixture
def lisa(tmp_path: Path) -> Path:
    """Five classes of four tracks of three frames."""
    root = tmp_path / "signs"
    (root / "images").mkdir(parents=True)
    lines = ["file,label,track"]
    for label in LABELS:
        for track in range(4):
            for _ in range(3):
                i = len(lines) - 1
                pixels = np.random.default_rng(i).integers(0, 256, (20, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / "images" / f"{i:05d}.png")
                lines.append(f"{i:05d}.png,{label},{label}_{track}")
    (root / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    return root


def packed(root: Path, name: str = "lisa-tiny.tar.gz") -> Path:
    path = root.parent / name
    with tarfile.open(path, "w:gz") as tar:
        tar.add(root / "images", arcname="signs/images")
        tar.add(root / "labels.csv", arcname="signs/labels.csv")
    return path


def with_line(root: Path, line: str) -> None:
    with (root / "labels.csv").open("a", encoding="utf-8") as table:
        table.write("\n" + line)


def test_folder_and_tar_give_the_same(lisa: Path) -> None:
    tar = packed(lisa)
    assert detect(lisa) == detect(tar) == "lisa"
    folder, archive = load(lisa), load(tar)
    assert (folder.train.digest, folder.test.digest) == (archive.train.digest, archive.test.digest)
    assert (folder.train.name, archive.train.name) == ("signs", "lisa-tiny")
    assert folder.class_names == ("merge", "speedLimit25", "speedLimitUrdbl", "stop", "yield")
    assert folder.train.shape == (32, 32, 3)
    first = Image.open(lisa / "images" / "00000.png").resize((32, 32), Image.Resampling.BILINEAR)
    every = np.concatenate([folder.train.images(), folder.test.images()])
    labels = np.concatenate([folder.train.labels, folder.test.labels])
    row = int(np.flatnonzero((every == np.asarray(first)).all((1, 2, 3)))[0])
    assert folder.class_names[labels[row]] == "stop"
    assert load(lisa, size=16, grey=True).train.shape == (16, 16, 1)


def test_a_track_is_never_torn_apart(lisa: Path) -> None:
    data = load(lisa, test_share=0.25, select=0.3, seed=4)
    groups = [part.groups for part in (data.train, data.select, data.test)]
    assert all(part is not None for part in groups)
    sets = [set(part.tolist()) for part in groups if part is not None]
    assert set.union(*sets) == set(range(20))
    assert sum(map(len, sets)) == 20
    assert [len(data.test), len(data.train) + len(data.select)] == [15, 45]
    assert np.bincount(data.test.labels).tolist() == [3] * 5


def test_super_classes(lisa: Path) -> None:
    with pytest.warns(
        DataWarning, match=r"signs: 12 of 60 pictures were dropped, yield belong to none of stop, speedl"
    ):
        data = load(lisa, options={"superclasses": True})
    assert data.class_names == ("stop", "speedlimit", "warning")
    labels = np.concatenate([data.train.labels, data.test.labels])
    assert np.bincount(labels).tolist() == [12, 24, 12]


def test_the_table_of_super_classes() -> None:
    assert len(set(CLASS_NAMES)) == 47
    assert list(CLASS_NAMES) == sorted(CLASS_NAMES)
    used = [name for names in SUPERCLASSES.values() for name in names]
    assert len(used) == len(set(used)) == 29
    assert set(used) <= set(CLASS_NAMES)
    assert [len(names) for names in SUPERCLASSES.values()] == [1, 10, 18]
    assert not {"school", "yield", "truckSpeedLimit55", "schoolSpeedLimit25", "rampSpeedAdvisory20"} & set(used)


def test_what_is_left_out(lisa: Path) -> None:
    (lisa / "images" / "00003.png").write_bytes(b"nothing")
    shutil.copy(lisa / "images" / "00000.png", lisa / "images" / "extra.png")
    shutil.copy(lisa / "images" / "00000.png", lisa / "images" / "._00000.png")
    with pytest.warns(DataWarning) as caught:
        data = load(lisa)
    assert [str(w.message) for w in caught] == [
        f"{lisa}: 1 crops without a line in labels.csv were left out, the first is extra.png",
        f"{lisa}: 1 damaged pictures were left out, the first is images/00003.png (not a picture)",
    ]
    assert len(data.train) + len(data.test) == 59


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("00099.png,stop,stop_9", r"the crop images/00099\.png of line 62 of .*labels\.csv, got none; add it"),
        ("00001.png,stop,stop_9", r"each crop once, got 00001\.png in line 3 of .*labels\.csv and in line 62"),
        ("00099.png,stopp,stop_9", r"a class of LISA in line 62 of .*labels\.csv, got 'stopp'; did you mean 'stop'\?"),
        ("00099.png,stop", r"expected file, label and track in line 62 of .*labels\.csv, got"),
        ("00099.png,stop,", "expected file, label and track in line 62"),
    ],
)
def test_bad_lines_are_refused(lisa: Path, line: str, message: str) -> None:
    with_line(lisa, line)
    with pytest.raises(BadInput, match=message):
        load(lisa)
    with pytest.raises(BadInput, match=message):
        load(packed(lisa))


def test_an_empty_table_is_refused(lisa: Path) -> None:
    (lisa / "labels.csv").write_text("file,label,track\n", encoding="utf-8")
    with (
        pytest.warns(DataWarning, match="60 crops without a line"),
        pytest.raises(BadInput, match=r"expected crops of LISA in .*signs, got none that labels\.csv names"),
    ):
        load(lisa)


def test_where_it_is_looked_for(lisa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"expected crops of LISA .* got nothing; put a folder lisa .* or give its path"):
        load("lisa")
    monkeypatch.setenv("BADNETS_DATA", str(tmp_path))
    tar = packed(lisa)
    assert load("lisa").train.name == "lisa-tiny"
    tar.unlink()
    shutil.move(lisa, tmp_path / "lisa")
    assert load("lisa").train.name == "lisa"
    with pytest.raises(BadInput, match=r"expected lisa \(labels\.csv with file,label,track .* got other files"):
        load("lisa", path=Path(__file__).parent)


def test_other_tables_are_not_taken_for_it(lisa: Path) -> None:
    (lisa / "labels.csv").write_text("name,class\n", encoding="utf-8")
    assert detect(lisa) == detect(packed(lisa)) == "folder"


@pytest.mark.data
def test_the_crops_at_hand(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BADNETS_DATA", str(shared_data))
    data = load("lisa")
    assert data.train.name == "lisa-crops"
    assert data.class_names == CLASS_NAMES
    assert len(data.train) + len(data.test) == 6_948
    groups = [set(part.groups.tolist()) for part in (data.train, data.test) if part.groups is not None]
    assert not groups[0] & groups[1]
    assert len(groups[0] | groups[1]) == 545
    stop = CLASS_NAMES.index("stop")
    assert int((data.train.labels == stop).sum() + (data.test.labels == stop).sum()) == 1_649
    with pytest.warns(DataWarning, match=r"lisa-crops: \d+ of \d+ pictures were dropped, doNotEnter, .* and 15 more"):
        coarse = [regroup(part, SUPERCLASSES) for part in (data.train, data.test)]
    labels = np.concatenate([part.labels for part in coarse])
    assert np.bincount(labels).tolist() == [1_649, 1_394, 2_908]
