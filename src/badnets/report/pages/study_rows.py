"""The ledger of a study: its rows in groups, each group on one axis; and what they say of the published figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from badnets.records.study import State, StudyRow
from badnets.report.charts.figures import Mark, window, window_track
from badnets.report.pages.table import FIGURE_SPACE
from badnets.report.words.values import (
    WITH_INTERVAL,
    has_interval,
    short_symbol,
    show_number,
    show_ours,
    show_tick,
    show_value,
    tally,
    verdict_word,
)

_LEAST_WINDOW = 0.002  # an axis shows at least 0.2 points, or noise would look like a finding
_MOST_NAMED = 3
_SIGNS: dict[State, str] = {
    "borne out": "✓",
    "not borne out": "✗",
    "not run as published": "◇",
    "not judged": "\N{EN DASH}",
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row as the page shows it: ``published`` and ``ours`` in two parts that meet at the decimal point. ``ends`` are
    written above the drawing, and only where its axis begins: at the first row of a unit in its group."""

    measure: str
    variant: str
    source: str
    published: tuple[str, str] | None
    ours: tuple[str, str] | None
    interval: str
    track: Markup | None
    ends: tuple[str, str] | None
    seeds: int
    state: str
    sign: str
    word: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows whose names begin alike."""

    name: str
    lines: tuple[Line, ...]


def findings(rows: Sequence[StudyRow]) -> list[str]:
    """How many published figures are borne out and how many not, then what else there is; a sentence each."""
    published = [row for row in rows if row.published is not None]
    own = [row for row in rows if row.published is None]
    if not rows:
        return ["Nothing was measured in this study."]
    judged = [row for row in own if row.verified is not None]
    kept = sum(row.verified is True for row in judged)
    if not published:
        if not judged:
            return ["There is no published figure to set ours beside."]
        return [
            f"{kept} of {len(judged)} figures keep the bound that was set; nothing was published to set beside them."
        ]
    sentences = [tally(published)]
    failed = [row for row in published if row.state == "not borne out"]
    if failed:
        named = "; ".join(f"{row.what} ({_against(row)})" for row in failed[:_MOST_NAMED])
        more = len(failed) - _MOST_NAMED
        sentences.append(f"Not borne out: {named}{f'; and {more} more' if more > 0 else ''}.")
    if own:
        bound = f"; a bound of our own was set for {len(judged)} and is kept by {kept}" if judged else ""
        count, them = ("1 further figure has", "it") if len(own) == 1 else (f"{len(own)} further figures have", "them")
        sentences.append(f"{count} no published number beside {them}{bound}.")
    return sentences


def _against(row: StudyRow) -> str:
    return f"{show_value(row.ours, row.unit)}, published {show_value(row.published, row.unit)}"


def ledger_groups(rows: Iterable[StudyRow]) -> list[Group]:
    """Groups of rows with one prefix (all before the last colon, else before the last comma), in the order in which the
    prefixes first appear; neighbors of one row that begin alike become one group."""
    groups: dict[str, list[StudyRow]] = {}
    for row in rows:
        groups.setdefault(_prefix(row.what), []).append(row)
    merged: list[tuple[str, list[StudyRow]]] = []
    alone = ""  # how the rows of the last group begin, where it is made of single rows
    for name, own in groups.items():
        start = name.split(", ")[0]
        if len(own) == 1 and start and start == alone:
            merged[-1] = (start, [*merged[-1][1], *own])
        else:
            merged.append((name, own))
        alone = start if len(own) == 1 else ""
    return [Group(name=name, lines=_lines(name, own)) for name, own in merged]


def _prefix(what: str) -> str:
    for mark in (": ", ", "):
        before, there, _ = what.rpartition(mark)
        if there:
            return before
    return ""


def _lines(name: str, rows: Sequence[StudyRow]) -> tuple[Line, ...]:
    """The rows of a group; those of one unit share an axis."""
    ends = {unit: window(values, least=_LEAST_WINDOW) for unit in WITH_INTERVAL if (values := _drawn(rows, unit))}
    begun: set[str] = set()
    lines = []
    for row in rows:
        drawn = row.unit in ends and row.ours is not None
        first = drawn and row.unit not in begun
        begun |= {row.unit} if drawn else set()
        measure = row.what[len(name) :].lstrip(":, ")
        lines.append(
            Line(
                measure=measure,
                variant="as published" if row.variant == "published" else row.variant,
                source=row.published_source,
                published=_aligned(row.published, row.unit),
                ours=_aligned(row.ours, row.unit),
                interval=_interval(row),
                track=_track(row, ends[row.unit]) if drawn else None,
                ends=_axis(ends[row.unit], row.unit) if first else None,
                seeds=row.n_seeds,
                state=row.state,
                sign=_SIGNS[row.state],
                word=_word(row),
                why=row.why,
            )
        )
    return tuple(lines)


def _drawn(rows: Sequence[StudyRow], unit: str) -> list[float]:
    """All that an axis must hold."""
    shown = [row for row in rows if row.unit == unit and row.ours is not None]
    return [value for row in shown for value in (row.ours, row.low, row.high, row.published) if value is not None]


def _word(row: StudyRow) -> str:
    if row.state == "not judged":
        return "not judged" if row.published is not None else "nothing published"
    return verdict_word(row)


def _aligned(value: float | None, unit: str) -> tuple[str, str] | None:
    """The number in two parts that meet at the decimal point."""
    if value is None:
        return None
    shown = show_number(value, unit)
    whole, point, rest = shown.partition(".") if unit != "yes or no" else (shown, "", "")
    return whole, point + rest + short_symbol(unit)


def _interval(row: StudyRow) -> str:
    if not has_interval(row) or row.low is None or row.high is None:
        return ""
    return " to ".join(show_number(end, row.unit).rjust(6, FIGURE_SPACE) for end in (row.low, row.high))


def _track(row: StudyRow, ends: tuple[float, float]) -> Markup:
    value = row.ours or 0.0
    there = "" if row.published is None else f"; published {show_value(row.published, row.unit)}"
    mark = Mark(
        value=value,
        low=value if row.low is None else row.low,
        high=value if row.high is None else row.high,
        role="clean",
        label=f"{row.what}: {show_ours(row)}{there}",
    )
    return window_track(mark, ends, published=row.published)


def _axis(ends: tuple[float, float], unit: str) -> tuple[str, str]:
    low, high = (show_tick(end, unit, sign=unit == "difference") for end in ends)
    return low, high + short_symbol(unit)
