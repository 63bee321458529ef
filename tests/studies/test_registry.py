"""How a study is carried out: trials in processes, what a stopped one has, and what is found again."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from badnets.core.errors import BadInput
from badnets.core.files import read_json, write_json
from badnets.core.progress import Watcher
from badnets.core.rate import Rate
from badnets.engines.on import On
from badnets.records.certificate import Standing
from badnets.records.read import read_as
from badnets.records.results import ClassifierFigures
from badnets.records.study import StudyRecord
from badnets.studies import registry
from badnets.studies.figures import row, seed_mean
from badnets.studies.study import Done, Outcome, Refused, Results, Settings, Study, Trained, Trial, TrialResult
from badnets.studies.trials import finished, kept, run_trial, run_trials


def work(trial: Trial, own: Path) -> Done[Trained]:
    if trial.seed == 3 and trial.spec["fails"]:
        (own / "half").touch()
        raise BadInput("expected the third seed to work, got a failure on purpose")
    return Done(Trained(figures=ClassifierFigures(clean_accuracy=Rate(trial.seed, 10))), {"train": 1.0})


def trials(settings: Settings) -> list[Trial]:
    picture = {"trigger": {"kind": "picture", "png": "somebody's picture"}}
    data = {"name": "digits", "path": "/somewhere/digits"}
    spec = {"data": data, "backdoor": picture, "fails": settings.data == "fails"}
    return [Trial(name=f"s{seed}", spec=spec, seed=seed, work=work) for seed in range(1, settings.seeds + 1)]


def assemble(_: Settings, results: Results, __: Path) -> Outcome:
    accuracy = seed_mean(list(results.values()), "figures.clean_accuracy")
    return Outcome(rows=[row("clean accuracy", accuracy, variant="corrected")])


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> str:
    study = Study(
        name="made-up",
        title="Made up",
        published="",
        summary="",
        seeds=3,
        quick_seeds=1,
        trials=trials,
        assemble=assemble,
    )
    monkeypatch.setitem(registry.STUDIES._added, "made-up", study)
    return study.name


def one_after_the_other(trials: list[Trial], folder: Path, *_: object, **__: object) -> dict[str, TrialResult[Trained]]:
    return {trial.name: run_trial(trial, folder) for trial in trials}


def test_a_stopped_study_gives_what_it_has(made_up: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "run_trials", one_after_the_other)
    out = tmp_path / "study"
    with pytest.raises(BadInput, match="expected enough finished trials of made-up, got 0 of 3"):
        registry.reproduce_so_far(made_up, out=out, data="fails")
    with pytest.raises(BadInput, match="on purpose"):
        registry.reproduce(made_up, out=out, data="fails")
    folder, record = registry.reproduce_so_far(made_up, out=out, data="fails")
    assert folder == tmp_path / "study-so-far"
    assert record.unfinished == ("s3",)
    assert (record.rows[0].n_seeds, round(record.rows[0].ours or 0, 12)) == (2, 0.15)
    assert read_as(folder, StudyRecord) == record
    assert (folder / "report.html").exists()
    assert not out.exists(), "it is not finished"
    assert (tmp_path / ".study.partial" / "work" / "s3" / "half").exists(), "and goes on from there"


def test_a_finished_study_is_found_and_knows_no_machine(
    made_up: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "run_trials", one_after_the_other)
    _, record = registry.reproduce(made_up, out=tmp_path / "study")
    assert record.rows[0].n_seeds == 3
    assert record.trials["s2"].counts == {"clean_accuracy": (2, 10)}
    text = (tmp_path / "study" / "record.json").read_text()
    assert "/somewhere" not in text
    assert "somebody's picture" not in text
    assert record.trials["s1"].spec["backdoor"]["trigger"]["png"] == sha256(b"somebody's picture").hexdigest()
    monkeypatch.setattr(registry, "run_trials", None)
    assert registry.reproduce(made_up, out=tmp_path / "study") == (tmp_path / "study", record)
    with pytest.raises(BadInput, match="to hold this study, got another one"):
        registry.reproduce(made_up, out=tmp_path / "study", seeds=2)


def test_a_newer_record_and_a_half_written_study_are_told_in_a_sentence(
    made_up: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "run_trials", one_after_the_other)
    out = tmp_path / "study"
    with pytest.raises(BadInput, match="on purpose"):
        registry.reproduce(made_up, out=out, data="fails")
    with pytest.raises(BadInput, match="got one that is half written; let `badnets reproduce` finish it"):
        registry.write_study_page(tmp_path / ".study.partial")
    registry.reproduce(made_up, out=out)
    value = read_json(out / "record.json")
    write_json(out / "record.json", {**value, "format": "badnets/study/2"})
    with pytest.raises(BadInput, match="got the newer badnets/study/2; update badnets to read it"):
        registry.reproduce(made_up, out=out)
    assert read_json(out / "record.json")["format"] == "badnets/study/2", "nothing is lost"


def test_trials_of_an_older_version_are_read_or_run_again(made_up: str, tmp_path: Path) -> None:
    first, second = trials(Settings(quick=False, seeds=2))
    figures = ClassifierFigures(clean_accuracy=Rate(7, 10))
    run_trial(first, tmp_path)
    (file,) = (tmp_path / "trials").iterdir()
    old = {**read_json(file), "results": figures.to_json(), "poisoned": None}
    assert old.pop("sha256")
    write_json(file, old)
    assert finished([first], tmp_path)["s1"].results == Trained(figures=figures), "the usual trial's are read"
    write_json(file, {**old, "results": {"own": {"value": 0.7}}})
    assert not finished([first], tmp_path), "what has another form is run again"
    said: list[str] = []

    results = run_trials([first, second], tmp_path, Watcher(say=said.append), start=On(jobs=1))
    assert results["s1"].results == Trained(figures=ClassifierFigures(clean_accuracy=Rate(1, 10)))
    assert said == ["trials that are damaged, or of an older version, are run again: s1"]


def test_unknown_studies_are_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'repairs'"):
        registry.reproduce_so_far("repair")


def test_a_method_that_refuses_is_no_network_that_refuses_pictures(tmp_path: Path) -> None:
    """Figures of a network that abstains have a share called "refused"."""
    standing = Standing(clean_accuracy=Rate(9, 10), refused=Rate(1, 10))

    def refuse() -> Standing:
        raise BadInput("expected batch norm, got none")

    for _ in range(2):  # made, and read back
        assert kept(tmp_path / "a.json", Standing, lambda: standing) == standing
        assert kept(tmp_path / "b.json", Standing, refuse) == Refused(refused="expected batch norm, got none")


def test_trials_of_an_older_version_have_the_figures_alone() -> None:
    whole = Trained(figures=ClassifierFigures(clean_accuracy=Rate(9, 10), asr=Rate(3, 10)))
    assert Trained.model_validate(whole.figures.to_json()) == whole
    assert Trained.model_validate(whole.to_json()) == whole
