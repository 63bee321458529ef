"""The tables of the classes: bars of the most important figures, and all figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from badnets.core.rate import Estimate, Interval
from badnets.records.blocks import Role
from badnets.records.results import ClassFigures, DetectorFigures, Figures, ObjectFigures
from badnets.report.charts.figures import Mark, mark
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


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """One class: its figures by column, None where nothing was counted, and the marks of those that are drawn."""

    name: str
    number: str
    count: str
    figures: dict[str, Interval | None]
    marks: list[Mark]

    @property
    def label(self) -> str:
        """The drawing in words."""
        return f"{self.name}: " + "; ".join(mark.label for mark in self.marks)


@dataclass(frozen=True, kw_only=True)
class ClassTable:
    """``unit`` is what is counted; ``left_out`` classes have no row."""

    unit: str
    columns: list[Column]
    rows: list[ClassRow]
    left_out: int

    @property
    def drawn(self) -> list[Column]:
        """The columns that have bars."""
        return [column for column in self.columns if column.drawn]


def class_table(results: Figures) -> ClassTable | None:
    """One row for each class that the test pictures have; beyond 100 those that are read worst. None without any."""
    detector = isinstance(results, DetectorFigures)
    columns = _DETECTOR if detector else _CLASSIFIER
    classes: Sequence[ClassFigures | ObjectFigures] = results.per_class
    rows = [row for k, one in enumerate(classes) if (row := _row(k, one, columns)).count != "0"]
    if not rows:
        return None
    worst = sorted(rows, key=lambda row: 1.0 if (f := row.figures[columns[0].key]) is None else float(f))
    shown = rows if len(rows) <= MOST_ROWS else worst[:MOST_ROWS]
    there = [c for c in columns if any(row.figures[c.key] is not None for row in shown)]
    unit = "objects" if detector else "pictures"
    return ClassTable(unit=unit, columns=there, rows=shown, left_out=len(rows) - len(shown))


def _row(number: int, one: ClassFigures | ObjectFigures, columns: Sequence[Column]) -> ClassRow:
    name = readable(one.class_name)
    figures = {column.key: _figure(getattr(one, column.key)) for column in columns}
    drawn = [(c, f) for c in columns if c.drawn and (f := figures[c.key]) is not None]
    return ClassRow(
        name=name,
        number="" if name == str(number) or isinstance(one, ObjectFigures) else str(number),
        count=f"{one.n if isinstance(one, ClassFigures) else one.objects:,}",
        figures=figures,
        marks=[mark(f, c.role, square=c.square, name=c.name) for c, f in drawn],
    )


def _figure(value: Interval | float | None) -> Interval | None:
    """Average precision and F1 of a class have no interval."""
    return Estimate(value, (None, None)) if isinstance(value, float) else known(value)
