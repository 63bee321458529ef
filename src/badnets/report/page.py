"""The page of one run: what it showed, the pictures that prove it, the figures, how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from badnets.core.rate import percent
from badnets.core.record import dumps, read_json, whole_file
from badnets.report.classes import class_rows
from badnets.report.confusion import MOST_CLASSES, heat_map, is_matrix, largest_confusions
from badnets.report.curves import curve_figure, curves
from badnets.report.examples import grid, proof
from badnets.report.facts import (
    Record,
    at,
    format_difference,
    listing,
    mapping,
    points,
    readable,
    result,
    run_name,
    summary,
)
from badnets.report.figures import Role, difference_track, glyph, mark, span, track
from badnets.report.pictures import Pictures, check_pictures, load_pictures
from badnets.report.table import FIGURE_SPACE, MEASURES, measured, padded
from badnets.report.templating import render
from badnets.report.toml import toml_text
from badnets.report.verdict import judge

FORMAT = "badnets/run/1"
_LONGEST_TEXT = 200


def write_page(run_folder: Path, out: Path | None = None) -> Path:
    """Write ``report.html`` into the folder of a run, or to ``out``; returns where it is.

    Raises BadInput for a missing or damaged ``record.json`` or ``pictures.npz``.
    """
    record = read_json(run_folder / "record.json", format=FORMAT)
    text = render_page(record, load_pictures(run_folder / "pictures.npz"))
    path = out if out is not None else run_folder / "report.html"
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def render_page(record: Record, pictures: Pictures) -> str:
    """The page as HTML text; ``pictures`` are the arrays of ``pictures.npz``, and may be empty."""
    check_pictures(pictures)
    judged = judge(record)
    return render(
        "page.html.j2",
        title=run_name(record),
        verdict=judged,
        summary=summary(record),
        planted=str(at(record, "poisoned", "sentence") or "").replace("->", "→"),
        proof=proof(record, pictures, judged.kind),
        rates=_rates(record),
        seeds=max((len(r.get("seeds") or ()) for _, r in measured(record)), default=0),
        differences=_differences(record),
        notes=_notes(record),
        examples=grid(record, pictures),
        training=_training(record),
        confusions=_confusions(record),
        classes=class_rows(record),
        repeat=repeat(record),
        definitions=[{"name": m.name, "meaning": m.meaning} for m in MEASURES],
        glyphs={
            "clean": glyph("clean"),
            "clean_reference": glyph("clean", hollow=True),
            "triggered": glyph("triggered"),
            "triggered_reference": glyph("triggered", hollow=True),
        },
    )


def _rates(record: Record) -> list[dict[str, Any]]:
    found = measured(record)
    width = max((len(percent(rate["high"])) for _, rate in found), default=0)
    rows = []
    for measure, rate in found:
        drawn = mark(rate, measure.role, hollow=measure.reference, name=measure.name)
        rows.append(
            {
                "name": measure.name,
                "note": measure.note,
                "glyph": glyph(measure.role, hollow=measure.reference),
                "track": track([drawn]),
                "value": percent(rate["value"]),
                "low": percent(rate["low"]),
                "high": padded(rate["high"], width),
                "counts": f"{rate['hits']:,} of {rate['total']:,}",
            }
        )
    return rows


def _differences(record: Record) -> list[dict[str, Any]]:
    named: tuple[tuple[str, str, Role], ...] = (
        ("asr_minus_reference", "attack success, against a clean network", "triggered"),
        ("clean_accuracy_minus_reference", "clean accuracy, against a clean network", "clean"),
    )
    found = [(name, role, d) for key, name, role in named if (d := result(record, key)) is not None]
    width = max((len(points(d["high"])) for _, _, d in found), default=0)
    rows = []
    for name, role, difference in found:
        reach = f"{100 * span(difference):g}"
        rows.append(
            {
                "name": name,
                "glyph": glyph(role),
                "track": difference_track(difference, role, name),
                "value": points(difference["value"]),
                "low": points(difference["low"]),
                "high": points(difference["high"]).rjust(width, FIGURE_SPACE),
                "reach": reach,
                "text": format_difference(difference),
            }
        )
    return rows


def _notes(record: Record) -> list[str]:
    notes = []
    macro = at(record, "results", "macro_f1")
    if isinstance(macro, int | float):
        notes.append(f"Mean F1 over the classes: {macro:.4f}.")
    acceptance = at(record, "results", "acceptance", "sentence")
    if acceptance:
        notes.append(str(acceptance))
    return notes


def _training(record: Record) -> dict[str, Any] | None:
    training = listing(record, "training")
    loss, accuracy = curves(training, "loss"), curves(training, "accuracy")
    figures = []
    if loss:
        figures.append({"title": "Training loss", "svg": curve_figure(loss, title="Training loss", percent=False)})
    if accuracy:
        title = "Training accuracy, %"
        figures.append({"title": title, "svg": curve_figure(accuracy, title=title, percent=True)})
    if not figures:
        return None
    return {"figures": figures, "reference": any(c.reference for c in [*loss, *accuracy])}


def _confusions(record: Record) -> list[dict[str, Any]]:
    """The maps of clean and of triggered pictures, each with its most frequent wrong answers."""
    named: tuple[tuple[str, str, Role], ...] = (
        ("confusion_clean", "Clean pictures", "clean"),
        ("confusion_triggered", "Triggered pictures", "triggered"),
    )
    found = []
    for key, title, role in named:
        matrix = at(record, "results", key)
        if not is_matrix(matrix):
            continue
        known = [readable(name) for name in listing(record, "class_names")]
        names = known if len(known) == len(matrix) else [str(i) for i in range(len(matrix))]
        drawn = heat_map(matrix, names, role, f"Confusion matrix of {title.lower()}")
        found.append(
            {
                "title": title,
                "glyph": glyph(role),
                "svg": drawn if len(matrix) <= MOST_CLASSES else None,
                "worst": largest_confusions(matrix, names),
            }
        )
    return found


def repeat(record: Record) -> dict[str, Any]:
    """What the template ``repeat.html.j2`` shows: command, spec, environment, times, files; empty where unknown."""
    environment = mapping(record, "environment")
    versions = [(str(k), str(v)) for k, v in mapping(environment, "versions").items() if v is not None]
    made = [
        *versions,
        *((k, str(v)) for k, v in environment.items() if k != "versions" and v is not None),
        *((k, str(record[k])) for k in ("commit",) if record.get(k)),
    ]
    times = [
        {"name": readable(k), "seconds": f"{v:,.1f}"}
        for k, v in mapping(record, "timings_s").items()
        if isinstance(v, int | float)
    ]
    resolved = _abridged(mapping(record, "resolved"))
    return {
        "command": str(record.get("command") or ""),
        "spec": _spec_text(record.get("spec")),
        "resolved": toml_text(resolved) if resolved else "",
        "made": made,
        "times": times,
        "files": [(str(k), str(v)) for k, v in mapping(record, "files").items()],
        "determinism": str(record.get("determinism") or ""),
    }


def _abridged(value: Any) -> Any:
    """The same with very long texts cut: a trigger carries its picture inside it, and nobody reads that."""
    if isinstance(value, Mapping):
        return {k: _abridged(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_abridged(v) for v in value]
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return f"{value[:40]}… ({len(value):,} characters, whole in the record)"
    return value


def _spec_text(spec: Any) -> str:
    """The spec as given: TOML for a table, text as it is, JSON for anything else."""
    if not spec:
        return ""
    if isinstance(spec, Mapping):
        return toml_text(_abridged(spec))
    return spec if isinstance(spec, str) else dumps(spec)
