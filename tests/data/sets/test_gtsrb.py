"""GTSRB: the official layout as a folder and as a tar, regions, tracks, classes, and what is refused."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from badnets.core.cache import DataWarning
from badnets.core.errors import BadInput
from badnets.data.load import detect, load
from badnets.data.overlay import grey
from badnets.data.sets.gtsrb import CLASS_NAMES, equalized

HEADER = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2"
TRAINED = (1, 14, 36)


def save(folder: Path, name: str, seed: int, size: tuple[int, int] = (40, 20)) -> str:
    """A picture (height, width) and its line of the table, without the class."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / name)
    return f"{name};{size[1]};{size[0]};5;10;15;30"


@pytest.fixture
def gtsrb(tmp_path: Path) -> Path:
    """Classes 1, 14 and 36 with five tracks of two frames; two test pictures of each, and two of class 2."""
    root = tmp_path / "GTSRB"
    for label in TRAINED:
        images = root / "Final_Training" / "Images" / f"{label:05d}"
        lines = [
            save(images, f"{track:05d}_{frame:05d}.ppm", 100 * label + 2 * track + frame) + f";{label}"
            for track in range(5)
            for frame in range(2)
        ]
        (images / f"GT-{label:05d}.csv").write_text("\n".join([f"{HEADER};ClassId", *lines]), encoding="utf-8")
    test = root / "Final_Test" / "Images"
    lines = [save(test, f"{i:05d}.ppm", i, (30, 30)) + f";{(1, 14, 36, 2)[i % 4]}" for i in range(8)]
    (root / "Final_Test" / "GT-final_test.csv").write_text("\n".join([f"{HEADER};ClassId", *lines]), encoding="utf-8")
    return root


def packed(root: Path) -> Path:
    path = root.parent / "gtsrb-tiny.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(root, arcname="GTSRB")
    return path


def quiet(path: Path, **arguments: Any) -> Any:
    with pytest.warns(DataWarning, match=r"no training pictures of class 2 \(speed-limit-50\); dropped from all sets"):
        return load(path, **arguments)


def test_folder_and_tar_give_the_same(gtsrb: Path) -> None:
    tar = packed(gtsrb)
    assert detect(gtsrb) == detect(gtsrb.parent) == detect(tar) == "gtsrb"
    folder, archive = quiet(gtsrb), quiet(tar)
    assert folder.class_names == ("speed-limit-30", "stop", "straight-or-right")
    assert (len(folder.train), len(folder.test), len(folder.select)) == (30, 6, 0)
    assert folder.train.shape == (32, 32, 3)
    assert (folder.train.digest, folder.test.digest) == (archive.train.digest, archive.test.digest)
    assert archive.train.name == "gtsrb-tiny"
    first = Image.open(gtsrb / "Final_Training/Images/00001/00000_00000.ppm").resize(
        (32, 32), Image.Resampling.BILINEAR
    )
    assert np.array_equal(folder.train.images()[0], np.asarray(first))


def test_regions_follow_the_size_of_the_picture(gtsrb: Path) -> None:
    data = quiet(gtsrb, size=(20, 40))
    assert data.train.targets.region is not None
    assert data.train.targets.region[0].tolist() == [10, 5, 30, 15]  # 20x40 wide and high, now 40x20
    again = data.train.resize((10, 10)).targets.region
    assert again is not None
    assert again[0].tolist() == [2.5, 2.5, 7.5, 7.5]


def test_a_track_is_never_torn_apart(gtsrb: Path) -> None:
    shutil.rmtree(gtsrb / "Final_Test")
    data = load(gtsrb, select=0.25, seed=3)
    parts = [part.groups for part in (data.train, data.select, data.test)]
    groups = [set(part.tolist()) for part in parts if part is not None]
    assert set.union(*groups) == {label * 100_000 + track for label in TRAINED for track in range(5)}
    assert sum(map(len, groups)) == 15
    assert all(
        len(part.labels) == 2 * len(group) for part, group in zip((data.train, data.select), groups, strict=False)
    )


