"""The page of a study: what was found, its figure, what was published, its blocks, its ledger (rows in groups, each
group on one axis), how to repeat it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from badnets.core.files import write_text
from badnets.core.rate import Estimate
from badnets.core.toml import shipped_table
from badnets.records.study import State, StudyRecord, StudyRow
from badnets.report.charts.figures import Mark, window, window_track
from badnets.report.pages.blocks import SORT, SORT_DIGEST, panels
from badnets.report.pages.parts import render
from badnets.report.pages.table import right
from badnets.report.words.values import (
    WITH_INTERVAL,
    interval_ends,
    show_number,
    show_ours,
    show_tick,
    show_value,
    symbol,
    tally,
    verdict_word,
)

_MOST_NAMED = 3
_SIGNS: dict[State, str] = {
    "borne out": "✓",
    "not borne out": "✗",
    "not run as published": "◇",
    "not judged": "\N{EN DASH}",
}
_MEANINGS = shipped_table("badnets.report.words", "study.toml")


def write_study(record: StudyRecord, path: Path, *, title: str, published: str, trial_word: str = "trainings") -> Path:
    """Write the page to ``path``; contact sheets that lie beside it are linked."""
    sheets = [sheet.name for sheet in sorted(path.parent.glob("contact-sheet-*.png"))]
    text = render_study(record, title=title, published=published, trial_word=trial_word, sheets=sheets)
    return write_text(path, text)


def render_study(
    record: StudyRecord, *, title: str, published: str, trial_word: str = "trainings", sheets: Sequence[str] = ()
) -> str:
    """The page as HTML text. ``title``, ``published``, ``trial_word`` are the study's own words; ``sheets`` are files
    beside the page."""
    finding, *more = findings(record.rows)
    blocks = panels(record.blocks, sheets)
    sorts = any(panel.kind == "table" for row in blocks for panel in row)
    variants = {_variant(row) for row in record.rows}
    return render(
        "study.html.j2",
        title=title,
        finding=finding,
        summary=_summary(record, trial_word),
        published=published,
        more=more,
        blocks=blocks,
        groups=ledger_groups(record.rows),
        count=len(record.rows),
        record=record,
        definitions={k: v for k, v in _MEANINGS["variants"].items() if k in variants} | _MEANINGS["words"],
        script=SORT if sorts else None,
        script_digest=SORT_DIGEST,
    )


def _summary(record: StudyRecord, trial_word: str) -> str:
    parts = [record.study, "1 seed" if record.seeds == 1 else f"{record.seeds} seeds"]
    if record.trials:
        parts.append(f"{len(record.trials):,} {trial_word}")
    if record.unfinished:
        parts.append(f"{len(record.unfinished):,} more not yet run")
    if record.quick:
        parts.append("quick form: few trainings, so it shows more than it proves")
    return " · ".join(parts)


def findings(rows: Sequence[StudyRow]) -> list[str]:
    """How many published figures are borne out and how many not, then what else there is; a sentence each."""
    if not rows:
        return ["Nothing was measured in this study."]
    published = [row for row in rows if row.published is not None]
    further = [row for row in rows if row.published is None]
    judged = [row.verified for row in further if row.verified is not None]
    kept = f"{judged.count(True)} of {len(judged)} figures keep the bound that was set"
    if not published:
        none = "There is no published figure to set ours beside."
        return [f"{kept}; nothing was published to set beside them." if judged else none]
    sentences = [tally(published)]
    if failed := [row for row in published if row.state == "not borne out"]:
        named = [
            f"{row.what} ({show_value(row.ours, row.unit)}, published {show_value(row.published, row.unit)})"
            for row in failed[:_MOST_NAMED]
        ]
        named += [f"and {len(failed) - _MOST_NAMED} more"] * (len(failed) > _MOST_NAMED)
        sentences.append(f"Not borne out: {'; '.join(named)}.")
    if further:
        bound = f"; a bound of our own was set for {len(judged)} and is kept by {judged.count(True)}" if judged else ""
        figures, them = ("figure has", "it") if len(further) == 1 else ("figures have", "them")
        sentences.append(f"{len(further)} further {figures} no published number beside {them}{bound}.")
    return sentences


class Line(NamedTuple):
    """A row as the page shows it: ``published`` and ``ours`` in two parts that meet at the decimal point. ``ends`` are
    written above the drawing, and only where its axis begins: at the first row of a unit in its group."""

    row: StudyRow
    measure: str
    variant: str
    published: tuple[str, str] | None
    ours: tuple[str, str] | None
    interval: str
    track: Markup | None
    ends: tuple[str, str] | None
    sign: str
    word: str


class Group(NamedTuple):
    """Rows whose names begin alike."""

    name: str
    lines: list[Line]


def ledger_groups(rows: Iterable[StudyRow]) -> list[Group]:
    """Groups of rows with one prefix (all before the last colon, else before the last comma), in the order in which the
    prefixes first appear; neighbors of one row that begin alike become one group."""
    groups: dict[str, list[StudyRow]] = {}
    for row in rows:
        groups.setdefault(_prefix(row.what), []).append(row)
    merged: list[tuple[str, list[StudyRow]]] = []
    alone = ""  # how the rows of the last group begin, where it is made of single rows
    for name, members in groups.items():
        start = name.split(", ")[0]
        if len(members) == 1 and start and start == alone:
            merged[-1] = (start, [*merged[-1][1], *members])
        else:
            merged.append((name, members))
        alone = start if len(members) == 1 else ""
    return [Group(name, _lines(name, members)) for name, members in merged]


def _prefix(what: str) -> str:
    return what.rpartition(": ")[0] or what.rpartition(", ")[0]


def _lines(name: str, rows: Sequence[StudyRow]) -> list[Line]:
    """The rows of a group; those of one unit share an axis, which holds all that is drawn on it."""
    shown = [row for row in rows if row.ours is not None]
    axes = {}
    for unit in WITH_INTERVAL:
        figures = [(row.ours, row.low, row.high, row.published) for row in shown if row.unit == unit]
        if figures:
            axes[unit] = window([value for row in figures for value in row if value is not None])
    unwritten, lines = dict(axes), []
    for row in rows:
        axis = axes.get(row.unit) if row.ours is not None else None
        lines.append(
            Line(
                row=row,
                measure=row.what[len(name) :].lstrip(":, "),
                variant=_variant(row),
                published=_aligned(row.published, row.unit),
                ours=_aligned(row.ours, row.unit),
                interval=" to ".join(map(right, interval_ends(row) or ())),
                track=_track(row, axis) if axis else None,
                ends=_written(unwritten.pop(row.unit), row.unit) if axis and row.unit in unwritten else None,
                sign=_SIGNS[row.state],
                word=verdict_word(row),
            )
        )
    return lines


def _variant(row: StudyRow) -> str:
    return "as published" if row.variant == "published" else row.variant


def _aligned(value: float | None, unit: str) -> tuple[str, str] | None:
    """The number in two parts that meet at the decimal point."""
    if value is None:
        return None
    whole, point, rest = show_number(value, unit).partition(".")
    return whole, point + rest + symbol(unit, short=True)


def _track(row: StudyRow, axis: tuple[float, float]) -> Markup:
    published = "" if row.published is None else f"; published {show_value(row.published, row.unit)}"
    mark = Mark(row.what, "clean", Estimate(row.ours, (row.low, row.high)))
    return window_track(mark, axis, title=f"{row.what}: {show_ours(row)}{published}", published=row.published)


def _written(axis: tuple[float, float], unit: str) -> tuple[str, str]:
    low, high = (show_tick(end, unit, sign=unit == "difference") for end in axis)
    return low, high + symbol(unit, short=True)
