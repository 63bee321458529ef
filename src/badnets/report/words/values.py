"""Rows of a study as text: rates in percent, differences in points, counts as they are; and how many are borne out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from badnets.core.text import percent, points
from badnets.records.study import StudyRow

WITH_INTERVAL = ("rate", "difference")
"""Units whose figures carry an interval."""


def show_number(value: float, unit: str) -> str:
    """The bare number: hundredths of a percent for a ``rate`` (0..1), hundredths of a point with its sign for a
    ``difference`` (-1..1), ``yes`` or ``no``, anything else as it is."""
    if unit == "rate":
        return percent(value)
    if unit == "difference":
        return points(value)
    if unit == "yes or no":
        return "yes" if value else "no"
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def symbol(unit: str, *, short: bool = False) -> str:
    """What stands behind the number: ``" %"``, ``" points"`` (``short``: ``" pt"``) or nothing."""
    return {"rate": " %", "difference": " pt" if short else " points"}.get(unit, "")


def show_tick(value: float, unit: str, *, sign: bool = False) -> str:
    """The number at a tick of an axis, ``"2.5"`` for a rate of 0.025; with its ``sign`` also above 0."""
    shown = value if unit not in WITH_INTERVAL else round(100 * value, 6)
    return f"{shown:{'+' if sign and shown else ''}g}".replace("-", "\N{MINUS SIGN}")


def show_value(value: float | None, unit: str) -> str:
    """``"99.52 %"``, ``"+0.02 points"``, ``"yes"``, ``"4"``; ``"-"`` where there is none."""
    return "-" if value is None else show_number(value, unit) + symbol(unit)


def show_interval(low: float | None, high: float | None, unit: str) -> str:
    """``"99.41 to 99.60"``; empty where there is none."""
    return "" if low is None or high is None else f"{show_number(low, unit)} to {show_number(high, unit)}"


def interval_ends(row: StudyRow) -> tuple[str, str] | None:
    """Both ends of the interval that the row has to show: a single value of a single seed has no spread, and says so by
    having none."""
    if row.unit not in WITH_INTERVAL or row.ours is None or row.low is None or row.high is None:
        return None
    some = row.low < row.high or row.n_seeds > 1
    return (show_number(row.low, row.unit), show_number(row.high, row.unit)) if some else None


def show_ours(row: StudyRow) -> str:
    """Ours with its interval, ``"99.52 % (99.41 to 99.60)"``."""
    ends = interval_ends(row)
    return show_value(row.ours, row.unit) + (f" ({ends[0]} to {ends[1]})" if ends else "")


def verdict_word(row: StudyRow) -> str:
    """Whether the published figure is borne out: ``yes``, ``no``, ``not run as published``, ``not judged``, or
    ``nothing published``."""
    if row.state == "not judged" and row.published is None:
        return "nothing published"
    return {"borne out": "yes", "not borne out": "no"}.get(row.state, row.state)


def tally(rows: Sequence[StudyRow]) -> str:
    """How many of ``rows`` (published ones, at least one) are borne out, as a sentence.

    ``"19 of 27 published figures are borne out, 2 are not, 4 were not run as published, of 2 it can't be said."``
    """
    states, total = Counter(row.state for row in rows), len(rows)
    held, refuted, others = states["borne out"], states["not borne out"], states["not run as published"]
    if held == total:
        return f"All {total} published figures are borne out." if total > 1 else "The published figure is borne out."
    parts = [
        f"{held or 'None'} of {total} published figure{'s' * (total > 1)} {'are' if held > 1 else 'is'} borne out",
        f"{refuted} {'is' if refuted == 1 else 'are'} not" if refuted else "",
        f"{others} {'was' if others == 1 else 'were'} not run as published" if others else "",
        f"of {states['not judged']} it can't be said" if states["not judged"] else "",
    ]
    return ", ".join(part for part in parts if part) + "."
