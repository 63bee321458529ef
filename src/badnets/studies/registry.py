"""The table of studies, and how one is carried out: trials, rows, record, page."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from badnets import studies
from badnets.core.errors import BadInput
from badnets.core.files import read_json, write_json
from badnets.core.progress import Watcher
from badnets.core.registry import Registry
from badnets.referee.record import commit, environment
from badnets.referee.store import RUNS, publish_working, working_folder
from badnets.studies.old_study import Outcome, Settings, Study
from badnets.studies.trials import finished, run_trials

FORMAT = "badnets/study/1"
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
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Carry out a study and give its record: ``rows`` set our figures beside the published ones.

    Trials that a stopped study has finished are not run again; a finished study is found, unless ``force``.
    """
    study, settings, final = _asked(name, quick=quick, seeds=seeds, data=data, out=out)
    if (final / "record.json").exists() and not force:
        found: dict[str, Any] = read_json(final / "record.json", format=FORMAT)
        if found["study"] != name or found["quick"] != quick or found["seeds"] != settings.seeds:
            raise BadInput(f"expected {final} to hold this study, got another one; choose another --out or say --force")
        return {**found, "folder": str(final)}
    partial = final.parent / f".{final.name}.partial"
    with working_folder(partial, name, fresh=force):
        record = _carry_out(study, settings, partial, watcher or Watcher())
        for leftover in (partial / "work", partial / "trials", *partial.glob("*.safetensors")):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
        publish_working(partial, final)
    return {**record, "folder": str(final)}


def reproduce_so_far(
    name: str, *, quick: bool = False, seeds: int | None = None, data: str | None = None, out: Path | None = None
) -> dict[str, Any]:
    """The record and the page of a study that was stopped, from its finished trials; nothing is run or deleted.

    They lie beside the study's folder, with "-so-far" in the name; ``unfinished`` names the trials that are missing.
    """
    study, settings, final = _asked(name, quick=quick, seeds=seeds, data=data, out=out)
    partial = final.parent / f".{final.name}.partial"
    trials = study.trials(settings)
    results = finished(trials, partial)
    folder = final.parent / f"{final.name}-so-far"
    too_few = f"expected enough finished trials of {name}, got {len(results)} of {len(trials)}; let it run on"
    if not results:
        raise BadInput(too_few)
    try:
        record = _record(study, settings, results, study.assemble(settings, results, partial), seconds=0.0)
    except (KeyError, FileNotFoundError):  # rows that compare trials need both
        raise BadInput(too_few) from None
    record["unfinished"] = sorted(trial.name for trial in trials if trial.name not in results)
    folder.mkdir(parents=True, exist_ok=True)
    _write(record, folder)
    return {**record, "folder": str(folder)}


def _asked(
    name: str, *, quick: bool, seeds: int | None, data: str | None, out: Path | None
) -> tuple[Study, Settings, Path]:
    """The study, how it is to be run, and its folder."""
    study = STUDIES.find(name)
    settings = Settings(quick=quick, seeds=seeds or (study.quick_seeds if quick else study.seeds), data=data)
    final = (out or RUNS / f"{name}{'-quick' if quick else ''}{f'-{seeds}-seeds' if seeds else ''}").absolute()
    return study, settings, final


def _carry_out(study: Study, settings: Settings, partial: Path, watcher: Watcher) -> dict[str, Any]:
    began = time.perf_counter()
    results = run_trials(study.trials(settings), partial, watcher)
    outcome = study.assemble(settings, results, partial)
    record = _record(study, settings, results, outcome, seconds=time.perf_counter() - began)
    _write(record, partial)
    return record


def _record(
    study: Study, settings: Settings, results: dict[str, Any], outcome: Outcome, *, seconds: float
) -> dict[str, Any]:
    env = environment("per trial")
    return {
        "format": FORMAT,
        "study": study.name,
        "quick": settings.quick,
        "seeds": settings.seeds,
        "command": f"badnets reproduce {study.name}{' --quick' if settings.quick else ''} --seeds {settings.seeds}",
        "environment": {"versions": env["versions"], "platform": env["platform"], "processor": env["processor"]},
        "commit": commit(),
        "timings_s": {
            "last_session": round(seconds, 1),
            "training": round(sum(entry["timings_s"].get("train", 0.0) for entry in results.values()), 1),
        },
        "rows": [entry.to_json() for entry in outcome.rows],
        "tables": outcome.tables,
        "figures": outcome.figures,
        "trials": {name: _short(entry) for name, entry in sorted(results.items())},
    }


def _write(record: dict[str, Any], folder: Path) -> None:
    """The record and its page."""
    from badnets.report.pages.study_page import write_study_page

    write_json(folder / "record.json", record)
    write_study_page(folder)


_COUNTED = ("clean_accuracy", "asr", "leak", "clean_reference_rate", "clean_reference_accuracy")


def _short(entry: dict[str, Any]) -> dict[str, Any]:
    """What a committed record keeps of a trial: its spec, seed, and counts."""
    results = entry["results"]
    counts = {name: [results[name]["hits"], results[name]["total"]] for name in _COUNTED if results.get(name)}
    seconds = entry["timings_s"].get("train", entry["timings_s"].get("total"))
    return {"seed": entry["seed"], "spec": _without_paths(entry["spec"]), "counts": counts, "seconds": seconds}


def _without_paths(spec: dict[str, Any]) -> dict[str, Any]:
    """Where the data lay on some machine is nobody's business."""
    data = {key: value for key, value in spec["data"].items() if key != "path"}
    shown: dict[str, Any] = _without_pictures({**spec, "data": {**data, "name": Path(str(data["name"])).name}})
    return shown


def _without_pictures(value: Any) -> Any:
    """A picture inside a trigger belongs to its owner; a record only has its SHA-256."""
    if not isinstance(value, dict):
        return value
    return {
        key: hashlib.sha256(entry.encode()).hexdigest()
        if key == "png" and isinstance(entry, str)
        else _without_pictures(entry)
        for key, entry in value.items()
    }
