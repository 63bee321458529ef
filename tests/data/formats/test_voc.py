"""PASCAL VOC: folders and archives in several layouts, clipping, what is left out, what is refused."""

from __future__ import annotations

import shutil
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from badnets.core.cache import DataWarning
from badnets.core.errors import BadInput
from badnets.data.images import ArrayStore, MixedStore, Splits, TakenStore
from badnets.data.load import detect, load

Box = tuple[float, float, float, float]
SIZES = ((40, 30), (20, 50))  # (width, height) of even and odd pictures


def picture(path: Path, size: tuple[int, int], seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def xml(objects: list[tuple[str, Box]], size: tuple[int, int] | None = None, filename: str = "other.jpg") -> str:
    told = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    keys = ("xmin", "ymin", "xmax", "ymax")
    nodes = "".join(
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{k}>{v}</{k}>" for k, v in zip(keys, box, strict=True))
        + "</bndbox></object>"
        for name, box in objects
    )
    return f"<annotation><filename>{filename}</filename>{told}{nodes}</annotation>"


def sample(root: Path, annotations: str = "annotations", pictures: str = "images", n: int = 8) -> Path:
    """Picture i has a sign in (1, 2)..(11, 12) and, where i is even, a light."""
    (root / annotations).mkdir(parents=True, exist_ok=True)
    for i in range(n):
        picture(root / pictures / f"road{i}.png", SIZES[i % 2], i)
        objects: list[tuple[str, Box]] = [("sign", (1, 2, 11, 12))]
        objects += [("light", (5, 6, 9, 20))] if i % 2 == 0 else []
        (root / annotations / f"road{i}.xml").write_text(xml(objects, SIZES[i % 2]), encoding="utf-8")
    return root


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    return sample(tmp_path / "roads")


def packed(root: Path, name: str = "roads.tar.gz") -> Path:
    path = root.parent / name
    with tarfile.open(path, "w:gz") as tar:
        tar.add(root, arcname="roads")
    return path


def annotate(root: Path, content: str | bytes, name: str = "road0") -> Path:
    path = root / "annotations" / f"{name}.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def facts(data: Splits) -> list[Any]:
    parts = (data.train, data.test, data.select)
    stores = [[part.pixels.one(row) for row in range(len(part))] for part in parts]
    return [
        [(part.boxes.xyxy.tolist(), part.boxes.labels.tolist(), part.boxes.image.tolist()) for part in parts],
        [[p.tolist() for p in store] for store in stores],
    ]


def test_boxes_and_pixels(voc: Path) -> None:
    data = load(voc, seed=1)
    assert (data.train.name, data.class_names) == ("roads", ("light", "sign"))
    both = [(part, row) for part in (data.train, data.test) for row in range(len(part))]
    seen = set()
    for part, row in both:
        pixels = part.pixels.one(row)
        i = next(i for i in range(8) if np.array_equal(np.asarray(Image.open(voc / f"images/road{i}.png")), pixels))
        seen.add(i)
        mine = part.boxes.image == row
        expected = [[1, 2, 11, 12]] + ([[5, 6, 9, 20]] if i % 2 == 0 else [])
        assert part.boxes.xyxy[mine].tolist() == expected
        assert part.boxes.labels[mine].tolist() == [1, 0][: len(expected)]
    assert seen == set(range(8))
    assert len(both) == 8


@pytest.mark.parametrize(
    ("annotations", "pictures"),
    [("Annotations", "JPEGImages"), ("VOC2007/Annotations", "VOC2007/JPEGImages"), ("all", "all"), ("xml", "photos")],
)
def test_layouts_and_archives_give_the_same(voc: Path, tmp_path: Path, annotations: str, pictures: str) -> None:
    other = sample(tmp_path / "other", annotations, pictures)
    archive = packed(other, "other.tar.gz")
    assert detect(voc) == detect(other) == detect(archive) == "voc"
    wanted = facts(load(voc, select=0.3, seed=5))
    assert facts(load(other, select=0.3, seed=5)) == wanted
    assert facts(load(archive, select=0.3, seed=5)) == wanted
    assert load(archive).train.name == "other"


def test_the_picture_is_found_by_stem(voc: Path) -> None:
    for i in range(8):
        annotate(voc, xml([("sign", (0, 0, 5, 5))], filename="road3.png"), f"road{i}")
    data = load(voc)
    assert len(data.train) + len(data.test) == 8


def test_mixed_sizes_stay_unless_one_is_asked_for(voc: Path) -> None:
    mixed, small = load(voc, seed=2), load(voc, seed=2, size=(10, 20))
    assert mixed.train.pixels.shape is None
    assert small.train.shape == small.test.shape == (10, 20, 3)
    resized = mixed.train.resize((10, 20))
    assert np.array_equal(small.train.images(), resized.images())
    assert small.train.boxes.xyxy.tolist() == resized.boxes.xyxy.tolist()
    assert small.train.digest == resized.digest
    assert load(voc, size=8, grey=True).train.shape == (8, 8, 1)


def test_one_size_is_one_array(tmp_path: Path) -> None:
    root = tmp_path / "even"
    for i in range(4):
        picture(root / "images" / f"{i}.png", (12, 10), i)
        (root / "annotations").mkdir(exist_ok=True)
        annotate(root, xml([("a", (1, 1, 8, 8))]), str(i))
    assert load(root).train.shape == (10, 12, 3)
    picture(root / "images" / "alone.png", (12, 10))
    with pytest.warns(DataWarning, match=r"1 pictures without an annotation were left out, the first is images/alone"):
        again = load(root)
    assert sorted(again.train.images().sum((1, 2, 3)).tolist()) == sorted(
        load_quiet(root).train.images().sum((1, 2, 3))
    )


def load_quiet(path: Path, **arguments: Any) -> Splits:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return load(path, **arguments)


def test_boxes_are_clipped_and_empty_ones_dropped(voc: Path) -> None:
    objects: list[tuple[str, Box]] = [
        ("sign", (-5, -3, 10, 10)),  # clipped to 0, 0
        ("sign", (30, 20, 60.5, 90)),  # clipped to 40x30
        ("sign", (41, 0, 50, 10)),  # outside
        ("sign", (5, 5, 5, 25)),  # no area
        ("light", (3, 3, 4, 20)),  # one pixel wide
        ("light", (3, 3, 5, 5)),  # two pixels are enough
    ]
    path = annotate(voc, xml(objects, SIZES[0]))
    with pytest.warns(DataWarning) as caught:
        data = load(voc, test_share=0.2)
    said = [str(w.message) for w in caught]
    assert said == [
        f"{voc}: 2 boxes reached out of the picture and were clipped, the first is object 1 (sign) of {path}",
        f"{voc}: 3 boxes of less than 2x2 pixels were dropped, the first is object 3 (sign) of {path}",
    ]
    boxes = [part.boxes.xyxy.tolist() for part in (data.train, data.test)]
    mine = [box for part in boxes for box in part if box not in ([1, 2, 11, 12], [5, 6, 9, 20])]
    assert mine == [[0, 0, 10, 10], [30, 20, 40, 30], [3, 3, 5, 5]]


def test_a_picture_without_objects_is_background(voc: Path) -> None:
    path = annotate(voc, "<annotation></annotation>", "road3")
    annotate(voc, "<annotation/>", "road5")
    match = rf"2 annotations have no object, the first is {path}; the pictures are background"
    with pytest.warns(DataWarning, match=match):
        data = load(voc)
    counts = np.concatenate([data.train.boxes.counts(), data.test.boxes.counts()])
    assert sorted(counts.tolist()) == [0, 0, 1, 1, 2, 2, 2, 2]


def test_no_box_at_all_is_refused(voc: Path) -> None:
    for i in range(8):
        annotate(voc, "<annotation/>", f"road{i}")
    with (
        pytest.warns(DataWarning, match="8 annotations have no object"),
        pytest.raises(BadInput, match=r"expected boxes in .*roads, got none in 8 pictures with an annotation"),
    ):
        load(voc)


def test_damaged_and_hidden_files(voc: Path) -> None:
    (voc / "images" / "road1.png").write_bytes(b"\x89PNG no more")
    for shadow in ("__MACOSX/annotations/._road0.xml", ".cache/annotations/road0.xml", "annotations/.road0.xml"):
        (voc / shadow).parent.mkdir(parents=True, exist_ok=True)
        (voc / shadow).write_text("no XML")
    for place in (voc, packed(voc)):
        with pytest.warns(DataWarning, match=r"1 damaged pictures were left out, the first is .*images/road1\.png \("):
            data = load(place)
        assert len(data.train) + len(data.test) == 7


def test_masks_of_segmentation_are_no_second_picture(voc: Path) -> None:
    picture(voc / "SegmentationClass" / "road0.png", SIZES[0])
    assert len(load(voc).train) == 6


def test_classes_in_a_given_order(voc: Path) -> None:
    data = load(voc, options={"classes": "sign, cat,light"})
    assert data.class_names == ("sign", "cat", "light")
    assert set(data.train.boxes.labels.tolist()) == {0, 2}
    with pytest.raises(
        BadInput, match=r"one of the option classes in .*road0\.xml, got 'light'; did you mean 'lights'"
    ):
        load(voc, options={"classes": "sign,lights"})
    for wrong in ("sign,sign", "sign,"):
        with pytest.raises(BadInput, match="expected names of classes, each once"):
            load(voc, options={"classes": wrong})


SIGN = xml([("sign", (1, 2, 11, 12))])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<annotation><object>", r"an annotation as XML in .*road0\.xml, got something else \(no element found"),
        ("stop 1 2 3 4", "got something else"),
        (b'<?xml version="1.0" encoding="nix"?><annotation/>', "unknown encoding"),
        ("<kml></kml>", r"<annotation> as the root of .*road0\.xml, got <kml>"),
        ('<!DOCTYPE a [<!ENTITY e "eeee">]>' + SIGN, r"without DOCTYPE in .*road0\.xml, got one; do not trust"),
        (("<!DOCTYPE annotation>" + SIGN).encode("utf-16"), "without DOCTYPE"),
        (SIGN.replace("<name>sign</name>", ""), r"a name in object 1 of .*road0\.xml, got none"),
        (
            "<annotation><object><name>sign</name></object></annotation>",
            r"a bndbox in object 1 \(sign\) of .*road0\.xml, got none",
        ),
        (SIGN.replace("<ymin>2</ymin>", ""), r"a number as ymin in object 1 \(sign\) of .*road0\.xml, got none"),
        (SIGN.replace(">11<", ">wide<"), r"a number as xmax in .*road0\.xml, got 'wide'"),
        (SIGN.replace(">11<", ">nan<"), "a number as xmax"),
        (xml([("sign", (12, 2, 11, 12))]), r"xmin <= xmax .* in object 1 \(sign\) of .*road0\.xml, got x 12\.\.11 and"),
        (xml([("sign", (1, 2, 11, 1))]), r"got x 1\.\.11 and y 2\.\.1; mend it"),
        (
            xml([("sign", (1, 2, 11, 12))], (30, 40)),
            r"a picture of 30x40 for .*road0\.xml, got 40x30 pixels in .*images/road0\.png",
        ),
    ],
)
def test_bad_annotations_are_refused(voc: Path, content: str | bytes, message: str) -> None:
    annotate(voc, content)
    with pytest.raises(BadInput, match=message) as caught:
        load("voc", path=voc)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match=message):
        load("voc", path=packed(voc))


