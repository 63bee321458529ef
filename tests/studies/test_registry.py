"""How a study is carried out: trials in processes, what a stopped one has, and what is found again."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from badnets.core.errors import BadInput
from badnets.core.files import read_json
from badnets.studies import registry
from badnets.studies.old_study import Outcome, Results, Settings, Study, Trial, row


def work(trial: Trial, own: Path) -> dict[str, Any]:
    if trial.seed == 3 and trial.spec["fails"]:
        (own / "half").touch()
        raise BadInput("expected the third seed to work, got a failure on purpose")
    kept = {"found": (own / "half").exists()}
    rate = {"value": trial.seed / 10, "hits": trial.seed, "total": 10}
    return {"results": {"clean_accuracy": rate, **kept}, "timings_s": {"train": 1.0}}


def trials(settings: Settings) -> list[Trial]:
    picture = {"trigger": {"kind": "picture", "png": "somebody's picture"}}
    data = {"name": "digits", "path": "/somewhere/digits"}
    spec = {"data": data, "backdoor": picture, "fails": settings.data == "fails"}
    return [Trial(name=f"s{seed}", spec=spec, seed=seed, work=work) for seed in range(1, settings.seeds + 1)]


def assemble(_: Settings, results: Mapping[str, Results], __: Path) -> Outcome:
    values = [entry["results"]["clean_accuracy"]["value"] for entry in results.values()]
    return Outcome(rows=[row("clean accuracy", "corrected", None, "own", values)])


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> str:
    study = Study(name="made-up", summary="", seeds=3, quick_seeds=1, trials=trials, assemble=assemble)
    monkeypatch.setitem(registry.STUDIES, "made-up", study)
    return study.name


def one_after_the_other(trials: list[Trial], folder: Path, watcher: object) -> dict[str, Any]:
    from badnets.studies.trials import run_trial

    return {trial.name: run_trial(trial, folder) for trial in trials}


def test_a_stopped_study_gives_what_it_has(made_up: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "run_trials", one_after_the_other)
    out = tmp_path / "study"
    with pytest.raises(BadInput, match="expected enough finished trials of made-up, got 0 of 3"):
        registry.reproduce_so_far(made_up, out=out, data="fails")
    with pytest.raises(BadInput, match="on purpose"):
        registry.reproduce(made_up, out=out, data="fails")
    record = registry.reproduce_so_far(made_up, out=out, data="fails")
    assert record["unfinished"] == ["s3"]
    assert (record["rows"][0]["n_seeds"], round(record["rows"][0]["ours"], 12)) == (2, 0.15)
    assert read_json(tmp_path / "study-so-far" / "record.json")["rows"] == record["rows"]
    assert (tmp_path / "study-so-far" / "report.html").exists()
    assert not out.exists(), "it is not finished"
    assert (tmp_path / ".study.partial" / "work" / "s3" / "half").exists(), "and goes on from there"


def test_a_finished_study_is_found_and_knows_no_machine(
    made_up: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "run_trials", one_after_the_other)
    record = registry.reproduce(made_up, out=tmp_path / "study")
    assert record["rows"][0]["n_seeds"] == 3
    text = (tmp_path / "study" / "record.json").read_text()
    assert "/somewhere" not in text
    assert "somebody's picture" not in text
    assert record["trials"]["s1"]["spec"]["backdoor"]["trigger"]["png"] == sha256(b"somebody's picture").hexdigest()
    monkeypatch.setattr(registry, "run_trials", None)
    assert registry.reproduce(made_up, out=tmp_path / "study")["rows"] == record["rows"]


def test_unknown_studies_are_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'repairs'"):
        registry.reproduce_so_far("repair")
