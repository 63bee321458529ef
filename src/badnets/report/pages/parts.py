"""Parts that several pages have: rows of figures, training curves, and how to repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import tomli_w
from markupsafe import Markup

from badnets.core.rate import Interval
from badnets.core.text import bare
from badnets.records.blocks import Role
from badnets.records.certificate import Certificate
from badnets.records.model import JSON, Training
from badnets.records.run import RunRecord
from badnets.records.study import StudyRecord
from badnets.report.charts.curves import curve_figure, curves
from badnets.report.charts.figures import difference_track, glyph, mark, span, track
from badnets.report.pages.table import FIGURE_SPACE, counts
from badnets.report.words.names import known, readable

_LONGEST_TEXT = 200
GLYPHS = {
    "clean": glyph("clean"),
    "clean_reference": glyph("clean", hollow=True),
    "triggered": glyph("triggered"),
    "triggered_reference": glyph("triggered", hollow=True),
}
"""What legends show: marks of this network, hollow ones of a clean network."""


@dataclass(frozen=True, kw_only=True)
class FigureRow:
    """A figure drawn and written; ``reach`` is the half width of a difference's axis, in points."""

    name: str
    note: str = ""
    glyph: Markup
    track: Markup
    value: str
    low: str
    high: str
    counts: str = ""
    reach: str = ""


def rate_row(name: str, figure: Interval, role: Role, *, hollow: bool = False, note: str = "") -> FigureRow:
    """A figure of 0 to 100 %."""
    value, low, high = bare(figure)
    return FigureRow(
        name=name,
        note=note,
        glyph=glyph(role, hollow=hollow),
        track=track([mark(figure, role, hollow=hollow, name=name)]),
        value=value,
        low=low,
        high=high.rjust(6, FIGURE_SPACE),
        counts=" ".join(counts(figure)).strip(),
    )


def difference_rows(named: Sequence[tuple[str, Role, Interval | None]]) -> list[FigureRow]:
    """A row for each difference that is there."""
    there = [(name, role, figure) for name, role, given in named if (figure := known(given)) is not None]
    width = max((len(bare(figure)[2]) for _, _, figure in there), default=0)
    rows = []
    for name, role, figure in there:
        value, low, high = bare(figure)
        rows.append(
            FigureRow(
                name=name,
                glyph=glyph(role),
                track=difference_track(figure, role, name),
                value=value,
                low=low,
                high=high.rjust(width, FIGURE_SPACE),
                reach=f"{100 * span(figure):g}",
            )
        )
    return rows


class Drawn(NamedTuple):
    """A drawing with its caption."""

    title: str
    svg: Markup


def training_figures(training: Sequence[Training]) -> list[Drawn]:
    """The curves of loss and, of classifiers, accuracy."""
    loss, accuracy = curves(training, "loss"), curves(training, "accuracy")
    figures = []
    if loss:
        figures.append(Drawn("Training loss", curve_figure(loss, title="Training loss", percent=False)))
    if accuracy:
        title = "Training accuracy, %"
        figures.append(Drawn(title, curve_figure(accuracy, title=title, percent=True)))
    return figures


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """What the template ``repeat.html.j2`` shows; empty where a record has none."""

    command: str
    spec: str
    resolved: str
    determinism: str
    made: list[tuple[str, str]]
    times: list[tuple[str, str]]
    files: list[tuple[str, str]]


def repeat(record: RunRecord | Certificate | StudyRecord) -> Repeat:
    """Command, spec, environment, times and files of a record."""
    spec, resolved = {}, {}
    if isinstance(record, RunRecord):
        spec, resolved = record.spec, record.resolved
    elif isinstance(record, Certificate):
        resolved = {"method": record.method, "data": record.data}
    made = record.environment.to_json()
    facts = {**made.pop("versions"), **made, "commit": record.commit}
    return Repeat(
        command=record.command,
        spec=toml_text(spec),
        resolved=toml_text(resolved),
        determinism=record.determinism if isinstance(record, RunRecord) else "",
        made=[(name, str(value)) for name, value in facts.items() if value is not None],
        times=[(readable(name), f"{seconds:,.1f}") for name, seconds in record.timings_s.items()],
        files=[] if isinstance(record, StudyRecord) else list(record.files.items()),
    )


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