def test_a_size_of_zero_says_nothing(voc: Path) -> None:
    annotate(voc, xml([("sign", (1, 2, 11, 12))], (0, 0)))
    assert len(load(voc).train) == 6


def test_files_that_do_not_fit_together_are_refused(voc: Path) -> None:
    picture(voc / "more" / "road2.jpg", SIZES[0])
    with pytest.raises(BadInput, match=r"one picture of each name, got .*images/road2\.png and .*more/road2\.jpg"):
        load(voc)
    shutil.rmtree(voc / "more")
    shutil.copytree(voc / "annotations", voc / "more")
    with pytest.raises(BadInput, match=r"one annotation of each name, got .*annotations/road0\.xml and .*more/road0"):
        load(voc)
    shutil.rmtree(voc / "more")
    (voc / "images/road4.png").unlink()
    with pytest.raises(BadInput, match=r"a picture of the name road4 for .*annotations/road4\.xml, got none; add it"):
        load(voc)


def test_where_it_is_looked_for(voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"expected pictures with boxes .* got nothing; put .* or give its path"):
        load("voc")
    monkeypatch.setenv("BADNETS_DATA", str(tmp_path))
    (tmp_path / "notes").mkdir()
    assert load("voc").train.name == "roads"
    packed(voc, "road-sign-detection.tar.gz")
    shutil.rmtree(voc)
    assert load("voc").train.name == "road-sign-detection"
    assert load("voc", path=tmp_path).train.name == "road-sign-detection"
    assert load("mine", path=tmp_path / "road-sign-detection.tar.gz").train.name == "mine"
    with pytest.raises(BadInput, match=r"expected voc \(an \.xml for each picture.* got other files"):
        load("voc", path=tmp_path / "notes")


