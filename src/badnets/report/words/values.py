"""Figures of a study's rows as text: rates in percent, differences in points, counts as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from badnets.core.text import percent, points

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
    return f"{value:.4g}"


def symbol(unit: str) -> str:
    """What stands behind the number: ``" %"``, ``" points"`` or nothing."""
    return {"rate": " %", "difference": " points"}.get(unit, "")


def show_value(value: float | None, unit: str) -> str:
    """``"99.52 %"``, ``"+0.02 points"``, ``"yes"``, ``"4"``; ``"-"`` where there is none."""
    return "-" if value is None else show_number(value, unit) + symbol(unit)


def has_interval(row: Mapping[str, Any]) -> bool:
    """Whether the row has one to show: a single value of a single seed has no spread, and says so by having none."""
    if row["unit"] not in WITH_INTERVAL or row["ours"] is None or row["low"] is None or row["high"] is None:
        return False
    return bool(row["low"] < row["high"] or row["n_seeds"] > 1)


def show_ours(row: Mapping[str, Any]) -> str:
    """Ours with its interval, ``"99.52 % (99.41 to 99.60)"``."""
    shown = show_value(row["ours"], row["unit"])
    if not has_interval(row):
        return shown
    low, high = (show_number(row[end], row["unit"]) for end in ("low", "high"))
    return f"{shown} ({low} to {high})"


def verdict_word(row: Mapping[str, Any]) -> str:
    """``yes``, ``no`` or ``-`` where it can't be said."""
    return {True: "yes", False: "no", None: "-"}[row["verified"]]
