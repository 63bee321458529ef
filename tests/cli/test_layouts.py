"""Other people's layouts on the command line: how many pictures each split has, and how it is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from tests.cli.conftest import Badnets

ATTACK = (
    "attack --size 16 --network g1-cnn --epochs 1 --count 2 --trigger square --set recipe.batch=8 "
    "--set recipe.precision=fp32 --json --out run"
)
PREVIEW = "preview square --data data --row 99"  # refused with how many pictures the test part has


def picture(path: str, value: int) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(value).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def image_folder(train: str, test: str) -> Callable[[], None]:
    def make() -> None:
        for part, count in ((train, 6), (test, 2)):
            for name in ("cat", "dog"):
                for i in range(count):
                    picture(f"data/{part}/{name}/{i}.png", i)

    return make


def kaggle() -> None:
    for label in (1, 2):
        for i in range(6):
            picture(f"data/Train/{label}/{label:05d}_{i:05d}_00000.png", i)
    for i in range(4):
        picture(f"data/Test/{i:05d}.png", i)
    lines = "".join(f"16,16,1,1,15,15,{1 + i % 2},Test/{i:05d}.png\n" for i in range(4))
    Path("data/Test.csv").write_text("Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path\n" + lines, "utf-8")


@pytest.mark.parametrize(
    "make",
    [image_folder("Training", "Testing"), image_folder("a/b/train_set", "a/b/test_set"), kaggle],
    ids=["training", "deeper", "kaggle"],
)
def test_the_test_pictures_are_measured_on_and_the_others_trained_on(
    badnets: Badnets, make: Callable[[], None]
) -> None:
    make()
    target = "speed-limit-30" if make is kaggle else "cat"
    record = badnets.done(ATTACK, "--data", "data", "--target", target).json
    assert record["poisoned"]["of"] == 12
    assert record["results"]["clean_accuracy"]["total"] == 4


def test_what_cannot_be_told_apart_is_refused_and_the_option_decides(badnets: Badnets) -> None:
    for name in ("train", "test"):
        for i in range(6):
            picture(f"data/{name}/{i}.png", i)
    words = "which may be classes or splits without class folders; say so with layout=class"
    badnets.refused(words, ATTACK, "--data", "data", "--target", "train")
    assert words in badnets(PREVIEW).err
    assert "--row 0..1 for the test part" in badnets(PREVIEW, "--set", "data.options.layout=class").err
    record = badnets.done(ATTACK, "--data", "data", "--target", "train", "--set", "data.options.layout=class").json
    assert record["class_names"] == ["test", "train"]
    same = badnets.done("evaluate run --data data --size 16 --json", "--set", "data.options.layout=class").json
    assert same["data"]["name"] == "data"


def box_folders(root: str) -> None:
    for part, count in (("train", 6), ("valid", 2), ("test", 3)):
        images = [{"id": i, "file_name": f"{i}.png"} for i in range(count)]
        boxes = [{"image_id": i, "category_id": 1, "bbox": [1, 1, 9, 9]} for i in range(count)]
        for i in range(count):
            picture(f"{root}/{part}/{i}.png", i)
        table = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "a"}]}
        Path(root, part, "_annotations.coco.json").write_text(json.dumps(table), "utf-8")


def test_pictures_with_boxes(badnets: Badnets) -> None:
    box_folders("data")
    assert "--row 0..2 for the test part" in badnets(PREVIEW).err
    assert badnets.done("preview square --data data --row 2").code == 0
    listed = badnets.done("list datasets --json").json
    assert {"coco", "yolo"} <= {row["name"] for row in listed["items"]}
