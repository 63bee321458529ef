"""The page of one run: what it showed, the pictures that prove it, the figures, how to repeat it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from badnets.core.files import read_json, whole_file
from badnets.report.charts.confusion import MOST_CLASSES, heat_map, is_matrix, largest_confusions
from badnets.report.charts.figures import Role, glyph
from badnets.report.charts.pictures import Pictures, check_pictures, load_pictures
from badnets.report.pages.classes import class_rows
from badnets.report.pages.detector_page import render_detector_page
from badnets.report.pages.examples import grid, proof
from badnets.report.pages.parts import Named, differences, rates, repeat, training
from badnets.report.pages.table import measured
from badnets.report.pages.templating import render
from badnets.report.words.facts import Record, at, is_detector, listing, readable, run_name, summary
from badnets.report.words.measures import MEASURES
from badnets.report.words.verdict import judge

FORMAT = "badnets/run/1"
_DIFFERENCES: tuple[Named, ...] = (
    ("asr_minus_reference", "attack success, against a clean network", "triggered"),
    ("clean_accuracy_minus_reference", "clean accuracy, against a clean network", "clean"),
)


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
    if is_detector(record):
        return render_detector_page(record, pictures)
    judged = judge(record)
    return render(
        "page.html.j2",
        title=run_name(record),
        verdict=judged,
        summary=summary(record),
        planted=str(at(record, "poisoned", "sentence") or "").replace("->", "→"),
        proof=proof(record, pictures, judged.kind),
        rates=rates(measured(record)),
        seeds=max((len(r.get("seeds") or ()) for _, r in measured(record)), default=0),
        differences=differences(record, _DIFFERENCES),
        notes=_notes(record),
        examples=grid(record, pictures),
        training=training(record),
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


def _notes(record: Record) -> list[str]:
    notes = []
    macro = at(record, "results", "macro_f1")
    if isinstance(macro, int | float):
        notes.append(f"Mean F1 over the classes: {macro:.4f}.")
    acceptance = at(record, "results", "acceptance", "sentence")
    if acceptance:
        notes.append(str(acceptance))
    return notes


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
