"""The rates of a run as a terminal table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from badnets.core.text import percent
from badnets.report.words.facts import Record, is_detector, result, rule
from badnets.report.words.measures import Measure, measures_of

FIGURE_SPACE = "\N{FIGURE SPACE}"  # as wide as a digit, so that padded numbers align on the decimal point


def measured(record: Record) -> list[tuple[Measure, Mapping[str, Any]]]:
    """The measures that this record has, in the order of the table."""
    known = measures_of(detector=is_detector(record), rule=str(rule(record).get("kind")))
    found = ((measure, result(record, measure.key)) for measure in known)
    return [(measure, rate) for measure, rate in found if rate is not None]


def padded(value: float | None, width: int = 6) -> str:
    """A percentage of fixed width, so that the decimal points of a column stand below each other."""
    return percent(value).rjust(width, FIGURE_SPACE)


def counts(rate: Mapping[str, Any]) -> tuple[str, str]:
    """``("1,909", "of 1,920")``; empty for a figure that is no count, such as mean average precision."""
    return (f"{rate['hits']:,}", f"of {rate['total']:,}") if "hits" in rate else ("", "")


def terminal_table(record: Record) -> Table:
    """Name, value, interval, counts of each rate, aligned."""
    table = Table.grid(padding=(0, 2), pad_edge=True)
    table.add_column()
    for _ in range(4):
        table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for measure, rate in measured(record):
        style = "blue" if measure.role == "clean" else "dark_orange"
        interval = f"{percent(rate['low'])} to {percent(rate['high']).rjust(6)}"
        hits, total = counts(rate)
        note = f"in {len(rate['seeds'])} seeds" if rate.get("seeds") else ""
        note = ", ".join(part for part in (note, measure.note) if part)
        value = Text(f"{percent(rate['value'])} %", style=style)
        table.add_row(Text(measure.name), value, Text(interval), Text(hits), Text(total), Text(note, style="dim"))
    if not table.rows:
        table.add_row(Text("nothing was measured"), "", "", "", "", "")
    return table
