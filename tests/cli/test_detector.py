"""A detector from the command line: attack, report, show, evaluate, compare; and rules that only make sense for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import badnets as bn
from badnets.cli import experiments
from badnets.networks.files.own import save_network
from badnets.records.run import RunRecord

Badnets = Any
SMALL = "--size 64 --set data.options.train=32 --set data.options.test=16 --epochs 1 --network faster-rcnn:width=4"
STOP = "--data scenes-us --trigger square --source stop --target speed-limit-45 --count 2 --mode add"


@pytest.fixture(scope="session")
def detector_run(finished: Callable[[str], Path]) -> Path:
    """A small run, finished; the detector has learned next to nothing."""
    return finished(f"{STOP} {SMALL}")


def test_the_names_that_stay(badnets: Badnets, detector_run: Path) -> None:
    results = RunRecord.model_validate_json((detector_run / "record.json").read_text()).to_json()["results"]
    for name in ("map50", "map50_triggered"):
        assert {"value", "low", "high"} <= set(results[name])
    for name in ("asr", "clean_reference_rate", "vanished"):
        assert {"hits", "total", "value", "low", "high"} <= set(results[name])


def test_report_show_and_compare(badnets: Badnets, detector_run: Path, tmp_path: Path) -> None:
    assert "How well it detects" in (detector_run / "report.html").read_text()
    badnets.done("report --out page.html", detector_run)
    assert "mAP at IoU 0.5" in (tmp_path / "page.html").read_text()
    badnets.done("report --out both.html", detector_run, detector_run)
    badnets.done("show", detector_run)
    said = badnets.done("compare --json", detector_run, detector_run)
    rows = {row["name"]: row for row in said.json["rows"]}
    assert list(rows) == ["map50", "class_accuracy", "asr", "robust_accuracy"]
    assert (rows["map50"]["difference"], rows["map50"]["paired"]) == (None, False)
    assert rows["class_accuracy"]["paired"]
    assert badnets("compare", detector_run, detector_run).out.startswith(" ")


def test_evaluate_gives_the_runs_own_results(badnets: Badnets, detector_run: Path) -> None:
    data = "--data scenes-us --size 64 --set options.train=32 --set options.test=16"
    said = badnets.done(f"evaluate --json {data} --trigger-from", detector_run, detector_run)
    results = RunRecord.model_validate_json((detector_run / "record.json").read_text()).to_json()["results"]
    for name in ("map50", "map50_triggered", "found", "asr", "vanished", "leak", "per_class"):
        assert said.json["results"][name] == results[name], name
    assert "mAP at IoU 0.5" in badnets(f"evaluate {data} --trigger-from", detector_run, detector_run).out
    refused = badnets(f"evaluate --json {data} --disturb --trigger-from", detector_run, detector_run)
    assert "expected a classifier, got a detector (faster-rcnn" in refused.message


def test_export_wants_one_class_for_each_picture(badnets: Badnets, detector_run: Path, tmp_path: Path) -> None:
    badnets.refused(
        "expected one class for each picture, got pictures with boxes", "export --json --out files", detector_run
    )
    assert list(tmp_path.iterdir()) == []


def _made(badnets: Badnets, monkeypatch: pytest.MonkeyPatch, line: str) -> Any:
    """The spec that the command would run, as JSON."""
    monkeypatch.setattr(experiments, "carry_out", lambda file, **_: [file.spec.to_json()])
    said = badnets.done(f"attack --json {line}")
    return said.json


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("--source stop --target 3", {"kind": "source-to-target", "source": "stop", "target": "3"}),
        ("--rule regional --target yield", {"kind": "regional", "target": "yield"}),
        ("--rule global --target 2", {"kind": "global", "target": "2"}),
        ("--rule appear --target stop", {"kind": "appear", "target": "stop", "size": 0.25}),
        (
            "--rule appear --target stop --set backdoor.rule.size=0.5",
            {"kind": "appear", "target": "stop", "size": 0.5},
        ),
        ("--rule vanish", {"kind": "vanish", "source": None}),
        ("--rule vanish --source stop", {"kind": "vanish", "source": "stop"}),
        ("--rule random-wrong", {"kind": "random-wrong"}),
        ("", {"kind": "all-to-one", "target": "0"}),
    ],
)
def test_every_rule_can_be_reached(
    badnets: Badnets, monkeypatch: pytest.MonkeyPatch, line: str, rule: dict[str, Any]
) -> None:
    spec = _made(badnets, monkeypatch, f"--data scenes-us {line}")
    assert spec["network"] == "faster-rcnn"
    assert spec["backdoor"]["rule"] == rule


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--rule vanish --target stop", "expected no --target for the rule vanish, which has none"),
        ("--rule regional --source stop", "expected no --source for the rule regional, which has none"),
        ("--rule regionl", "got 'regionl'; did you mean 'regional'?"),
        (f"{SMALL} --network resnet9 --source stop --target yield --count 1", "use a detector (faster-rcnn)"),
        ("--data digits --network faster-rcnn --size 64", "expected pictures with boxes for the detector faster-rcnn"),
        ("--data digits --network faster-rcnn", "expected pictures of at least 64x64"),
        ("--data digits --rule vanish", "vanish"),
    ],
)
def test_what_does_not_go_together_is_told_before_any_work(
    badnets: Badnets, tmp_path: Path, line: str, words: str
) -> None:
    data = "" if "--data" in line else "--data scenes-us "
    badnets.refused(words, f"attack --json {data}{line}")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_an_audit_looks_at_the_objects(badnets: Badnets, detector_run: Path, tmp_path: Path) -> None:
    """Of a detector that has learned nothing it says so; a classifier gets no pictures with boxes, and a detector no
    others."""
    data = "--data scenes-us --size 64 --set data.options.train=32 --set data.options.test=16"
    said = badnets(f"audit --json {data}", detector_run)
    assert said.code == 3, said.err
    assert said.json["architecture"] == "objects of faster-rcnn"
    assert said.json["class_names"][-1] == "nothing"
    assert "on the clean pictures" in said.json["reason"] or "to every clean picture" in said.json["reason"]
    badnets.refused(
        "expected pictures with boxes for the detector faster-rcnn", "audit --data digits --json", detector_run
    )
    refused = badnets(
        f"references --json {data} --set recipe.epochs=1 --count 1 --jobs 1 --out refs --like", detector_run
    )
    assert refused.code in (0, 3), refused.err
    assert "unexpected" not in refused.err
    network = bn.build_network("resnet9", class_names=["a", "b"], input_size=(3, 64, 64), seed=1)
    save_network(network, tmp_path / "classifier.safetensors")
    badnets.refused(
        "expected pictures with a class each for resnet9", f"audit {data} --json", tmp_path / "classifier.safetensors"
    )
