"""Parts that several pages have: rows of figures, training curves, and how to repeat it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import tomli_w
from markupsafe import Markup

from badnets.core.rate import Interval
from badnets.records.blocks import Role
from badnets.records.certificate import Certificate
from badnets.records.model import JSON, Training
from badnets.records.run import RunRecord
from badnets.records.study import StudyRecord
from badnets.report.charts.curves import curve_figure, curves
from badnets.report.charts.figures import Mark, mark
from badnets.report.words.measures import Measure
from badnets.report.words.names import known

_LONGEST_TEXT = 200


@dataclass(frozen=True)
class Line:
    """A row of a table: a figure with its name; ``hollow`` of a clean network."""

    name: str
    role: Role
    figure: Interval
    hollow: bool = False
    note: str = ""

    @property
    def mark(self) -> Mark:
        """How it is drawn."""
        return mark(self.figure, self.role, hollow=self.hollow, name=self.name)


def lines(given: Iterable[tuple[str, Role, Interval | None, bool]]) -> list[Line]:
    """A row for each (name, role, figure, hollow) of which anything was counted."""
    return [Line(name, role, there, hollow) for name, role, f, hollow in given if (there := known(f)) is not None]


def measured_lines(found: Iterable[tuple[Measure, Interval]]) -> list[Line]:
    """A row for each figure of ``words.measures.measured``."""
    return [Line(m.name, m.role, figure, m.reference, m.note) for m, figure in found]


class Drawn(NamedTuple):
    """A drawing with its caption."""

    title: str
    svg: Markup


def training_figures(training: Sequence[Training]) -> list[Drawn]:
    """The curves of loss and, of classifiers, accuracy."""
    loss, accuracy = curves(training, "loss"), curves(training, "accuracy")
    named = (("Training loss", loss, False), ("Training accuracy, %", accuracy, True))
    return [Drawn(title, curve_figure(some, title=title, percent=percent)) for title, some, percent in named if some]


class Repeat(NamedTuple):
    """What the template ``repeat.html.j2`` shows of a ``record``; its spec as TOML, ``""`` where it has none."""

    record: RunRecord | Certificate | StudyRecord
    spec: str = ""
    resolved: str = ""
    determinism: str = ""


def repeat(record: RunRecord | Certificate | StudyRecord) -> Repeat:
    """How to repeat what a record is of."""
    if isinstance(record, RunRecord):
        return Repeat(record, toml_text(record.spec), toml_text(record.resolved), record.determinism)
    if isinstance(record, Certificate):
        return Repeat(record, resolved=toml_text({"method": record.method, "data": record.data}))
    return Repeat(record)


def toml_text(value: JSON) -> str:
    """TOML of a spec, to read on the page and to paste into a file. Null entries are left out: TOML has none; very long
    texts are cut: a trigger carries its picture inside it, and nobody reads that."""
    return tomli_w.dumps(_abridged(value)).strip()


def _abridged(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _abridged(entry) for name, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [_abridged(entry) for entry in value if entry is not None]
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return f"{value[:40]}… ({len(value):,} characters, whole in the record)"
    return value
