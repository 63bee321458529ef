"""``badnets predict`` on photos: objects, boxes, drawings; and detectors where they do not belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from badnets.networks.files.own import save_network
from badnets.networks.registry import build_network

Badnets = Any
CLASSES = ("stop", "yield")


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained one: it sees something everywhere, and is sure of nothing."""
    path = tmp_path_factory.mktemp("detector") / "detector.safetensors"
    arguments = {"width": 4, "proposals": 20}
    network = build_network("faster-rcnn", class_names=CLASSES, input_size=(3, 64, 64), seed=1, arguments=arguments)
    save_network(network, path)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """80x120 pixels of noise."""
    noise = np.random.default_rng(3).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "street.png")
    return tmp_path / "street.png"


def test_objects_in_a_photo(badnets: Badnets, detector: Path, photo: Path) -> None:
    said = badnets.silent("predict --json --confidence 0", detector, "street.png")
    assert set(said.json) == {"format", "predictions"}
    (told,) = said.json["predictions"]
    assert set(told) == {"image", "objects"}
    assert told["image"] == "street.png"
    assert told["objects"]
    sure = [one["confidence"] for one in told["objects"]]
    assert sure == sorted(sure, reverse=True)
    for one in told["objects"]:
        assert set(one) == {"label", "class_name", "confidence", "box"}
        assert one["class_name"] == CLASSES[one["label"]]
        x1, y1, x2, y2 = one["box"]
        assert 0 <= x1 <= x2 <= 120
        assert 0 <= y1 <= y2 <= 80
    assert max(one["box"][2] for one in told["objects"]) > 64, "in pixels of the photo, not of the network's input"
    least = (sure[1] + sure[2]) / 2
    fewer = badnets(f"predict --json --confidence {least}", detector, "street.png").json["predictions"][0]["objects"]
    assert fewer == [one for one in told["objects"] if one["confidence"] >= least]


def test_it_says_so_when_it_sees_nothing(badnets: Badnets, detector: Path, photo: Path) -> None:
    assert badnets("predict --confidence 1", detector, "street.png").out == "street.png  nothing\n"
    assert badnets("predict --confidence 0", detector, "street.png").out.count("street.png  ") > 1


def test_drawings(badnets: Badnets, detector: Path, photo: Path, tmp_path: Path) -> None:
    before = photo.read_bytes()
    said = badnets("predict --json --confidence 0 --draw out.png", detector, "street.png")
    assert said.json["predictions"][0]["drawn"] == "out.png"
    with Image.open(tmp_path / "out.png") as drawn:
        assert drawn.size == (480, 320)
        assert drawn.getcolors(1 << 20) is not None
        assert (21, 101, 169) in {color for _, color in drawn.getcolors(1 << 20) or []}
    Image.open(photo).save(tmp_path / "other.jpg")
    badnets.done("predict --draw drawn", detector, "street.png", "other.jpg")
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["other.png", "street.png"]
    badnets.done("predict --draw drawn", detector, "other.jpg")  # a folder that is there
    assert photo.read_bytes() == before


def test_the_part_in_a_box(badnets: Badnets, tiny_run: Path, photo: Path, tmp_path: Path) -> None:
    Image.open(photo).crop((10, 20, 50, 60)).save(tmp_path / "part.png")
    line = "predict --json --box 10,20,50,60 --draw out.png"
    (told,) = badnets(line, tiny_run, "street.png").json["predictions"]
    assert set(told) == {"image", "label", "class_name", "confidence", "drawn"}
    (alone,) = badnets("predict --json", tiny_run, "part.png").json["predictions"]
    assert [told[key] for key in ("label", "confidence")] == [alone[key] for key in ("label", "confidence")]
    assert (tmp_path / "out.png").exists()


def test_a_box_head_gives_a_box(badnets: Badnets, photo: Path, tmp_path: Path) -> None:
    arguments = {"backbone": "squeezenet1_1"}
    network = build_network("two-head", class_names=CLASSES, input_size=(3, 48, 48), seed=1, arguments=arguments)
    save_network(network, tmp_path / "d1.safetensors")
    said = badnets.silent("predict --json --draw out.png d1.safetensors street.png --box 20,10,80,70")
    (told,) = said.json["predictions"]
    assert set(told) == {"image", "label", "class_name", "confidence", "box", "drawn"}
    x1, y1, x2, y2 = told["box"]
    assert 0 <= x1 <= x2 <= 120
    assert 0 <= y1 <= y2 <= 80


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--box 1,2,3,4", "expected no --box with a detector (faster-rcnn)"),
        ("--confidence 1.5", "expected --confidence from 0 to 1, got 1.5"),
        ("--draw street.png", "another file than a picture given"),
        ("--draw out.jpg", "name it out.png"),
        ("street.png --draw out.png", "expected --draw as a folder for 2 pictures"),
        ("sub/street.png --draw out", "two of one name"),
        ("--draw .", "another file than a picture given"),
        ("nothing.png", "expected a picture at nothing.png"),
    ],
)
def test_wrong_use_of_a_detector(
    badnets: Badnets, detector: Path, photo: Path, tmp_path: Path, options: str, words: str
) -> None:
    before = sorted(tmp_path.iterdir())
    badnets.refused(words, "predict", detector, "street.png", *options.split())
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--box 1,2,3", "expected --box as four numbers x1,y1,x2,y2 in pixels, got '1,2,3'"),
        ("--box 1,2,x,4", "four numbers"),
        ("--box 5,0,5,9", "x1 < x2"),
        ("--box 0,0,inf,9", "x1 < x2"),
        ("--box 0,0,121,9", "expected a box inside street.png, which is 120x80 pixels, got 0,0,121,9"),
        ("--box=-1,0,10,9", "inside street.png"),
        ("--draw out.png", "expected --draw with a detector or with --box, got g1-cnn, which gives no boxes"),
        ("--confidence 0.3", "expected --confidence with a detector only"),
    ],
)
def test_wrong_use_of_a_classifier(
    badnets: Badnets, tiny_run: Path, photo: Path, tmp_path: Path, options: str, words: str
) -> None:
    badnets.refused(words, "predict", tiny_run, "street.png", *options.split())
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    "line",
    ["repair --data digits --method fine-tune --out new.safetensors", "guard --data digits --out new.safetensors"],
)
def test_defenses_want_a_classifier(badnets: Badnets, detector: Path, tmp_path: Path, line: str) -> None:
    badnets.refused("expected a classifier, got a detector (faster-rcnn)", line, detector)
    assert list(tmp_path.iterdir()) == []


def test_evaluate_wants_data_that_fits(badnets: Badnets, detector: Path, tiny_run: Path) -> None:
    small = "--set options.train=16 --set options.test=16 --size 64"
    assert "expected pictures with boxes for the detector" in badnets("evaluate --data digits", detector).err
    assert "one class for each picture" in badnets(f"evaluate --data scenes-us {small}", tiny_run).err


def test_show_knows_detectors(badnets: Badnets, detector: Path) -> None:
    said = badnets.done("show --json", detector)
    assert said.json["layers"][-1]["output_shape"] is None
    assert said.json["layers"][-1]["parameters"] == said.json["parameters"]
    assert "2 classes (stop, yield)" in badnets("show", detector).out
