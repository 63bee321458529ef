"""The table of studies, and how one is carried out: trials, rows, record, page."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from badnets import studies
from badnets.core.errors import BadInput
from badnets.core.files import check_place, discard, link, tidy
from badnets.core.progress import Watcher
from badnets.core.rate import Interval
from badnets.core.registry import Registry
from badnets.engines.engine import Start
from badnets.records.model import JSON, Model
from badnets.records.read import RECORD, read_as, write_record
from badnets.records.study import StudyRecord, TrialSummary
from badnets.referee.store import READY, RUNS, commit, environment, publish_working, put_away, working_folder
from badnets.report.pages.study import write_study
from badnets.studies.study import Results, Settings, Study, TrialResult
from badnets.studies.trials import finished, partial_of, run_trials

STUDIES: Registry[Study] = Registry(
    "study",
    Study,
    homes=[f"badnets.studies.{package.name}.study" for package in iter_modules(studies.__path__) if package.ispkg],
    group="badnets.studies",
    offered="STUDY",
)
"""Every study by name: what the ``study`` of a package in ``badnets.studies`` calls ``STUDY``; other packages add
theirs as entry points of ``badnets.studies``."""


def reproduce(
    name: str,
    *,
    quick: bool = False,
    seeds: int | None = None,
    data: str | None = None,
    out: Path | None = None,
    force: bool = False,
    start: Start | None = None,
    watcher: Watcher | None = None,
) -> tuple[Path, StudyRecord]:
    """Carry out a study; gives its folder and its record: ``rows`` set our figures beside the published ones.

    ``start`` gives the engine that its trials run on (default: processes of this machine).

    Trials that a stopped study has finished are not run again; a finished study is found, unless ``force``.
    """
    study, settings, final, partial = _chosen(name, quick=quick, seeds=seeds, data=data, out=out)
    check_place(final)
    tidy(final)
    if not force and (record := _finished(final, name, settings)) is not None:
        put_away(partial, name)
        return final, record
    if final.exists() and not (final / RECORD).exists() and (not final.is_dir() or any(final.iterdir())):
        raise BadInput(f"expected --out to be a new folder or a study, got {final} with other files in it")
    with working_folder(partial, name, fresh=force):
        if not force and (record := _finished(final, name, settings)) is not None:
            return final, record
        began = time.perf_counter()
        results = run_trials(study.trials(settings), partial, watcher or Watcher(), start=start)
        record = _record(study, settings, results, partial)
        seconds = round(time.perf_counter() - began, 1)
        record = record.model_copy(update={"timings_s": {"last_session": seconds, **record.timings_s}})
        ready = partial / READY
        discard(ready)
        ready.mkdir()
        for picture in partial.glob("*.png"):  # what the study drew
            link(picture, ready / picture.name)
        _write(record, ready)
        publish_working(partial, final, replace=force)
    return final, record


def _finished(final: Path, name: str, settings: Settings) -> StudyRecord | None:
    """The record of the same study in ``final``; None without one."""
    if not (final / RECORD).exists():
        return None
    record = read_as(final, StudyRecord)
    if (record.study, record.quick, record.seeds) != (name, settings.quick, settings.seeds):
        raise BadInput(f"expected {final} to hold this study, got another one; choose another folder or force it")
    return record


def reproduce_so_far(
    name: str, *, quick: bool = False, seeds: int | None = None, data: str | None = None, out: Path | None = None
) -> tuple[Path, StudyRecord]:
    """The record and the page of a study that was stopped, from its finished trials; nothing is run or deleted.

    They lie beside the study's folder, with "-so-far" in the name; ``unfinished`` names the trials that are missing.
    """
    study, settings, final, partial = _chosen(name, quick=quick, seeds=seeds, data=data, out=out)
    trials = study.trials(settings)
    results = finished(trials, partial)
    too_few = f"expected enough finished trials of {name}, got {len(results)} of {len(trials)}; let it run on"
    if not results:
        raise BadInput(too_few)
    try:
        record = _record(study, settings, results, partial)
    except (KeyError, FileNotFoundError):  # rows that compare trials need both
        raise BadInput(too_few) from None
    unfinished = tuple(sorted(trial.name for trial in trials if trial.name not in results))
    folder, record = final.parent / f"{final.name}-so-far", record.model_copy(update={"unfinished": unfinished})
    _write(record, folder)
    return folder, record


def write_study_page(folder: Path, out: Path | None = None) -> Path:
    """Write ``report.html`` into the folder of a study, or to ``out``; returns where it is.

    Raises BadInput for a missing, half-written or newer record.
    """
    record = read_as(folder, StudyRecord)
    return write_study(record, out or folder / "report.html", **study_words(record.study))


def study_words(name: str) -> dict[str, str]:
    """What a study's page says of it: ``title``, ``published``, ``trial_word``; its bare name where it is of a package
    that is not installed."""
    study = STUDIES.get(name)
    words = (name, "", "trainings") if study is None else (study.title, study.published, study.trial_word)
    return dict(zip(("title", "published", "trial_word"), words, strict=True))


def _chosen(
    name: str, *, quick: bool, seeds: int | None, data: str | None, out: Path | None
) -> tuple[Study, Settings, Path, Path]:
    """The study, how it is to be run, its folder, and the folder of its trials until it is finished."""
    study = STUDIES.find(name)
    settings = Settings(quick=quick, seeds=seeds or (study.quick_seeds if quick else study.seeds), data=data)
    final = (out or RUNS / f"{name}{'-quick' if quick else ''}{f'-{seeds}-seeds' if seeds else ''}").resolve()
    return study, settings, final, partial_of(final)


def _record(study: Study, settings: Settings, results: Results, folder: Path) -> StudyRecord:
    outcome = study.assemble(settings, results, folder)
    machine = environment("per trial").model_copy(update={"threads": None, "precision": None})
    trials = {name: summary(entry) for name, entry in sorted(results.items())}
    training = sum(trial.seconds or 0.0 for trial in trials.values())
    return StudyRecord(
        study=study.name,
        quick=settings.quick,
        seeds=settings.seeds,
        command=f"badnets reproduce {study.name}{' --quick' if settings.quick else ''} --seeds {settings.seeds}",
        environment=machine,
        commit=commit(),
        timings_s={"training": round(training, 1)},
        rows=tuple(outcome.rows),
        blocks=tuple(outcome.blocks),
        trials=trials,
    )


def _write(record: StudyRecord, folder: Path) -> None:
    """Its page, and then the record."""
    write_study(record, folder / "report.html", **study_words(record.study))
    write_record(folder / RECORD, record)


def summary(entry: TrialResult[Any]) -> TrialSummary:
    """What a record keeps of a trial: its seed, its spec, its counts and seconds."""
    seconds = entry.timings_s.get("train", entry.timings_s.get("total"))
    spec = _without_paths(entry.spec)
    return TrialSummary(seed=entry.seed, spec=spec, counts=_counts(entry.results), seconds=seconds)


def _counts(value: Model, place: str = "") -> dict[str, tuple[int, int]]:
    """Every count by its name, those of parts as ``part.name``; the figures of the usual trial stand on top."""
    counts: dict[str, tuple[int, int]] = {}
    for name, field in value:
        if isinstance(field, Interval) and field.counts is not None:
            counts[place + name] = field.counts
        parts = field.items() if isinstance(field, dict) else [(name, field)]
        for part, model in parts:
            if isinstance(model, Model):
                counts |= _counts(model, place if part == "figures" else f"{place}{part}.")
    return counts


def _without_paths(spec: JSON) -> JSON:
    """Where the data lay on some machine is nobody's business."""
    given = spec["data"] if isinstance(spec["data"], dict) else {"name": spec["data"]}
    data = {key: value for key, value in given.items() if key != "path"}
    return _without_pictures({**spec, "data": {**data, "name": Path(str(data["name"])).name}})


def _without_pictures(value: JSON) -> JSON:
    """A picture inside a trigger belongs to its owner; a record only has its SHA-256."""
    shown = {key: _without_pictures(entry) if isinstance(entry, dict) else entry for key, entry in value.items()}
    if isinstance(png := value.get("png"), str):
        shown["png"] = hashlib.sha256(png.encode()).hexdigest()
    return shown
