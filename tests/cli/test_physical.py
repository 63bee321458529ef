"""The physical world at the command line: ``evaluate --disturb``, and what ``preview`` shows of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from badnets.backdoors.triggers.jitter import NAMES
from badnets.cli.networks import disturbance_words
from badnets.core.rate import Rate
from badnets.records.results import Disturbance

Badnets = Any


def test_evaluate_gives_a_row_for_each_disturbance(badnets: Badnets, tiny_run: Path) -> None:
    line = "evaluate --data digits --size 16 --disturb"
    said = badnets.silent(f"{line} --json --trigger-from", tiny_run, tiny_run, "--reference", tiny_run)
    rows = said.json["results"]["disturbances"]
    assert [row["name"] for row in rows] == ["none", *NAMES, "all"]
    assert rows[0]["asr"] == said.json["results"]["asr"], "the first row is the trigger as it was planted"
    assert all(row["asr"] == row["clean_reference_rate"] for row in rows), "the reference is the network itself"
    shown = badnets(f"{line} --trigger-from", tiny_run, tiny_run).out
    assert all(words in shown for words in ("undisturbed", *NAMES.values(), "all together"))
    plain = badnets("evaluate --data digits --size 16 --json --trigger-from", tiny_run, tiny_run).json["results"]
    assert "disturbances" not in plain
    assert plain["asr"] == rows[0]["asr"]


def test_words_of_a_disturbance() -> None:
    rows = (("none", None), ("rotation", 15.0), ("size", 0.2), ("blur", 1.0), ("all", None))
    words = dict(disturbance_words(Disturbance(name=name, amount=amount, asr=Rate(1, 2))) for name, amount in rows)
    assert words["undisturbed"] == words["all together"] == ""
    assert (words["rotation"], words["size"], words["blur"]) == ("±15°", "±20%", "up to 1 px")


def test_evaluate_has_nothing_to_disturb(badnets: Badnets, tiny_run: Path) -> None:
    badnets.refused(
        "expected a run's trigger to disturb, got none; name the run with --trigger-from",
        "evaluate --data digits --size 16 --disturb",
        tiny_run,
    )


def test_preview_of_a_picture_of_the_data(badnets: Badnets, tmp_path: Path) -> None:
    badnets.done("preview square --data digits --row 3 --size 16")
    with Image.open(tmp_path / "preview.png") as sheet:
        assert sheet.height > 2 * 256 * 0.7  # two rows
    assert "expected --row 0.." in badnets("preview square --data digits --row 99999 --json").message


def test_preview_puts_the_trigger_on_the_first_object(
    badnets: Badnets, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two boxes in the second picture, none in the first: the stamp fills the first box, or the picture."""
    from badnets.data.images import ArrayStore, ImageData, Splits
    from badnets.data.targets import Boxes
    from badnets.referee import data as referee_data

    boxes = Boxes.of(np.array([[8, 16, 16, 24], [0, 0, 4, 4]]), np.array([0, 0]), np.array([1, 1]), 2)
    data = ImageData(ArrayStore(np.zeros((2, 32, 32, 3), np.uint8)), boxes, ("sign",))
    monkeypatch.setattr(referee_data, "load_data", lambda *_: Splits(data, data, data))
    settings = "--set size=1.0 --set place=region:center --set color=[255,0,0]"
    spots = []
    for row in (0, 1):
        badnets.done(f"preview square --data made-up --row {row} {settings}")
        with Image.open(tmp_path / "preview.png") as sheet:
            upper = np.asarray(sheet)[: sheet.height // 2]
        spots.append(int((upper == [255, 0, 0]).all(axis=2).sum()))
    assert spots[0] > 13 * spots[1] > 0


@pytest.mark.parametrize(
    ("line", "got"), [("preview square", "neither"), ("preview square a.png --data digits", "both")]
)
def test_preview_wants_one_picture(badnets: Badnets, line: str, got: str) -> None:
    badnets.refused(f"expected either a picture or --data, got {got}; give one", line)
