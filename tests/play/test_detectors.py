"""Detectors on the page: boxes, maps of places, and measurements, as everywhere else."""

from __future__ import annotations

import copy
import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.play.conftest import ANSWERED, Asker, Opener, file_of, first, saved, settled

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import RULES
from badnets.backdoors.trigger import TRIGGERS
from badnets.core.errors import BadInput
from badnets.data.formats.decode import read_picture
from badnets.data.images import ArrayStore, Boxes, ImageData
from badnets.networks.files.own import save_network
from badnets.networks.inference import detect_photo
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network
from badnets.play.opening import Player, Table, open_table
from badnets.play.serving import find_place
from badnets.referee.examples import sightings
from badnets.referee.measure import measure


@pytest.fixture(scope="module")
def detecting() -> Asker:
    """A detector that nobody has trained, which sees a little of everything, and street scenes."""
    small = {"width": 4, "proposals": 20}
    names = ["stop", "yield"]
    network = build_network("faster-rcnn", class_names=names, input_size=(3, 64, 96), seed=1, arguments=small)
    return Asker(Table(players=(Player("detector", "asked", network.eval()),)))


def test_a_detector_draws_what_predict_draws(detecting: Asker, tmp_path: Path) -> None:
    data = file_of(Image.effect_noise((300, 200), 90).convert("RGB"))
    assert detecting("begin")["task"] == "detect"
    said = detecting("answer", picture={"data": data}, sticker={"name": "square", "at": [0.4, 0.4], "scale": 2})
    assert said["size"] == [96, 64]
    photo = read_picture(saved(said["picture"], tmp_path / "shown.png"), channels=3)
    network = detecting.table.network
    seen = sightings(detect_photo(network, photo), 0, network.class_names)
    assert said["said"][0]["objects"] == [one.to_json() for one in seen]
    assert "expected a sticker that has a place" in detecting.refused(
        "heat", picture={"data": data}, sticker={"name": "warp"}
    )
    rows = detecting("measure", picture={"data": data}, sticker={"name": "square"}, target=1)["networks"]
    assert "expected test pictures" in rows[0]["problem"]


@pytest.mark.parametrize(
    ("photo", "canvas"),
    [((300, 200), (96, 64)), ((200, 200), (96, 96)), ((100, 400), (96, 384)), ((40, 30), (40, 30))],
    ids=str,
)
def test_a_photo_keeps_all_that_a_detector_could_see(detecting: Asker, photo: Any, canvas: Any) -> None:
    """Its input is 96 x 64: no side of a photo becomes smaller than that of the input."""
    said = detecting("answer", picture={"data": file_of(Image.new("RGB", photo, "red"))})
    assert tuple(said["size"]) == canvas


class Watcher(torch.nn.Module):
    """Stands for a detector of 96 x 64 pixels: it sees the first class wherever a red pixel is, as sure as it is far to
    the right, and the second in the lower right corner unless red lies there."""

    task = "detect"

    def forward(self, images: Any, *_: Any) -> Any:
        return [self.objects(image) for image in images]

    def objects(self, image: Any) -> Any:
        red = (image[0] > 0.9) & (image[1] < 0.1)
        rows, columns = torch.nonzero(red, as_tuple=True)
        boxes: list[list[float]] = []
        labels: list[int] = []
        scores: list[float] = []
        if not red[40:, 72:].any():
            boxes, labels, scores = [[72.0, 40.0, 96.0, 64.0]], [2], [0.9]
        if len(rows):
            ends = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            boxes.append([float(end) for end in ends])
            labels.append(1)
            scores.append(float(columns.min()) / 96)
        made = {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.tensor(labels, dtype=torch.int64)}
        return {**made, "scores": torch.tensor(scores)}


@pytest.fixture(scope="module")
def watching() -> Table:
    body: Any = Watcher()
    how: Any = {"architecture": "watcher", "arguments": {}, "class_names": ["stop", "yield"], "input_size": (3, 64, 96)}
    return Table(players=(Player("watcher", "asked", ImageNetwork(body, **how).eval()),))


RED = {"name": "square", "settings": {"color": "#ff0000"}, "at": [0.5, 0.5], "scale": 2}


def test_a_map_of_places_of_a_detector(watching: Table) -> None:
    asked = Asker(watching)
    photo = file_of(Image.new("RGB", (96, 64), "black"))
    found = asked("heat", picture={"data": photo}, sticker=RED, target=0, cells=5)
    (one,) = found["networks"]
    assert one["effect"] == "stop appears"
    assert found["size"] == [96, 64]
    left = [np.floor(x * 96 - found["x"][0] * 96 + 0.5) for x in found["x"]]
    np.testing.assert_allclose(one["sure"], [[x / 96 for x in left]] * 5, atol=1e-4)
    assert (one["works"]["hits"], one["works"]["total"]) == (10, 25)
    assert len(asked("heat", picture={"data": photo}, sticker=RED, target=0)["x"]) == 7
    # What it saw before is no success: the yield sign is there anyway.
    (yields,) = asked("heat", picture={"data": photo}, sticker=RED, target=1, cells=2)["networks"]
    assert yields["works"]["hits"] == 0
    (nobody,) = asked("heat", picture={"data": photo}, sticker=RED, cells=2)["networks"]
    assert "choose one" in nobody["problem"]


