"""Pictures with boxes in three layouts: the same pictures, boxes and splits come out of each."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from badnets.core.cache import DataWarning
from badnets.core.errors import BadInput
from badnets.data.images import Splits
from badnets.data.load import detect, load

SPLITS = {"train": 6, "valid": 2, "test": 3}
SIZE = (40, 30)  # width, height


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


XML = (
    "<annotation><object><name>{name}</name><bndbox><xmin>4</xmin><ymin>6</ymin><xmax>20</xmax><ymax>24</ymax></bndbox>"
    "</object></annotation>"
)
NAMES = ("sign", "light")
LINE = "{label} 0.3 0.5 0.4 0.6\n"  # x 4..20 of 40, y 6..24 of 30


def seeds() -> list[tuple[str, int, int]]:
    """(split, number within it, seed): equal numbers in two splits are different pictures."""
    return [(split, i, 100 * k + i) for k, (split, count) in enumerate(SPLITS.items()) for i in range(count)]


def roboflow_voc(root: Path) -> None:
    for split, i, seed in seeds():
        picture(root / split / f"{i}.png", seed)
        text(root / split / f"{i}.xml", XML.format(name=NAMES[i % 2]))


def nested_voc(root: Path) -> None:
    for split, i, seed in seeds():
        picture(root / "set" / "images" / split.title() / f"{i}.png", seed)
        text(root / "set" / "annotations" / split.title() / f"{i}.xml", XML.format(name=NAMES[i % 2]))


def listed_voc(root: Path) -> None:
    lists: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for split, i, seed in seeds():
        picture(root / "VOC2007" / "JPEGImages" / f"{seed:06}.png", seed)
        text(root / "VOC2007" / "Annotations" / f"{seed:06}.xml", XML.format(name=NAMES[i % 2]))
        lists[split].append(f"{seed:06}")
    sets = root / "VOC2007" / "ImageSets" / "Main"
    lists = {"train": lists["train"], "val": lists["valid"], "test": lists["test"]}
    for name, own in {**lists, "trainval": [*lists["train"], *lists["val"]]}.items():
        text(sets / f"{name}.txt", "\n".join(own) + "\n")
        text(sets / f"sign_{name}.txt", "\n".join(f"{one} -1" for one in own))  # of a class: not read
        text(sets / f"train_{name}.txt", "\n".join(f"{one}  1" for one in own))


def coco_table(rows: list[tuple[str, int]], prefix: str = "") -> str:
    images = [{"id": 7 + k, "file_name": prefix + name, "width": 40, "height": 30} for k, (name, _) in enumerate(rows)]
    boxes = [
        {"id": k, "image_id": 7 + k, "category_id": 1 + label, "bbox": [4, 6, 16, 18], "iscrowd": 0}
        for k, (_, label) in enumerate(rows)
    ]
    categories = [{"id": 0, "name": "signs"}, {"id": 1, "name": "sign"}, {"id": 2, "name": "light"}]
    return json.dumps({"info": {}, "images": images, "annotations": boxes, "categories": categories})


def roboflow_coco(root: Path) -> None:
    for split in SPLITS:
        rows = [(f"{i}.png", i % 2, seed) for of, i, seed in seeds() if of == split]
        for name, _, seed in rows:
            picture(root / split / name, seed)
        text(root / split / "_annotations.coco.json", coco_table([row[:2] for row in rows]))


def official_coco(root: Path) -> None:
    for split in SPLITS:
        called = {"valid": "val2017"}.get(split, f"{split}2017")
        rows = [(f"{i:012}.png", i % 2, seed) for of, i, seed in seeds() if of == split]
        for name, _, seed in rows:
            picture(root / called / name, seed)
        text(root / "annotations" / f"instances_{called}.json", coco_table([row[:2] for row in rows]))
        text(root / "annotations" / f"person_keypoints_{called}.json", coco_table([row[:2] for row in rows]))
        text(root / "annotations" / f"captions_{called}.json", json.dumps({"images": [], "annotations": []}))


def images_coco(root: Path) -> None:
    for split in SPLITS:
        rows = [(f"{split}/{i}.png", i % 2, seed) for of, i, seed in seeds() if of == split]
        for name, _, seed in rows:
            picture(root / "images" / name, seed)
        text(root / "annotations" / f"{split}.json", coco_table([row[:2] for row in rows]))


def ultralytics(root: Path) -> None:
    for split, i, seed in seeds():
        called = {"valid": "val"}.get(split, split)
        picture(root / "images" / called / f"{i}.png", seed)
        text(root / "labels" / called / f"{i}.txt", LINE.format(label=i % 2))
    text(root / "data.yaml", "path: .\ntrain: images/train\nval: images/val\nnc: 2\nnames: ['sign', light]  # two\n")


def roboflow_yolo(root: Path) -> None:
    for split, i, seed in seeds():
        picture(root / split / "images" / f"{i}.png", seed)
        text(root / split / "labels" / f"{i}.txt", LINE.format(label=i % 2))
    text(root / "data.yaml", "train: ../train/images\n\nnc: 2\nnames:\n- sign\n- light\n\nroboflow:\n  version: 1\n")
    text(root / "README.dataset.txt", "made by somebody\n")


def listed_yolo(root: Path) -> None:
    lists: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for split, i, seed in seeds():
        picture(root / "obj" / f"{seed}.png", seed)
        text(root / "obj" / f"{seed}.txt", LINE.format(label=i % 2))
        lists[split].append(f"data/obj/{seed}.png")
    for split, own in lists.items():
        text(root / f"{split}.txt", "\n".join(own))
    text(root / "classes.txt", "sign\nlight\n")


LAYOUTS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "voc by Roboflow": ("voc", roboflow_voc),
    "voc in nested folders": ("voc", nested_voc),
    "voc with lists": ("voc", listed_voc),
    "coco by Roboflow": ("coco", roboflow_coco),
    "coco, official": ("coco", official_coco),
    "coco with images": ("coco", images_coco),
    "yolo of Ultralytics": ("yolo", ultralytics),
    "yolo by Roboflow": ("yolo", roboflow_yolo),
    "yolo with lists": ("yolo", listed_yolo),
}


def facts(data: Splits) -> dict[str, list[tuple[str, list[list[float]], list[str]]]]:
    """Of each set, for each picture: its pixels, its boxes, their classes; sorted."""
    found = {}
    for name, part in (("train", data.train), ("valid", data.select), ("test", data.test)):
        rows = []
        for row in range(len(part)):
            mine = part.boxes.image == row
            labels = [part.class_names[label] for label in part.boxes.labels[mine]]
            rows.append((part.pixels.one(row).tobytes().hex(), part.boxes.xyxy[mine].round(3).tolist(), labels))
        found[name] = sorted(rows)
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each layout must give."""
    folder = tmp_path_factory.mktemp("expected")
    found: dict[str, Any] = {split: [] for split in SPLITS}
    for split, i, seed in seeds():
        pixels = np.asarray(Image.open(picture(folder / f"{seed}.png", seed)))
        found[split].append((pixels.tobytes().hex(), [[4, 6, 20, 24]], [NAMES[i % 2]]))
    return {split: sorted(rows) for split, rows in found.items()}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "tar"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_splits_that_came_with_the_data(layout: str, packed: bool, tmp_path: Path, expected: Any) -> None:
    source, make = LAYOUTS[layout]
    make(tmp_path / "signs")
    place = tmp_path / "signs"
    if packed:
        place = tmp_path / "signs.tar.gz"
        with tarfile.open(place, "w:gz") as tar:
            tar.add(tmp_path / "signs", "signs")
    assert detect(place) == source
    data = load(place)
    assert facts(data) == expected
    assert data.train.name == "signs"
    assert sorted(data.class_names) == sorted(NAMES)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_splits_may_be_drawn_anew(layout: str, tmp_path: Path, expected: Any) -> None:
    source, make = LAYOUTS[layout]
    make(tmp_path)
    data = load(source, path=tmp_path, options={"splits": False}, select=0.2, test_share=0.3)
    parts = (data.train, data.select, data.test)
    pictures = [part.pixels.one(row).tobytes() for part in parts for row in range(len(part))]
    assert len(pictures) == len(set(pictures)) == 11
    assert facts(data) != expected


