"""Terminal tables: the rates of a run, two runs beside each other, and a certificate's before and after."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from badnets.core.rate import Interval
from badnets.core.text import bare, short_figure
from badnets.records.blocks import Role
from badnets.records.certificate import Certificate, Control, GuardRecord
from badnets.records.results import Comparison, Evaluation
from badnets.records.run import RunRecord
from badnets.report.words.names import known, measured

ROWS: tuple[tuple[str, str, Role], ...] = (
    ("clean_accuracy", "clean accuracy", "clean"),
    ("refused", "clean pictures refused", "clean"),
    ("asr", "attack success", "triggered"),
    ("robust_accuracy", "robust accuracy", "triggered"),
    ("refused_triggered", "triggered pictures refused", "triggered"),
)
"""The rates of ``before`` and ``after``, with their names for people."""

TUNED_AGAIN: tuple[tuple[str, str], ...] = (
    ("repaired", "the repaired network"),
    ("clean_network", "a clean network"),
    ("backdoored", "the network before the repair"),
)
"""Whom ``reactivation`` re-tunes."""

_STYLES = {"clean": "blue", "triggered": "dark_orange"}


def right(shown: str) -> str:
    """A number of six characters or more, so that the decimal points of a column stand below each other."""
    return shown.rjust(6, "\N{FIGURE SPACE}")  # as wide as a digit


def counts(figure: Interval) -> tuple[str, str]:
    """``("1,909", "of 1,920")``; empty for a figure that is no count, such as mean average precision."""
    return ("", "") if figure.counts is None else (f"{figure.counts[0]:,}", f"of {figure.counts[1]:,}")


def terminal_table(record: RunRecord | Evaluation) -> Table:
    """Name, value, interval, counts of each rate, aligned."""
    table = Table.grid(padding=(0, 2), pad_edge=True)
    table.add_column()
    for _ in range(4):
        table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for measure, figure in measured(record):
        value, low, high = bare(figure)
        seeds = f"in {figure.n_seeds} seeds" if figure.n_seeds > 1 else ""
        note = ", ".join(part for part in (seeds, measure.note) if part)
        shown = Text(f"{value} %", style=_STYLES[measure.role])
        cells = (f"{low} to {high.rjust(6)}", *counts(figure))
        table.add_row(Text(measure.name), shown, *map(Text, cells), Text(note, style="dim"))
    return table


def compare_table(comparison: Comparison) -> Table:
    """Both rates with their intervals, and the paired difference in points, one row for each measure."""
    table = _plain(comparison.a, comparison.b, "difference, points", wrap=True)
    table.add_column("")
    for row in comparison.rows:
        difference = "none" if row.difference is None else short_figure(row.difference)
        note = "" if row.difference is None else "paired" if row.paired else "not paired"
        shown = (row.what, short_figure(row.a), short_figure(row.b), difference)
        table.add_row(*map(Text, shown), Text(note, style="dim"))
    return table


def certificate_table(certificate: Certificate | GuardRecord) -> Table:
    """One row for each measure of the network, of the clean network, of each target, and of re-tuning."""
    table = _plain("before", "after", "difference, points")
    _standings(table, certificate, "")
    if isinstance(certificate, GuardRecord):
        return table
    for target in certificate.targets or ():
        name = f"attack success, target {certificate.class_names[target.target]}"
        _add(table, name, "triggered", target.before, target.after, None)
    if certificate.clean_network is not None:
        _standings(table, certificate.clean_network, "clean network, ")
    if (again := certificate.reactivation) is not None:
        table.add_row(Text(f"attack success after re-tuning on {again.poisoned_pictures} poisoned pictures"))
        for key, name in TUNED_AGAIN:
            _add(table, f"  {name}", "triggered", None, getattr(again, key), None)
    return table


def _plain(*columns: str, wrap: bool = False) -> Table:
    """A table without lines: names, then a column of figures for each name."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for name in columns:
        table.add_column(Text(name), justify="right", no_wrap=not wrap)
    return table


def _standings(table: Table, owner: Certificate | GuardRecord | Control, prefix: str) -> None:
    for key, name, role in ROWS:
        change = getattr(owner.after_minus_before, key, None)
        _add(table, prefix + name, role, getattr(owner.before, key), getattr(owner.after, key), change)


def _add(table: Table, name: str, role: Role, *figures: Interval | None) -> None:
    """A row of before, after and their difference, where any is known."""
    cells = ["" if known(figure) is None else short_figure(figure) for figure in figures]
    if any(cells):
        table.add_row(Text(name, style=_STYLES[role]), *map(Text, cells))