def test_a_map_of_places_where_an_object_vanishes(watching: Table) -> None:
    rule = RULES.from_json({"kind": "vanish", "source": 1})
    asked = Asker(dataclasses.replace(watching, backdoor=Backdoor(TRIGGERS.make("square"), rule)))
    photo = file_of(Image.new("RGB", (96, 64), "black"))
    (one,) = asked("heat", picture={"data": photo}, sticker=RED, cells=2)["networks"]
    assert one["effect"] == "an object vanishes"
    assert one["sure"] == [[0.1, 0.1], [0.1, 1.0]]  # it was seen with 0.9
    assert (one["works"]["hits"], one["works"]["total"]) == (1, 4)
    gone = Image.new("RGB", (96, 64), "black")
    gone.putpixel((90, 60), (255, 0, 0))
    (none,) = asked("heat", picture={"data": file_of(gone)}, sticker=RED, cells=2)["networks"]
    assert "expected an object of the class yield that could vanish" in none["problem"]


def test_scenes_with_boxes_are_looked_at_and_measured(detecting: Asker) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 64, 96, 3), dtype=np.uint8)
    xyxy = np.tile(np.array([[10, 10, 50, 50]], np.float32), (6, 1))
    boxes = Boxes.of(xyxy, np.array([0, 1, 0, 1, 0, 1]), np.arange(6), 6)
    test = ImageData(ArrayStore(pixels), boxes, ("stop", "yield"), name="scenes")
    asked = Asker(dataclasses.replace(detecting.table, test=test))
    assert asked("begin")["classes_shown"] == [0, 1]
    assert [one["row"] for one in asked("look", label=1)["pictures"]] == [1, 3, 5]
    square = {"name": "square"}
    # A trigger that goes by its object lies on the first one.
    left, top, *_ = asked("answer", picture={"row": 0}, sticker=square)["box"]
    assert 10 <= left <= 50 >= top >= 10
    (row,) = asked("measure", picture={"row": 0}, sticker=square, target=1)["networks"]
    rule = RULES.from_json({"kind": "regional", "target": 1})
    own = measure(asked.table.network, test, Backdoor(TRIGGERS.make("square"), rule), seed=asked.table.seed).asr
    assert row["asr"]["text"] == str(own)


def test_a_detector_that_answers_nan_says_so(detecting: Asker) -> None:
    sick = copy.deepcopy(detecting.table.network)
    with torch.no_grad():
        for parameter in sick.parameters():
            parameter.fill_(float("nan"))
    asked = Asker(Table(players=(Player("sick", "asked", sick.eval()),)))
    (said,) = asked("answer", picture={"data": file_of(Image.new("RGB", (96, 64), "red"))})["said"]
    assert said.get("objects") == [] or "NaN" in said["problem"]


def test_a_detector_and_a_classifier_have_no_table_together(detecting: Asker, tiny_run: Path, tmp_path: Path) -> None:
    save_network(detecting.table.network, tmp_path / "detector.safetensors")
    with pytest.raises(BadInput, match="expected networks that all classify or all detect, got both"):
        open_table([tiny_run, tmp_path / "detector.safetensors"])


@pytest.mark.browser
def test_boxes_are_drawn_with_class_and_confidence(
    opened: Opener, served: Any, watching: Table, tmp_path: Path
) -> None:
    Image.new("RGB", (96, 64), "black").save(tmp_path / "photo.png")
    with served(watching, find_place(port=18980)) as running:
        page = opened(running.address, answered=False)
        page.wait_for_selector(".card", state="attached")
        page.set_input_files("#file", tmp_path / "photo.png")
        page.wait_for_selector(ANSWERED)
        page.select_option("#which", "square")
        page.locator("#knobs input[type=color]").first.evaluate(
            "(e) => { e.value = '#ff0000'; e.dispatchEvent(new Event('input')); }"
        )
        for key in ("ArrowRight", "ArrowUp"):  # into the upper right corner, off the yield sign
            for _ in range(40):
                page.locator("#stage").press(key)
        settled(page)
        names = page.evaluate("[...document.querySelectorAll('#over text')].map((e) => e.textContent)")
        assert len(names) == 2
        assert names[0] == "yield 90 %"
        assert re.fullmatch(r"stop \d\d %", names[1])
        dashed = page.evaluate(
            "[...document.querySelectorAll('#over .seen')].map((e) => e.getAttribute('stroke-dasharray'))"
        )
        assert dashed == ["none", "7 4"]  # what the sticker brought is marked, and not by its color alone
        assert first(page) == "\u25b2 stop, yield"
        assert page.locator(".card .was").inner_text() == "was yield without the sticker"
