"""Figures as text: percentages that never round to 100 or 0 when they are neither, points with their sign."""

from __future__ import annotations

from typing import Any


def percent(value: float | None) -> str:
    """``"99.94"``: hundredths of a percent; never rounded up to 100 or down to 0 when it is neither."""
    if value is None:
        return "none"
    shown = f"{100 * value:.2f}"
    if shown == "100.00" and value < 1:
        return "99.99"
    return "0.01" if shown == "0.00" and value > 0 else shown


def points(value: float | None) -> str:
    """A difference of rates in percentage points, ``"+0.05"``, with a true minus sign."""
    if value is None:
        return "none"
    shown = f"{100 * value:+.2f}"
    return ("0.00" if float(shown) == 0 else shown).replace("-", "\N{MINUS SIGN}")


def format_figure(figure: Any) -> str:
    """An ``Interval`` of ``core/rate.py``: ``"99.94 % (99.91 to 99.96; 59,964 of 60,000)"``, ``"+0.05 points (-0.01 to
    +0.11)"``, ``"0.97"``."""
    if figure.value is None:
        return "no inputs (0 of 0)"
    if figure.unit == "number":
        known = figure.low is not None and figure.high is not None
        return f"{figure.value:.4g}" + (f" ({figure.low:.4g} to {figure.high:.4g})" if known else "")
    if figure.unit == "difference":
        return f"{points(figure.value)} points ({points(figure.low)} to {points(figure.high)})"
    seeds = f"{figure.n_seeds} seeds"
    if figure.counts is None:
        behind = seeds if figure.n_seeds > 1 else "one seed"
    else:
        behind = "{:,} of {:,}".format(*figure.counts) + (f" in {seeds}" if figure.n_seeds > 1 else "")
    return f"{percent(figure.value)} % ({percent(figure.low)} to {percent(figure.high)}; {behind})"
