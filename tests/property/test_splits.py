"""Laws of splits that came with the data, over layouts, spellings and numbers of pictures."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from badnets.data.images import ImageData
from badnets.data.load import load

SPELLED = {
    "train": ("train", "Training", "training_set", "trn", "trainset", "train2017"),
    "test": ("test", "Testing", "test_set", "tst", "testImages", "evaluation"),
    "select": ("val", "valid", "Validation", "validation-set", "dev"),
}
XML = (
    "<annotation><object><name>a</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox>"
    "</object></annotation>"
)
Write = Callable[[Path, str, list[int]], None]


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), seed, np.uint8)).save(path)


def folders(root: Path, split: str, pictures: list[int]) -> None:
    for i, seed in enumerate(pictures):
        picture(root / "x" / split / "ab"[i % 2] / f"{i}.png", seed)


def class_first(root: Path, split: str, pictures: list[int]) -> None:
    for i, seed in enumerate(pictures):
        picture(root / "ab"[i % 2] / split / f"{i}.png", seed)


def voc(root: Path, split: str, pictures: list[int]) -> None:
    for i, seed in enumerate(pictures):
        picture(root / split / f"{i}.png", seed)
        (root / split / f"{i}.xml").write_text(XML, encoding="utf-8")


def coco(root: Path, split: str, pictures: list[int]) -> None:
    images = [{"id": i, "file_name": f"{i}.png"} for i in range(len(pictures))]
    boxes = [{"image_id": i, "category_id": 1, "bbox": [1, 1, 4, 4]} for i in range(len(pictures))]
    for i, seed in enumerate(pictures):
        picture(root / "images" / split / f"{i}.png", seed)
    table = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "a"}]}
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(table), encoding="utf-8")


def yolo(root: Path, split: str, pictures: list[int]) -> None:
    (root / "labels" / split).mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(pictures):
        picture(root / "images" / split / f"{i}.png", seed)
        (root / "labels" / split / f"{i}.txt").write_text("0 0.5 0.5 0.5 0.5\n", encoding="utf-8")


def seen(part: ImageData) -> list[int]:
    return sorted(int(part.pixels.one(row)[0, 0, 0]) for row in range(len(part)))


@settings(max_examples=40)
@given(
    write=st.sampled_from([folders, class_first, voc, coco, yolo]),
    counts=st.fixed_dictionaries(
        {"train": st.integers(2, 7), "test": st.integers(2, 5)}, optional={"select": st.integers(1, 4)}
    ),
    spelled=st.fixed_dictionaries({split: st.sampled_from(names) for split, names in SPELLED.items()}),
)
def test_each_picture_is_in_its_split_and_in_no_other(
    write: Write, counts: dict[str, int], spelled: dict[str, str]
) -> None:
    expected, used = {}, 0
    with tempfile.TemporaryDirectory() as folder:
        for split, count in counts.items():
            expected[split] = list(range(used, used + count))
            write(Path(folder) / "set", spelled[split], expected[split])
            used += count
        data = load(Path(folder) / "set")
    assert seen(data.train) == expected["train"]
    assert seen(data.test) == expected["test"]
    assert seen(data.select) == expected.get("select", [])
