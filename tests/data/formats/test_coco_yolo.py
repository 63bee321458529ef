"""COCO's JSON and YOLO's text files: what they may say, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from badnets.core.cache import DataWarning
from badnets.core.errors import BadInput
from badnets.data.formats.yolo import read_lines, read_names
from badnets.data.load import detect, load


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


Table = dict[str, list[dict[str, Any]]]


def table() -> Table:
    return {
        "images": [{"id": f"p{i}", "file_name": f"{i}.png", "width": 40, "height": 30} for i in range(6)],
        "annotations": [{"image_id": f"p{i}", "category_id": 9 - i % 2, "bbox": [1, 2, 10, 20]} for i in range(6)],
        "categories": [{"id": 9, "name": "a"}, {"id": 8, "name": "b"}, {"id": 1, "name": "none"}],
    }


@pytest.fixture
def coco(tmp_path: Path) -> Callable[..., Path]:
    """Six pictures and a table that was changed."""

    def make(change: Callable[[Table], Any] = lambda _: None) -> Path:
        for i in range(6):
            picture(tmp_path / "images" / f"{i}.png", i)
        given = table()
        change(given)
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / "instances_all.json").write_text(json.dumps(given), encoding="utf-8")
        return tmp_path

    return make


def test_classes_are_the_categories_that_occur_by_their_number(coco: Callable[..., Path]) -> None:
    data = load(coco())
    assert data.class_names == ("b", "a")
    assert load(coco(), options={"classes": "a,b,c"}).class_names == ("a", "b", "c")
    with pytest.raises(BadInput, match=r"one of the option classes in .*, got 'b'"):
        load(coco(), options={"classes": "a,c"})


def test_boxes_are_clipped_crowds_and_other_pictures_left_out(coco: Callable[..., Path]) -> None:
    def change(given: Table) -> None:
        given["annotations"][0]["bbox"] = [30, -5, 20, 10]
        given["annotations"].append({"image_id": "p1", "category_id": 9, "bbox": [0, 0, 9, 9], "iscrowd": 1})
        given["images"].pop(5)
        given["annotations"].pop(5)

    with (
        pytest.warns(DataWarning, match="1 boxes of crowds were left out"),
        pytest.warns(DataWarning, match="1 pictures that no table names were left out, the first is images/5.png"),
        pytest.warns(DataWarning, match="1 boxes reached out of the picture and were clipped"),
    ):
        data = load(coco(change))
    boxes = [*data.train.boxes.xyxy.tolist(), *data.test.boxes.xyxy.tolist()]
    assert sorted(boxes) == [[1, 2, 11, 22]] * 4 + [[30, 0, 40, 5]]


def _named(name: object) -> Callable[[Table], Any]:
    return lambda given: given["images"][0].update(file_name=name)


def _boxed(box: object) -> Callable[[Table], Any]:
    return lambda given: given["annotations"][0].update(bbox=box)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_named("../../etc/passwd"), "got a path that leaves its folder: '../../etc/passwd'; do not trust this file"),
        (_named("/etc/passwd"), "a path that leaves"),
        (_named("C:\\x.png"), "a path that leaves"),
        (_named("9.png"), r"expected the picture 9\.png of .*instances_all\.json, got none; add it"),
        (_named("1.png"), "expected one annotation of each name"),
        (_named(""), "expected a file_name in entry 1 of images"),
        (_named(7), "expected a file_name in entry 1 of images in .*, got 7"),
        (_boxed([1, 2, float("nan"), 4]), r"bbox .* in entry 1 of annotations in .*, got \[1, 2, nan, 4\]"),
        (_boxed([1, 2, float("inf"), 4]), "of finite numbers"),
        (_boxed([1e308, 2, 1e308, 4]), "of finite numbers"),
        (_boxed([1, 2, -3, 4]), "the last two at least 0"),
        (_boxed([1, 2, 3]), "expected bbox"),
        (_boxed(None), "expected bbox"),
        (_boxed({"x": 1}), "expected bbox"),
        (lambda t: t["annotations"][0].update(image_id="p9"), "expected the id of a picture in entry 1 .* got 'p9'"),
        (lambda t: t["annotations"][0].update(image_id=[1]), "expected a number or a text as image_id of entry 1"),
        (lambda t: t["annotations"][0].update(category_id=77), "expected the id of a category in .*, got 77"),
        (lambda t: t["images"].append(t["images"][0]), "expected each id once in images of .*, got p0 twice"),
        (lambda t: t["categories"].append({"id": 9, "name": "z"}), "expected each id once in categories of .*, got 9"),
        (lambda t: t["categories"][0].update(name=None), "expected a whole number and a name in entry 1 of categories"),
        (lambda t: t["images"].insert(0, 5), "expected entry 1 of images in .* as an object, got 5"),  # type: ignore[arg-type]
        (lambda t: t.update(images={}), "expected a list 'images' in .*, got dict"),  # type: ignore[call-overload]
        (lambda t: t["images"][0].update(width=41), "expected a picture of 41x30"),
    ],
)
def test_bad_tables_are_refused(coco: Callable[..., Path], change: Callable[[Table], Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        load(coco(change))
    assert "\n" not in str(caught.value)


def test_a_name_that_two_pictures_have_is_refused(coco: Callable[..., Path]) -> None:
    place = coco()
    picture(place / "more" / "1.png")
    with pytest.raises(BadInput, match=r"one picture of each name, got .*images/1.png and more/1.png"):
        load(place)
    coco(_named("images/0.png"))
    picture(place / "more" / "0.png")
    (place / "more" / "1.png").unlink()
    with pytest.warns(DataWarning, match=r"no table names were left out, the first is more/0\.png"):
        load(place)


def test_other_json_is_not_taken_for_it(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        picture(tmp_path / name / "1.png")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "x.json").write_text('{"images": 1}', encoding="utf-8")
    (tmp_path / "cat" / "notes.txt").write_text("1 2 3\n", encoding="utf-8")
    assert detect(tmp_path) == "folder"
    for source, wanted in (("coco", "a JSON file with images, annotations and categories"), ("yolo", "label files")):
        with pytest.raises(BadInput, match=f"expected {wanted}"):
            load(source, path=tmp_path)
        with pytest.raises(BadInput, match="expected a folder or a tar with"):
            load(source, path=tmp_path / "cat" / "1.png")


@pytest.fixture
def yolo(tmp_path: Path) -> Callable[..., Path]:
    """Six pictures, the first with the given lines."""

    def make(lines: str = "", names: str | None = "names: [a, b]\n") -> Path:
        for i in range(6):
            picture(tmp_path / "images" / f"{i}.png", i)
            (tmp_path / "labels").mkdir(exist_ok=True)
            (tmp_path / "labels" / f"{i}.txt").write_text(f"{i % 2} 0.5 0.5 0.5 0.5\n", encoding="utf-8")
        (tmp_path / "labels" / "0.txt").write_text(lines or "1 0.5 0.5 0.5 0.5\n", encoding="utf-8")
        if names is not None:
            (tmp_path / "data.yaml").write_text(names, encoding="utf-8")
        return tmp_path

    return make


def test_outlines_and_edges(yolo: Callable[..., Path]) -> None:
    place = yolo("0 0.1 0.1 0.5 0.2 0.3 0.9\r\n\r\n1 0.95 0.5 0.2 0.2\n")
    with pytest.warns(DataWarning, match="1 boxes reached out of the picture"):
        data = load(place)
    boxes = np.array([*data.train.boxes.xyxy.tolist(), *data.test.boxes.xyxy.tolist()])
    for box in ([4, 3, 20, 27], [34, 12, 40, 18], [10, 7.5, 30, 22.5]):
        assert np.isclose(boxes, box, atol=1e-4).all(1).any()


def test_names_of_classes(yolo: Callable[..., Path]) -> None:
    assert load(yolo(names=None)).class_names == ("0", "1") == load(yolo(names="train: x\n")).class_names
    assert load(yolo(), options={"classes": "x,y,z"}).class_names == ("x", "y", "z")
    (yolo() / "classes.txt").write_text("q\nr\ns\n", encoding="utf-8")
    assert load(yolo()).class_names == ("a", "b")
    (yolo() / "old.yaml").write_text("names: [b, a]\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"the same names of classes in .*, got others; remove one"):
        load(yolo())
    (yolo() / "old.yaml").unlink()
    with pytest.raises(BadInput, match=r"expected a class 0\.\.0 at the begin of line 1 of .*, got '1'"):
        load(yolo(), options={"classes": "x"})


@pytest.mark.parametrize(
    "text",
    [
        "names: [a, b c, 'd, e', \"f's\"]",
        "nc: 4\nnames: [ 'a' ,\n  b c,\n  'd, e', \"f's\"\n]\nother: 1",
        "names:\n- a\n- b c\n- 'd, e'\n- \"f's\"\nnc: 4",
        "train: x\nnames:\n  - a   # one\n  - b c\n\n  - 'd, e'\n  - f's\n",
        "names:\n  0: a\n  1: b c\n  3: f's\n  2: 'd, e'\ndownload: |\n  a: b\n",
        "names: {0: a, 1: b c, 2: 'd, e', 3: \"f's\"}",
    ],
)
def test_what_is_understood_of_a_description(text: str) -> None:
    assert read_names(text.encode(), "data.yaml") == ("a", "b c", "d, e", "f's")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: a.names", "expected names: as a list or numbered in data.yaml, got 'a.names'; write"),
        ("names: [a, b", "as a list or numbered"),
        ("names: [a, [b]]", "as a list or numbered"),
        ("names: [*a]", "as a list or numbered"),
        ("names: !!python/object:os.system [a]", "as a list or numbered"),
        ("names:\n  a: b", "as a list or numbered"),
        ("names:\n- a\n  b: c", "as a list or numbered"),
        ("names: {a: 0}", "as a list or numbered"),
        ("names: [a, a]", "expected names of classes, each once"),
        ("names: ['']", "each once"),
        ("names: []", "as many names as nc says"),
        ("nc: 3\nnames: [a, b]", "as many names as nc says in data.yaml, got 2 of 3"),
        ("names: {0: a, 2: b}", "names numbered from 0"),
        ("names:\n  1: a", "names numbered from 0"),
    ],
)
def test_what_is_not(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_names(text.encode(), "data.yaml")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a 0.5 0.5 0.5 0.5", r"expected a class 0\.\.1 at the begin of line 1 of x\.txt, got 'a'"),
        ("2 0.5 0.5 0.5 0.5", r"a class 0\.\.1"),
        ("-1 0.5 0.5 0.5 0.5", r"a class 0\.\.1"),
        ("9999999999999 0.5 0.5 0.5 0.5", r"a class 0\.\.1"),
        ("0 0.5 0.5 0.5", "a class and four numbers from 0 to 1"),
        ("0 0.5 0.5 0.5 0.5 0.9", "four numbers"),
        ("0 nan 0.5 0.5 0.5", "four numbers"),
        ("0 inf 0.5 0.5 0.5", "four numbers"),
        ("0 0.5 0.5 -0.5 0.5", "four numbers"),
        ("0 120 80 40 30", "four numbers from 0 to 1"),
        ("0 a b c d", "four numbers"),
        ("0", "four numbers"),
    ],
)
def test_bad_lines_are_refused(line: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        list(read_lines(line.encode(), "x.txt", ("a", "b")))


def test_files_that_do_not_fit_together_are_refused(yolo: Callable[..., Path]) -> None:
    place = yolo()
    (place / "labels" / "9.txt").write_text("0 0.5 0.5 0.5 0.5\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"expected a picture for .*labels/9\.txt, got none"):
        load(place)
    (place / "labels" / "9.txt").rename(place / "images" / "1.txt")
    with pytest.raises(BadInput, match=r"one label file of each name, got .*images/1\.txt and labels/1\.txt"):
        load(place)
