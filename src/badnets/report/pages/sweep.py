"""A sweep in the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from badnets.core.rate import Interval
from badnets.core.text import bare, brief
from badnets.records.sweep import SweepRecord

SHOWN = {
    "clean_accuracy": "clean accuracy %",
    "map50": "mAP@0.5 %",
    "asr": "attack success %",
}


def sweep_table(record: SweepRecord) -> Table:
    """A row for each combination of settings: its values, how many seeds are done, and figures with intervals."""
    axes = list(dict.fromkeys(key for cell in record.cells for key in cell.axes))
    figures = [name for name in SHOWN if any(name in cell.figures for cell in record.cells)]
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for axis in axes:
        table.add_column(axis.removeprefix("backdoor."))
    table.add_column("done", justify="right")
    for name in figures:
        table.add_column(SHOWN[name], justify="right", no_wrap=True)
    for cell in record.cells:
        values = (brief(str(cell.axes.get(axis, "")), 30) for axis in axes)
        shown = (_shown(cell.figures[name]) if name in cell.figures else "" for name in figures)
        table.add_row(*map(Text, values), f"{cell.done} of {cell.of}", *map(Text, shown))
    return table


def _shown(figure: Interval) -> str:
    value, low, high = bare(figure)
    return f"{value} ({low} to {high})"
