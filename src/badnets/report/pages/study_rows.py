"""The ledger of a study: its rows grouped, each with its drawing; and how many published figures they bear out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from badnets.report.charts.figures import Mark, Role, window, window_track
from badnets.report.pages.table import FIGURE_SPACE
from badnets.report.words.facts import Record, listing
from badnets.report.words.values import WITH_INTERVAL, has_interval, show_number, show_ours, show_value, symbol

_TRIGGERED = ("triggered", "attack success", "poisoned pictures", "the same on a clean network")
_LEAST_WINDOW = 0.002  # an axis shows at least 0.2 points, or noise would look like a finding
_MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A row of the record, read with care: rates 0..1, differences -1..1."""

    what: str
    variant: str
    published: float | None
    source: str
    verified: bool | None
    why: str
    unit: str
    ours: float | None
    low: float | None
    high: float | None
    n_seeds: int

    @property
    def prefix(self) -> str:
        """What it has in common with its neighbors: all before the last colon, else before the last comma."""
        for mark in (": ", ", "):
            before, found, _ = self.what.rpartition(mark)
            if found:
                return before
        return ""

    @property
    def measure(self) -> str:
        """What is left of ``what`` behind the prefix."""
        return self.what[len(self.prefix) :].lstrip(":, ")


def figures_of(record: Record) -> list[Figure]:
    """The rows of a study's record; what is no row is left out."""
    return [_figure(row) for row in listing(record, "rows") if isinstance(row, Mapping)]


def _figure(row: Mapping[str, Any]) -> Figure:
    verified = row.get("verified")
    return Figure(
        what=str(row.get("what") or ""),
        variant=str(row.get("variant") or ""),
        published=_number(row.get("published")),
        source=str(row.get("published_source") or ""),
        verified=verified if isinstance(verified, bool) else None,
        why=str(row.get("why") or ""),
        unit=str(row.get("unit") or ""),
        ours=_number(row.get("ours")),
        low=_number(row.get("low")),
        high=_number(row.get("high")),
        n_seeds=int(_number(row.get("n_seeds")) or 0),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def findings(figures: Sequence[Figure]) -> list[str]:
    """How many published figures are borne out and how many not, then what else there is; a sentence each."""
    published = [f for f in figures if f.published is not None]
    own = [f for f in figures if f.published is None]
    if not figures:
        return ["Nothing was measured in this study."]
    sentences = [_tally(published)] if published else ["There is no published figure to set ours beside."]
    failed = [f for f in published if f.verified is False]
    if failed:
        named = "; ".join(f"{f.what} ({_against(f)})" for f in failed[:_MOST_NAMED])
        more = len(failed) - _MOST_NAMED
        sentences.append(f"Not borne out: {named}{f'; and {more} more' if more > 0 else ''}.")
    if own and published:
        judged = [f for f in own if f.verified is not None]
        kept = sum(f.verified is True for f in judged)
        bound = f"; a bound of our own was set for {len(judged)} and is kept by {kept}" if judged else ""
        beside = "has no published number beside it" if len(own) == 1 else "have no published number beside them"
        sentences.append(f"{_count(len(own), 'further figure')} {beside}{bound}.")
    return sentences


def _tally(published: Sequence[Figure]) -> str:
    total = len(published)
    held, failed = (sum(f.verified is answer for f in published) for answer in (True, False))
    unsaid = total - held - failed
    if held == total:
        return f"All {total} published figures are borne out." if total > 1 else "The published figure is borne out."
    begin = f"{held or 'None'} of {_count(total, 'published figure')} {_be(max(held, 1))} borne out"
    parts = [f"{failed} {_be(failed)} not"] if failed else []
    parts += [f"of {unsaid} it can't be said"] if unsaid else []
    return f"{begin}, {', and '.join(parts)}."


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _against(figure: Figure) -> str:
    ours, published = show_value(figure.ours, figure.unit), show_value(figure.published, figure.unit)
    return f"{ours}, published {published}"


def ledger_groups(figures: Iterable[Figure]) -> list[dict[str, Any]]:
    """Groups of rows with one prefix, in the order in which the prefixes first appear."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for figure in figures:
        groups.setdefault(figure.prefix, []).append(_row(figure))
    return [{"name": name, "rows": rows} for name, rows in groups.items()]


def _row(figure: Figure) -> dict[str, Any]:
    shown = _interval(figure)
    return {
        "measure": figure.measure,
        "variant": "as published" if figure.variant == "published" else figure.variant,
        "source": figure.source,
        "published": _aligned(figure.published, figure.unit),
        "draw": _drawn(figure),
        "ours": _aligned(figure.ours, figure.unit),
        "interval": shown,
        "seeds": figure.n_seeds,
        "verdict": _verdict(figure),
        "why": figure.why,
    }


def _verdict(figure: Figure) -> dict[str, Any]:
    if figure.verified is None:
        word = "not judged" if figure.published is not None else "nothing published"
        return {"sign": "\N{EN DASH}", "word": word, "judged": False}
    sign, word = ("✓", "yes") if figure.verified else ("✗", "no")
    return {"sign": sign, "word": word, "judged": True}


def _aligned(value: float | None, unit: str) -> dict[str, str] | None:
    """The number in two parts that meet at the decimal point."""
    if value is None:
        return None
    shown = show_number(value, unit)
    whole, point, rest = shown.partition(".") if unit != "yes or no" else (shown, "", "")
    behind = {"rate": " %", "difference": " pt"}.get(unit, "")
    return {"whole": whole, "rest": point + rest + behind, "text": show_value(value, unit)}


def _interval(figure: Figure) -> str:
    row = {"unit": figure.unit, "ours": figure.ours, "low": figure.low, "high": figure.high, "n_seeds": figure.n_seeds}
    if not has_interval(row) or figure.low is None or figure.high is None:
        return ""
    low, high = (show_number(end, figure.unit).rjust(6, FIGURE_SPACE) for end in (figure.low, figure.high))
    return f"{low} to {high}"


def _drawn(figure: Figure) -> dict[str, Any] | None:
    """The track with the labels of its ends, for rates and differences."""
    if figure.unit not in WITH_INTERVAL or figure.ours is None:
        return None
    low = figure.ours if figure.low is None else figure.low
    high = figure.ours if figure.high is None else figure.high
    row = {**figure.__dict__, "low": low, "high": high}
    there = "" if figure.published is None else f"; published {show_value(figure.published, figure.unit)}"
    mark = Mark(
        value=figure.ours,
        low=low,
        high=high,
        role=_role(figure.measure),
        hollow="on a clean network" in figure.measure,
        label=f"{figure.what}: {show_ours(row)}{there}",
    )
    values = [v for v in (figure.ours, low, high, figure.published) if v is not None]
    ends = window(values, least=_LEAST_WINDOW)
    labels = [_end(end, figure.unit) for end in ends]
    return {"track": window_track(mark, ends, published=figure.published), "ends": labels}


def _end(value: float, unit: str) -> str:
    shown = f"{100 * value:+g}" if unit == "difference" and value else f"{round(100 * value, 6):g}"
    return shown.replace("-", "\N{MINUS SIGN}") + ("" if unit == "difference" else symbol(unit))


def _role(measure: str) -> Role:
    return "triggered" if any(words in measure for words in _TRIGGERED) else "clean"
