"""The rates of a run as a terminal table."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from badnets.core.rate import Interval
from badnets.core.text import bare
from badnets.records.results import Evaluation
from badnets.records.run import RunRecord
from badnets.report.words.measures import measured

FIGURE_SPACE = "\N{FIGURE SPACE}"  # as wide as a digit, so that padded numbers align on the decimal point
STYLES = {"clean": "blue", "triggered": "dark_orange"}
"""Colors of a role in a terminal."""


def right(shown: str, width: int = 6) -> str:
    """A number in fixed width, so that the decimal points of a column stand below each other."""
    return shown.rjust(width, FIGURE_SPACE)


def counts(figure: Interval) -> tuple[str, str]:
    """``("1,909", "of 1,920")``; empty for a figure that is no count, such as mean average precision."""
    return ("", "") if figure.counts is None else (f"{figure.counts[0]:,}", f"of {figure.counts[1]:,}")


def plain_table(*columns: str) -> Table:
    """A table without lines: names, then a column of figures for each name."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for name in columns:
        table.add_column(Text(name), justify="right", no_wrap=True)
    return table


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
        shown = Text(f"{value} %", style=STYLES[measure.role])
        cells = (f"{low} to {high.rjust(6)}", *counts(figure))
        table.add_row(Text(measure.name), shown, *map(Text, cells), Text(note, style="dim"))
    return table