def test_other_data_is_not_taken_for_it(tmp_path: Path) -> None:
    for i in range(100):
        picture(tmp_path / "pets" / "cat" / f"{i}.png", (4, 4), i)
    (tmp_path / "pets" / "project.xml").write_text("<project/>", encoding="utf-8")
    assert detect(tmp_path / "pets") == "folder"
    assert detect(packed(tmp_path / "pets", "pets.tar.gz")) == "folder"


def test_linked_folders_are_read(voc: Path, tmp_path: Path) -> None:
    shutil.move(voc / "images", tmp_path / "elsewhere")
    (voc / "images").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (voc / "annotations" / "again").symlink_to(voc, target_is_directory=True)
    (voc / "gone.xml").symlink_to(tmp_path / "nothing.xml")
    assert len(load(voc).train) == 6


def test_progress_is_told(voc: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    load(voc, progress=lambda *step: steps.append(step))
    assert steps[-1] == ("reading pictures with boxes", 16, 16)


@pytest.mark.data
def test_the_signs_of_d1(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BADNETS_DATA", str(shared_data))
    assert detect(shared_data / "road-sign-detection.tar.gz") == "voc"
    data = load("voc", size=(24, 18))
    assert data.train.name == "road-sign-detection"
    assert len(data.train) + len(data.test) == 877
    labels = np.concatenate([data.train.boxes.labels, data.test.boxes.labels])
    counts = dict(zip(data.class_names, np.bincount(labels).tolist(), strict=True))
    assert counts == {"crosswalk": 200, "speedlimit": 783, "stop": 91, "trafficlight": 170}
    assert 170 <= len(data.test) <= 180
    assert np.bincount(data.test.boxes.labels, minlength=4).min() >= 17


def test_stores(voc: Path) -> None:
    """Pixels lie in memory once: the stores are views of one buffer."""
    mixed = load(voc).train.pixels
    assert isinstance(mixed, TakenStore)
    assert isinstance(mixed.base, MixedStore)
    first, second, *_ = mixed.base.pictures
    assert first.base is not None
    assert second.base is not None
    assert np.shares_memory(first.base, second.base)
    even = load(voc, size=4).train.pixels
    assert isinstance(even, TakenStore)
    assert isinstance(even.base, ArrayStore)
