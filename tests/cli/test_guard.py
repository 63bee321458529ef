"""``badnets guard``: a file that refuses, and what evaluate and predict say to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from badnets.core.rate import Rate
from badnets.networks.files.own import open_network, save_network

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"
Badnets = Any
FAST = "--repair fine-tune --set settings.epochs=1 --pictures 300 --refuse 0.05 --out guarded.safetensors"


@pytest.fixture
def guarded(badnets: Badnets, tiny_run: Path) -> Any:
    """What the command printed; the file is in the test's folder."""
    said = badnets.done(f"guard {tiny_run} --trigger-from {tiny_run} --json {FAST}")
    return said.json


def test_it_prints_accuracy_success_and_refusals_with_counts(guarded: Any) -> None:
    before, after = guarded["before"], guarded["after"]
    assert set(before) == {"clean_accuracy", "asr", "robust_accuracy"}
    for name in ("clean_accuracy", "refused", "asr", "robust_accuracy", "refused_triggered", "refused_or_right"):
        assert Rate.from_json(after[name]).total > 0, name
    robust, away = after["robust_accuracy"]["hits"], after["refused_triggered"]["hits"]
    assert after["refused_or_right"]["hits"] == robust + away
    assert after["asr"]["hits"] + robust + away <= after["asr"]["total"]
    assert guarded["calibration"]["total"] in range(145, 156)
    assert guarded["method"]["kind"] == "agreement"
    assert guarded["refuse"] == 0.05
    assert guarded["trace"][0]["step"] == 1
    published = json.loads((SCHEMAS / "guard.json").read_text(encoding="utf-8"))
    assert set(published["required"]) == set(guarded)
    assert guarded["format"] == published["properties"]["format"]["const"]
    assert set(after) == set(published["$defs"]["Standing"]["properties"])


def test_evaluate_and_predict_work_on_the_file(badnets: Badnets, guarded: Any, tiny_run: Path) -> None:
    said = badnets(f"evaluate guarded.safetensors --data digits --size 16 --trigger-from {tiny_run} --json")
    results = said.json["results"]
    for name in ("clean_accuracy", "asr", "robust_accuracy", "refused", "refused_triggered", "refused_or_right"):
        assert results[name] == guarded["after"][name], name
    badnets.done(f"evaluate guarded.safetensors --data digits --size 16 --trigger-from {tiny_run}")
    network = open_network("guarded.safetensors")
    network.body.threshold.fill_(-1.0)  # refuse everything
    save_network(network, "mute.safetensors")
    Image.fromarray(np.zeros((16, 16), np.uint8)).save("black.png")
    (answer,) = badnets("predict mute.safetensors black.png --json").json["predictions"]
    assert answer["class_name"] == "refused"
    assert answer["label"] == 10
    assert "refused" in badnets("predict mute.safetensors black.png").out


def test_for_people_it_says_what_was_refused(badnets: Badnets, tiny_run: Path) -> None:
    said = badnets.done(f"guard {tiny_run} --trigger-from {tiny_run} {FAST}")
    assert "clean pictures refused" in said.out
    assert "triggered pictures refused or read as what they are" in said.out
    assert "guarded.safetensors" in said.out


def test_without_a_trigger_only_the_clean_side_is_known(badnets: Badnets, tiny_run: Path) -> None:
    line = "--data digits --size 16 --method refuse-class --set suspect=0 --out g.safetensors --json"
    value = badnets(f"guard {tiny_run} {line}").json
    assert value["after"]["asr"] is None
    assert value["after"]["refused_or_right"] is None
    assert value["after"]["refused"]["hits"] > 0
    assert value["refuse"] is None


def test_too_few_pictures_warn_on_stderr(badnets: Badnets, tiny_run: Path) -> None:
    line = "--method strip --set overlays=2 --pictures 60 --out g.safetensors --json"
    said = badnets.done(f"guard {tiny_run} --trigger-from {tiny_run} {line}")
    assert "badnets: warning: strip: expected at least 99 clean pictures to calibrate a share of 1 %, got" in said.err
    assert said.json["warning"].startswith("expected at least 99")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--method stripe", "did you mean 'strip'?"),
        ("--repair nothing", "expected a repair, got 'nothing'"),
        ("--repair fine-tune --repaired x.safetensors", "either --repair or --repaired, got both"),
        ("--method strip --repair fine-tune", "strip: unknown key 'repair'"),
        ("--method ibd-psc", "got g1-cnn without; use strip or agreement"),
        ("--method strip --pictures 10", "strip: expected at least 40 clean pictures, got 10"),
        ("--method strip --refuse 0", "above 0 and below 1, got 0"),
        ("--repaired nowhere.safetensors", "nowhere.safetensors"),
        ("--method refuse-class", "expected a class (--set suspect=CLASS) or a finding of it (--finding), got neither"),
    ],
)
def test_wrong_use_is_one_sentence(badnets: Badnets, tiny_run: Path, line: str, sentence: str) -> None:
    badnets.refused(sentence, f"guard {tiny_run} --data digits --size 16 --out g.safetensors {line}")
    assert not Path("g.safetensors").exists()
