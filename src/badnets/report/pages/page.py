"""The page of one run: what it showed, the pictures that prove it, the figures, how to repeat it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from badnets.core.files import write_text
from badnets.core.rate import Interval
from badnets.records.blocks import Role
from badnets.records.read import read_as
from badnets.records.results import ClassifierFigures, DetectorFigures
from badnets.records.run import Example, RunRecord, SceneExample
from badnets.report.charts.confusion import MOST_CLASSES, heat_map, largest_confusions
from badnets.report.charts.figures import glyph
from badnets.report.charts.pictures import Pictures, check_pictures, load_pictures
from badnets.report.pages.classes import class_table
from badnets.report.pages.examples import grid, proof, usable
from badnets.report.pages.parts import lines, measured_lines, repeat, training_figures
from badnets.report.pages.scenes import BOX_KEYS, scenes
from badnets.report.pages.templating import render
from badnets.report.words.measures import measured
from badnets.report.words.names import Nouns, readable, summary
from badnets.report.words.verdict import WORKING, judge


def write_page(folder: Path, out: Path | None = None) -> Path:
    """Write ``report.html`` into the folder of a run, or to ``out``; returns where it is.

    Raises BadInput for a missing or damaged ``record.json`` or ``pictures.npz``.
    """
    text = render_page(read_as(folder, RunRecord), load_pictures(folder / "pictures.npz"))
    return write_text(out or folder / "report.html", text)


def render_page(record: RunRecord, pictures: Pictures) -> str:
    """The page as HTML text; ``pictures`` are the arrays of ``pictures.npz``, and may be empty."""
    check_pictures(pictures)
    judged, nouns, found = judge(record), Nouns.of(record), measured(record)
    detector = isinstance(record.results, DetectorFigures)
    sights = scenes([e for e in record.examples if isinstance(e, SceneExample)], pictures, nouns.trigger)
    shown = usable([e for e in record.examples if isinstance(e, Example)], pictures)
    return render(
        "page.html.j2",
        title=record.name,
        verdict=judged,
        summary=summary(record),
        planted="" if record.poisoned is None else record.poisoned.sentence.replace("->", "→"),
        network="detector" if detector else "network",
        detector=detector,
        proof=proof(shown, pictures, nouns, works=judged.kind in WORKING),
        examples=grid(shown, pictures, nouns),
        scenes=sights,
        scores=measured_lines([(m, f) for m, f in found if f.counts is None]),
        rates=measured_lines([(m, f) for m, f in found if f.counts is not None]),
        seeds=len(record.seeds),
        differences=lines(_differences(record)),
        macro_f1=record.results.macro_f1 if isinstance(record.results, ClassifierFigures) else None,
        training=training_figures(record.training),
        compared=any(one.network == "clean reference" for one in record.training),
        confusions=_confusions(record),
        classes=class_table(record.results),
        repeat=repeat(record),
        definitions=[m for m, _ in found],
        box_keys=BOX_KEYS,
    )


def _differences(record: RunRecord) -> list[tuple[str, Role, Interval | None, bool]]:
    """Against a clean network, on the same pictures."""
    results, own = record.results, "clean_accuracy_minus_reference"
    name, network = "clean accuracy", "network"
    if isinstance(results, DetectorFigures):
        own, name, network = "map50_minus_reference", "mAP at IoU 0.5", "detector"
    return [
        (f"attack success, against a clean {network}", "triggered", results.asr_minus_reference, False),
        (f"{name}, against a clean {network}", "clean", getattr(results, own), False),
    ]


class Confusion(NamedTuple):
    """A map of which class is taken for which, with its most frequent wrong answers."""

    title: str
    glyph: Markup
    svg: Markup | None
    worst: list[str]


def _confusions(record: RunRecord) -> list[Confusion]:
    """The maps of clean and of triggered pictures."""
    results = record.results
    if isinstance(results, DetectorFigures):
        return []
    names = [readable(name) for name in record.class_names]
    named: tuple[tuple[str, Role], ...] = (("Clean pictures", "clean"), ("Triggered pictures", "triggered"))
    found = []
    for (title, role), matrix in zip(named, (results.confusion_clean, results.confusion_triggered), strict=True):
        if matrix:
            small = len(matrix) <= MOST_CLASSES
            drawn = heat_map(matrix, names, role, f"Confusion matrix of {title.lower()}") if small else None
            found.append(Confusion(title, glyph(role), drawn, largest_confusions(matrix, names)))
    return found
