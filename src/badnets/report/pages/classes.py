"""The tables of the classes: bars of the most important figures, and all figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from badnets.core.rate import Estimate, Interval
from badnets.core.text import bare
from badnets.records.blocks import Role
from badnets.records.results import ClassFigures, DetectorFigures, Figures, ObjectFigures
from badnets.report.charts.figures import bars, glyph, mark
from badnets.report.pages.table import FIGURE_SPACE
from badnets.report.words.names import known, readable

MOST_ROWS = 100


class Column(NamedTuple):
    """A figure of each class: its field, its name, and whether it is drawn as a bar."""

    key: str
    name: str
    role: Role = "clean"
    drawn: bool = False
    square: bool = False


_CLASSIFIER = (
    Column("accuracy", "accuracy", drawn=True),
    Column("precision", "precision"),
    Column("recall", "recall"),
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


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """One class: ``cells`` are (value, interval) of each column, None where nothing was counted."""

    name: str
    number: str
    count: str
    bars: Markup | None
    cells: list[tuple[str, str] | None]


@dataclass(frozen=True, kw_only=True)
class ClassTable:
    """``unit`` is what is counted; ``drawn`` are the numbers of the columns that have bars, ``glyphs`` their marks."""

    unit: str
    columns: list[str]
    drawn: list[int]
    glyphs: list[Markup]
    rows: list[ClassRow]
    left_out: int


def class_table(results: Figures) -> ClassTable | None:
    """One row for each class that the test pictures have; beyond 100 those that are read worst. None without any."""
    detector = isinstance(results, DetectorFigures)
    present = [(k, one) for k, one in enumerate(results.per_class) if _count(one)]
    if not present:
        return None
    shown = present if len(present) <= MOST_ROWS else sorted(present, key=lambda e: _least(e[1]))[:MOST_ROWS]
    columns = [c for c in (_DETECTOR if detector else _CLASSIFIER) if any(_figure(one, c.key) for _, one in shown)]
    # On single-label pictures a class's accuracy is its recall; one column then says both.
    alike = not detector and all(_figure(one, "recall") == _figure(one, "accuracy") for _, one in shown)
    columns = [c for c in columns if not (alike and c.key == "recall")]
    return ClassTable(
        unit="objects" if detector else "pictures",
        columns=["accuracy (recall)" if alike and c.key == "accuracy" else c.name for c in columns],
        drawn=[k for k, column in enumerate(columns) if column.drawn],
        glyphs=[glyph(column.role, square=column.square) for column in columns if column.drawn],
        rows=[_row(number, one, columns) for number, one in shown],
        left_out=len(present) - len(shown),
    )


def _count(one: ClassFigures | ObjectFigures) -> int:
    return one.n if isinstance(one, ClassFigures) else one.objects


def _figure(one: ClassFigures | ObjectFigures, key: str) -> Interval | None:
    value = getattr(one, key)
    return Estimate(value, (None, None)) if isinstance(value, float) else known(value)


def _least(one: ClassFigures | ObjectFigures) -> float:
    figure = _figure(one, "accuracy" if isinstance(one, ClassFigures) else "ap50")
    return 1.0 if figure is None else float(figure)


def _row(number: int, one: ClassFigures | ObjectFigures, columns: Sequence[Column]) -> ClassRow:
    name = readable(one.class_name)
    figures = [(column, _figure(one, column.key)) for column in columns]
    marks = [mark(f, c.role, square=c.square, name=c.name) for c, f in figures if c.drawn and f is not None]
    return ClassRow(
        name=name,
        number="" if name == str(number) or isinstance(one, ObjectFigures) else str(number),
        count=f"{_count(one):,}",
        bars=bars(marks, title=f"{name}: " + "; ".join(m.label for m in marks)) if marks else None,
        cells=[None if figure is None else _cell(figure) for _, figure in figures],
    )


def _cell(figure: Interval) -> tuple[str, str]:
    value, low, high = (text.rjust(6, FIGURE_SPACE) for text in bare(figure))
    return value, "" if figure.low is None else f"{low} to {high}"
