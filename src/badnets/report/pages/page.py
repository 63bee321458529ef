"""The page of one run: what it showed, the pictures that prove it, the figures, how to repeat it; and several runs on
one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from badnets.core.files import write_text
from badnets.core.rate import Estimate, Interval
from badnets.records.blocks import Role
from badnets.records.read import read_as
from badnets.records.results import ClassFigures, ClassifierFigures, DetectorFigures, Figures, ObjectFigures
from badnets.records.run import Example, RunRecord, SceneExample
from badnets.report.cards.beside import seals_beside
from badnets.report.cards.seals import Seal
from badnets.report.charts.figures import Mark
from badnets.report.charts.lines import training_figures
from badnets.report.charts.maps import MOST_CLASSES, heat_map, largest_confusions
from badnets.report.pages.parts import marks, render
from badnets.report.pages.pictures import Pictures, check_pictures, grid, load_pictures, proof, usable
from badnets.report.pages.scenes import BOX_KEYS, scenes
from badnets.report.words.names import Measure, Nouns, known, measured, readable, summary
from badnets.report.words.verdict import WORKING, judge, verdict

_MOST_ROWS = 100
_ON_THE_TRACK = ("clean_accuracy", "map50", "asr", "clean_reference_rate")


def write_page(folder: Path, out: Path | None = None) -> Path:
    """Write ``report.html`` into the folder of a run, or to ``out``; returns where it is.

    Raises BadInput for a missing or damaged ``record.json`` or ``pictures.npz``.
    """
    record = read_as(folder, RunRecord)
    text = render_page(record, load_pictures(folder / "pictures.npz"), seals_beside(folder, record))
    return write_text(out or folder / "report.html", text)


def render_page(record: RunRecord, pictures: Pictures, seals: Sequence[Seal] = ()) -> str:
    """The page as HTML text; ``pictures`` are the arrays of ``pictures.npz``, and may be empty; ``seals`` are those of
    the network that lies beside it."""
    check_pictures(pictures)
    judged, nouns, figures = judge(record), Nouns.of(record), measured(record)
    detector = isinstance(record.results, DetectorFigures)
    shown = usable([e for e in record.examples if isinstance(e, Example)], pictures)
    examples, strength = grid(shown, pictures, nouns.trigger)
    return render(
        "page.html.j2",
        title=record.name,
        verdict=judged,
        summary=summary(record),
        planted="" if record.poisoned is None else record.poisoned.sentence.replace("->", "→"),
        network="detector" if detector else "network",
        detector=detector,
        proof=proof(shown, pictures, nouns, works=judged.kind in WORKING),
        examples=examples,
        strength=strength,
        scenes=scenes([e for e in record.examples if isinstance(e, SceneExample)], pictures, nouns.trigger),
        scores=[_mark(m, f) for m, f in figures if f.counts is None],
        rates=[_mark(m, f) for m, f in figures if f.counts is not None],
        seeds=len(record.seeds),
        differences=_differences(record.results),
        macro_f1=record.results.macro_f1 if isinstance(record.results, ClassifierFigures) else None,
        training=training_figures(record.training),
        compared=any(one.network == "clean reference" for one in record.training),
        confusions=_confusions(record),
        classes=class_table(record.results),
        record=record,
        definitions=[m for m, _ in figures],
        box_keys=BOX_KEYS,
        seals=seals,
    )


def render_compare(records: Sequence[RunRecord]) -> str:
    """One self-contained page: each run with its verdict and its rates as dots on one common axis."""
    runs = []
    for record in records:
        rates = [_mark(m, figure) for m, figure in measured(record) if m.key in _ON_THE_TRACK]
        runs.append((record.name, summary(record), verdict(record), rates))
    return render("compare.html.j2", title=f"{len(records)} runs", runs=runs)


def _mark(measure: Measure, figure: Interval) -> Mark:
    return Mark(measure.name, measure.role, figure, hollow=measure.reference, note=measure.note)


def _differences(results: Figures) -> list[Mark]:
    """Against a clean network, on the same pictures."""
    change: Interval | None
    if isinstance(results, DetectorFigures):
        change, name, network = results.map50_minus_reference, "mAP at IoU 0.5", "detector"
    else:
        change, name, network = results.clean_accuracy_minus_reference, "clean accuracy", "network"
    return marks(
        (f"attack success, against a clean {network}", "triggered", results.asr_minus_reference, False),
        (f"{name}, against a clean {network}", "clean", change, False),
    )


def _confusions(record: RunRecord) -> list[tuple[str, Role, Markup | None, list[str]]]:
    """Which class is taken for which, on clean and on triggered pictures: a map of it, and the most frequent wrong
    answers."""
    results = record.results
    if isinstance(results, DetectorFigures):
        return []
    names = [readable(name) for name in record.class_names]
    named: tuple[tuple[str, Role], ...] = (("Clean pictures", "clean"), ("Triggered pictures", "triggered"))
    maps = []
    for (title, role), matrix in zip(named, (results.confusion_clean, results.confusion_triggered), strict=True):
        if matrix:
            small = len(matrix) <= MOST_CLASSES
            drawn = heat_map(matrix, names, role, f"Confusion matrix of {title.lower()}") if small else None
            maps.append((title, role, drawn, largest_confusions(matrix, names)))
    return maps


class Column(NamedTuple):
    """A figure of each class: its field, its name, and whether it is drawn as a bar."""

    key: str
    name: str
    role: Role = "clean"
    drawn: bool = False
    square: bool = False


_CLASSIFIER = (
    Column("accuracy", "accuracy (recall)", drawn=True),
    Column("precision", "precision"),
    Column("f1", "F1"),
    Column("asr", "attack success", "triggered", drawn=True),
    Column("robust_accuracy", "robust accuracy", "triggered"),
)
_DETECTOR = (
    Column("ap50", "average precision at IoU 0.5", drawn=True),
    Column("found", "found", drawn=True, square=True),
    Column("class_accuracy", "named rightly"),
    Column("asr", "attack success", "triggered", drawn=True),
)


class ClassRow(NamedTuple):
    """One class: how many there are of it, its figures by column (None where nothing was counted), and those that are
    drawn, with the drawing in words."""

    name: str
    number: str
    total: int
    figures: dict[str, Interval | None]
    marks: list[Mark]
    label: str


class ClassTable(NamedTuple):
    """``unit`` is what is counted, ``drawn`` are the columns that have bars; ``left_out`` classes have no row."""

    unit: str
    columns: list[Column]
    drawn: list[Column]
    rows: list[ClassRow]
    left_out: int


def class_table(results: Figures) -> ClassTable | None:
    """One row for each class that the test pictures have; beyond 100 those that are read worst. None without any."""
    unit, columns = ("objects", _DETECTOR) if isinstance(results, DetectorFigures) else ("pictures", _CLASSIFIER)
    classes: Sequence[ClassFigures | ObjectFigures] = results.per_class
    rows = [row for k, one in enumerate(classes) if (row := _class_row(k, one, columns)).total]
    if not rows:
        return None
    shown = rows
    if len(rows) > _MOST_ROWS:
        first = columns[0].key
        worst = sorted(rows, key=lambda row: 1.0 if (f := row.figures[first]) is None else float(f))
        shown = worst[:_MOST_ROWS]
    there = [c for c in columns if any(row.figures[c.key] is not None for row in shown)]
    return ClassTable(unit, there, [c for c in there if c.drawn], shown, len(rows) - len(shown))


def _class_row(number: int, one: ClassFigures | ObjectFigures, columns: Sequence[Column]) -> ClassRow:
    name, pictures = readable(one.class_name), isinstance(one, ClassFigures)
    figures = {column.key: _figure(getattr(one, column.key)) for column in columns}
    drawn = [Mark(c.name, c.role, f, square=c.square) for c in columns if c.drawn and (f := figures[c.key]) is not None]
    label = f"{name}: {'; '.join(mark.label for mark in drawn)}"
    shown = str(number) if pictures and name != str(number) else ""
    return ClassRow(name, shown, one.n if isinstance(one, ClassFigures) else one.objects, figures, drawn, label)


def _figure(value: Interval | float | None) -> Interval | None:
    """Average precision and F1 of a class have no interval."""
    return Estimate(value, (None, None)) if isinstance(value, float) else known(value)
