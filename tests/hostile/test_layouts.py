"""Sets of pictures whose tables, lists, labels and folders are awkward: COCO, YOLO, VOC's lists, GTSRB, splits."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

Hostile = Callable[..., dict[str, Any]]


def _picture(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _table(**changes: object) -> dict[str, Any]:
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 16, "height": 16} for i in range(6)],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 8, 8]} for i in range(6)],
        "categories": [{"id": 1, "name": "a"}],
    } | changes


def _first(key: str, **fields: object) -> str:
    table = _table()
    table[key][0].update(fields)
    return json.dumps(table)


_HEAD = '"images": [], "categories": [], "annotations": '
TABLES: dict[str, Callable[[], str | bytes]] = {
    "a path above": lambda: _first("images", file_name="../../0.png"),
    "an absolute path": lambda: _first("images", file_name="/etc/passwd"),
    "a drive": lambda: _first("images", file_name="C:\\0.png"),
    "a path above with backslashes": lambda: _first("images", file_name="..\\..\\0.png"),
    "a name of control characters": lambda: _first("images", file_name="\x1b[2J0.png"),
    "a name of a million letters": lambda: _first("images", file_name="x" * 1_000_000),
    "a lone surrogate": lambda: _first("images", file_name="\udcff.png"),
    "a null in a name": lambda: _first("images", file_name="0\0.png"),
    "no name": lambda: _first("images", file_name=None),
    "nan": lambda: _first("annotations", bbox=[float("nan"), 1, 8, 8]),
    "infinity": lambda: _first("annotations", bbox=[1, 1, float("inf"), 8]),
    "a box of numbers beyond floats": lambda: _first("annotations", bbox=[1, 1, 10**400, 8]),
    "a box of 5,000 digits": lambda: _first("annotations", bbox=[1, 1, 8, 8]).replace("8]", "8" * 5000 + "]", 1),
    "a box of texts": lambda: _first("annotations", bbox=["\x1b[2J", 1, 8, 8]),
    "a box of a million": lambda: _first("annotations", bbox=[1] * 1_000_000),
    "an unknown picture": lambda: _first("annotations", image_id=10**15),
    "a picture that is a list": lambda: _first("annotations", image_id=[[1]]),
    "an unknown category": lambda: _first("annotations", category_id="\x1b[2Ja"),
    "a category of control characters": lambda: _first("categories", name="\x1b[2J\x07a\nb" * 100),
    "a size of 10^15": lambda: _first("images", width=10**15),
    "deep": lambda: "{" + _HEAD + "[" * 100_000 + "]" * 100_000 + "}",
    "deep objects": lambda: "{" + _HEAD + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}",
    "a million annotations": lambda: json.dumps(_table(annotations=[{"image_id": 0}] * 1_000_000)),
    "ten million lists": lambda: "{" + _HEAD + "[" + "[]," * 10_000_000 + "1]}",
    "annotations that are none": lambda: json.dumps(_table(annotations={"a": 1})),
    "entries that are none": lambda: json.dumps(_table(images=[None, 1])),
    "cut off": lambda: json.dumps(_table())[:-2],
    "no utf-8": lambda: json.dumps(_table()).encode().replace(b'"a"', b'"\xff\xfe"'),
    "a list": lambda: json.dumps([_table()]),
    "ids twice": lambda: json.dumps(_table(images=_table()["images"] * 2)),
}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "tar"])
@pytest.mark.parametrize("name", TABLES)
def test_coco(name: str, packed: bool, folder: Path, hostile: Hostile) -> None:
    data = folder / "data"
    (data / "annotations").mkdir(parents=True)
    for i in range(6):
        (data / f"{i}.png").write_bytes(_picture(i))
    content = TABLES[name]()
    table = data / "annotations" / "instances_all.json"
    table.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    # Categories may have any name.
    code = 0 if name == "a category of control characters" else 2
    hostile("preview", "square", "--data", _packed(data) if packed else data, code=code)


def _packed(data: Path) -> Path:
    with tarfile.open(data.with_suffix(".tar"), "w") as tar:
        tar.add(data, "data")
    return data.with_suffix(".tar")


LINE = b"0 0.5 0.5 0.5 0.5\n"
LABELS: dict[str, Callable[[], bytes]] = {
    "nan": lambda: b"0 nan 0.5 0.5 0.5\n",
    "infinity": lambda: b"0 0.5 0.5 inf 0.5\n",
    "a number beyond floats": lambda: b"0 0.5 0.5 1e999 0.5\n",
    "a class of 10^15": lambda: b"1000000000000000 0.5 0.5 0.5 0.5\n",
    "a class of 10^8": lambda: b"99999999 0.5 0.5 0.5 0.5\n",
    "a class of 5,000 digits": lambda: b"9" * 5000 + b" 0.5 0.5 0.5 0.5\n",
    "a class below 0": lambda: b"-1 0.5 0.5 0.5 0.5\n",
    "a million lines": lambda: LINE * 200_000,
    "one line of a million numbers": lambda: b"0 " + b"0.5 " * 1_000_001,
    "control characters": lambda: b"\x1b[2J 0.5 0.5 0.5 0.5\n",
    "pixels": lambda: b"0 500 400 30 20\n",
    "other digits": lambda: "\N{ARABIC-INDIC DIGIT ONE} 0.5 0.5 0.5 0.5\n".encode(),
}


@pytest.mark.parametrize("named", [False, True], ids=["numbers", "names"])
@pytest.mark.parametrize("name", LABELS)
def test_yolo(name: str, named: bool, folder: Path, hostile: Hostile) -> None:
    data = _yolo(folder)
    (data / "labels" / "0.txt").write_bytes(LABELS[name]())
    if named:
        (data / "data.yaml").write_text("names: [a]\n", encoding="utf-8")
    hostile("preview", "square", "--data", data)
    hostile("preview", "square", "--data", _packed(data))


def _yolo(folder: Path) -> Path:
    data = folder / "data"
    for name in ("images", "labels"):
        (data / name).mkdir(parents=True)
    for i in range(6):
        (data / "images" / f"{i}.png").write_bytes(_picture(i))
        (data / "labels" / f"{i}.txt").write_bytes(LINE)
    return data


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nnames: [*b,*b,*b,*b,*b,*b]\n"
DESCRIPTIONS: dict[str, Callable[[], str]] = {
    "a bomb": lambda: BOMB,
    "an object": lambda: "names: !!python/object/apply:os.system ['touch evil']\n",
    "a path": lambda: "names: ../../etc/passwd\n",
    "brackets without end": lambda: "names: " + "[" * 100_000,
    "deep": lambda: "names:\n" + "".join(f"{' ' * i}- \n" for i in range(1000)),
    "200,000 names": lambda: "names:\n" + "".join(f"- {i}\n" for i in range(200_000)),
    "a name of a million letters": lambda: f"names: [{'x' * 1_000_000}]\n",
    "many quotes": lambda: "names: [" + "'" * 100_001 + "]\n",
    "many spaces": lambda: "names: [" + " " * 1_000_000 + "'\n",
    "a number of 10^8": lambda: "names: {99999999: a}\n",
    "nc of 10^8": lambda: "nc: 99999999\nnames: [a]\n",
    "names twice": lambda: "names: [a, a]\n",
    "none": lambda: "names:\n",
    "binary": lambda: "names: \x00\x01\x02\n",
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_descriptions(name: str, folder: Path, hostile: Hostile) -> None:
    data = _yolo(folder)
    (data / "data.yaml").write_text(DESCRIPTIONS[name](), encoding="utf-8")
    hostile("preview", "square", "--data", data)
    assert not (folder / "evil").exists()


def test_a_description_of_control_characters(folder: Path, hostile: Hostile) -> None:
    data = _yolo(folder)
    (data / "data.yaml").write_text("names: ['\x1b[2Ja']\n", encoding="utf-8")
    hostile("preview", "square", "--data", data, code=0)


@pytest.mark.parametrize("seed", range(20))
def test_mutated_descriptions_and_labels(
    seed: int, folder: Path, hostile: Hostile, mutated: Callable[[bytes, int], bytes]
) -> None:
    data = _yolo(folder)
    (data / "data.yaml").write_bytes(mutated(b"nc: 2\nnames:\n  0: 'a'\n  1: \"b\"\n", seed))
    (data / "labels" / "0.txt").write_bytes(mutated(LINE * 3, Random(seed).randrange(1000)))
    hostile("preview", "square", "--data", data, code=(0, 2))


def test_lists_of_voc(folder: Path, hostile: Hostile) -> None:
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    sets = folder / "data" / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    for i in range(6):
        (folder / "data" / f"{i}.png").write_bytes(_picture(i))
        (folder / "data" / f"{i}.xml").write_text(f"<annotation><object><name>a</name>{box}</object></annotation>")
    for content in (b"\x1b[2J0\n", b"../../etc/passwd\n", b"0\n" * 9_000_000, b"\xff\xfe", b"x" * 1_000_000):
        (sets / "train.txt").write_bytes(content)
        hostile("preview", "square", "--data", folder / "data")
    (sets / "train.txt").write_bytes(b"0\n1\n2\n3\n")
    (sets / "test.txt").write_bytes(b"3\n4\n5\n")
    hostile("preview", "square", "--data", folder / "data")
    (sets / "train.txt").write_bytes(b"0\r\n1\r\n2")
    hostile("preview", "square", "--data", folder / "data", code=0)


@pytest.mark.parametrize(
    "line",
    [
        "16,16,1,1,9,9,1,../../etc/passwd",
        "16,16,1,1,9,9,1,",
        "16,16,1,1,9,9,9999999999999999999,Test/00000.png",
        "nan,16,1,1,9,9,1,Test/00000.png",
        f"16,16,1,1,9,9,{'9' * 5000},Test/00000.png",
        "16,16,1,1,9,99,1,Test/00000.png",
        "\x1b[2J",
    ],
)
def test_tables_of_gtsrb(line: str, folder: Path, hostile: Hostile) -> None:
    for path in ("Train/1/00001_00000_00000.png", "Train/2/00002_00000_00000.png", "Test/00000.png"):
        (folder / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / path).write_bytes(_picture())
    head = "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path"
    (folder / "data" / "Test.csv").write_text(f"{head}\n{line}\n", encoding="utf-8")
    hostile("preview", "square", "--data", folder / "data")


FOLDERS = {
    "splits that may be classes": ["train", "test"],
    "deep": ["/".join(["train", "test"] * 100)],
    "control characters": ["train", "test", "\x1b[2Jcat\x07"],
    "long names": ["train" + "_x" * 100, "test" + "_x" * 100, "val" + "_y" * 100],
    "many splits": [f"{i}/{part}/a" for i in range(200) for part in ("train", "test")],
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders(name: str, folder: Path, hostile: Hostile) -> None:
    for path in FOLDERS[name]:
        (folder / "data" / path).mkdir(parents=True)
        (folder / "data" / path / "0.png").write_bytes(_picture())
    hostile("preview", "square", "--data", folder / "data")
    hostile("preview", "square", "--data", folder / "data", "--set", "data.options.layout=\x1b[2J")
    hostile("preview", "square", "--data", folder / "data", "--set", "data.options.layout=7")