def test_only_some_classes_in_their_order(gtsrb: Path) -> None:
    data = load(gtsrb, options={"classes": "36, stop"})
    assert data.class_names == ("straight-or-right", "stop")
    assert np.bincount(data.train.labels).tolist() == [10, 10]
    assert np.bincount(data.test.labels).tolist() == [2, 2]
    assert data.train.groups is not None
    assert set(data.train.groups[data.train.labels == 0] // 100_000) == {36}
    assert data.test.groups is None
    with pytest.warns(DataWarning, match=r"no training pictures of class 5 \(speed-limit-80\)"):
        assert load(gtsrb, options={"classes": "5,1,14"}).class_names == ("speed-limit-30", "stop")


def test_super_classes(gtsrb: Path) -> None:
    data = quiet(gtsrb, options={"superclasses": True})
    assert data.class_names == ("prohibitory", "mandatory", "other")  # of classes 1, 36 and 14
    assert np.bincount(data.train.labels).tolist() == [10, 10, 10]
    assert np.bincount(data.test.labels).tolist() == [2, 2, 2]
    assert data.train.regions is not None
    assert data.train.groups is not None
    assert set(data.train.groups[data.train.labels == 2] // 100_000) == {14}
    some = load(gtsrb, options={"superclasses": True, "classes": "14,1"})
    assert some.class_names == ("prohibitory", "other")


def test_crop_shows_the_region_alone(gtsrb: Path) -> None:
    data = quiet(gtsrb, size=(20, 10), options={"crop": True})
    picture = np.asarray(Image.open(gtsrb / "Final_Training/Images/00001/00000_00000.ppm"))
    assert np.array_equal(data.train.images()[0], picture[10:30, 5:15])
    assert data.train.targets.region is None


def test_grey_and_equalized(gtsrb: Path) -> None:
    plain, even = quiet(gtsrb, grey=True), quiet(gtsrb, grey=True, options={"equalize": True})
    assert even.train.shape == (32, 32, 1)
    assert np.array_equal(even.train.images(), equalized(plain.train.images()))


def test_equalization_by_hand() -> None:
    picture = np.array([[10, 10, 20], [20, 30, 40]], np.uint8)[None, ..., None]
    # shares at most as bright: 2, 4, 5, 6 of 6; round(255 (F - 2) / 4)
    assert equalized(picture)[0, ..., 0].tolist() == [[0, 0, 128], [128, 191, 255]]
    assert equalized(np.full((1, 2, 2, 1), 7, np.uint8)).tolist() == np.full((1, 2, 2, 1), 7).tolist()
    color = np.array([[[100, 100, 100], [100, 90, 110]], [[110, 110, 110], [120, 120, 120]]], np.uint8)[None]
    luma = grey(color)[0, ..., 0].astype(int)
    after = {value: round(255 * i / 3) for i, value in enumerate(sorted(luma.ravel().tolist()))}
    change = np.vectorize(after.__getitem__)(luma) - luma
    assert np.array_equal(equalized(color)[0], np.clip(color[0] + change[..., None], 0, 255))


def test_damaged_pictures_are_left_out(gtsrb: Path) -> None:
    (gtsrb / "Final_Training/Images/00014/00002_00001.ppm").write_bytes(b"P6 3")
    with pytest.warns(DataWarning, match=r"1 damaged pictures were left out, the first is .*00014/00002_00001.ppm"):
        assert len(load(gtsrb, options={"classes": "1,14"}).train) == 19


def test_test_pictures_without_their_class(gtsrb: Path) -> None:
    table = gtsrb / "Final_Test/GT-final_test.csv"
    lines = [line.rsplit(";", 1)[0] for line in table.read_text(encoding="utf-8").splitlines()]
    table.write_text("\n".join(lines), encoding="utf-8")
    with pytest.warns(DataWarning, match=r"8 test pictures were left out, GT-final_test\.csv does not tell"):
        data = load(gtsrb)
    assert (len(data.train), len(data.test)) == (24, 6)


def test_the_table_of_the_test_set_may_lie_beside_the_folder(gtsrb: Path) -> None:
    shutil.move(gtsrb / "Final_Test/GT-final_test.csv", gtsrb.parent)
    assert len(quiet(gtsrb).test) == 6


def test_where_it_is_looked_for(gtsrb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"expected GTSRB .* got nothing; unpack GTSRB_Final_Training_Images\.zip"):
        load("gtsrb")
    monkeypatch.setenv("BADNETS_DATA", str(gtsrb.parent))
    options = {"classes": "1,14"}
    assert load("gtsrb", options=options).train.name == "gtsrb"
    packed(gtsrb)
    shutil.rmtree(gtsrb)
    assert load("gtsrb", options=options).train.name == "gtsrb-tiny"
    with pytest.raises(BadInput, match=r"expected gtsrb .* got other files"):
        load("gtsrb", path=Path(__file__).parent)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("00000_00000.ppm;20;40;5;10;15", "expected Filename;.* in line 2 of .*GT-00001.csv"),
        ("00000_00000.ppm;20;40;5;10;15;x;1", "in line 2"),
        ("00000_00000.ppm;20;40;5;10;25;30;1", r"a region inside the picture .* got \[5, 10, 25, 30\] of 20x40"),
        ("00000_00000.ppm;20;40;5;10;15;30;43", "class 43"),
    ],
)
def test_damaged_tables_are_refused(gtsrb: Path, line: str, message: str) -> None:
    table = gtsrb / "Final_Training/Images/00001/GT-00001.csv"
    table.write_text(f"{HEADER};ClassId\n{line}\n", encoding="utf-8")
    with pytest.raises(BadInput, match=message):
        load(gtsrb)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("1,stopp", "got 'stopp'; did you mean 'stop'?"),
        ("1,43", "expected classes of GTSRB as 0..42 or names, got '43'"),
        ("1,1", "each once, got '1,1'"),
        ("14", "two or more classes"),
        ("3,4", "got none of these classes"),
    ],
)
def test_other_classes_are_refused(gtsrb: Path, classes: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load(gtsrb, options={"classes": classes})


def test_the_names_are_43_different_ones() -> None:
    assert len(set(CLASS_NAMES)) == 43
    assert (CLASS_NAMES[14], CLASS_NAMES[36]) == ("stop", "straight-or-right")


@pytest.mark.data
def test_the_third_at_hand(shared_data: Path) -> None:
    data = load(shared_data / "gtsrb-third.tar.gz", options={"classes": "1,2,12,13,14,25,33,36,38"})
    assert data.train.name == "gtsrb-third"
    assert np.bincount(data.train.labels).tolist() == [740, 750, 700, 720, 260, 500, 230, 130, 690]
    assert np.bincount(data.test.labels).tolist() == [252, 240, 220, 222, 93, 158, 77, 44, 216]
    assert data.class_names[4] == "stop"
    assert data.train.groups is not None
    assert len(set(data.train.groups.tolist())) == 472