@pytest.mark.parametrize("layout", ["voc by Roboflow", "coco by Roboflow", "yolo by Roboflow"])
def test_without_a_training_set(layout: str, tmp_path: Path) -> None:
    source, make = LAYOUTS[layout]
    make(tmp_path)
    (tmp_path / "train").rename(tmp_path / ".train")
    with pytest.raises(BadInput, match=r"expected training pictures in .* for tests, got none; .* splits=false"):
        load(source, path=tmp_path)
    assert len(load(source, path=tmp_path, options={"splits": False}).train) == 3


def test_without_a_test_set_a_share_of_the_training_set_becomes_one(tmp_path: Path) -> None:
    roboflow_voc(tmp_path)
    (tmp_path / "test").rename(tmp_path / ".test")
    data = load(tmp_path, test_share=0.34)
    assert (len(data.train), len(data.select), len(data.test)) == (4, 2, 2)


def test_pictures_of_no_split_are_left_out(tmp_path: Path) -> None:
    listed_voc(tmp_path)
    (tmp_path / "VOC2007/ImageSets/Main/val.txt").write_text("000100.jpg\n", encoding="utf-8")
    (tmp_path / "VOC2007/ImageSets/Main/trainval.txt").unlink()
    with pytest.warns(DataWarning, match=r"1 pictures of no split were left out, the first is .*000101\.png"):
        assert len(load(tmp_path).select) == 1
    roboflow_yolo(tmp_path / "yolo")
    picture(tmp_path / "yolo" / "more" / "1.png", 1)
    with (
        pytest.warns(DataWarning, match="1 pictures have no label file, the first is more/1.png"),
        pytest.warns(DataWarning, match="1 pictures of no split were left out, the first is more/1.png"),
    ):
        assert len(load(tmp_path / "yolo").train) == 6


def test_a_picture_in_two_lists_is_refused(tmp_path: Path) -> None:
    listed_voc(tmp_path)
    sets = tmp_path / "VOC2007/ImageSets/Main"
    with (sets / "test.txt").open("a", encoding="utf-8") as file:
        file.write("000001\n")
    with pytest.raises(BadInput, match=r"each picture in one list of .*, got 000001 in test.txt and train.txt; mend"):
        load(tmp_path)
    assert len(load(tmp_path, options={"splits": False}).train) == 9
    (sets / "train.txt").unlink()
    with pytest.raises(BadInput, match=r"got 000001 in test.txt and trainval.txt"):
        load(tmp_path)


def test_annotations_in_splits_of_pictures_in_one_folder(tmp_path: Path) -> None:
    for split, _, seed in seeds():
        picture(tmp_path / "images" / f"{seed}.png", seed)
        text(tmp_path / "annotations" / split / f"{seed}.xml", XML.format(name="sign"))
    data = load(tmp_path)
    assert (len(data.train), len(data.select), len(data.test)) == (6, 2, 3)
    text(tmp_path / "annotations" / "test" / "0.xml", XML.format(name="sign"))
    with pytest.raises(BadInput, match=r"one annotation of each name, got .*0\.xml and .*0\.xml"):
        load(tmp_path)
