"""Several runs on one page, and two runs in a terminal table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from badnets.core.text import short_figure
from badnets.records.results import Comparison
from badnets.records.run import RunRecord
from badnets.report.pages.parts import Line, measured_lines
from badnets.report.pages.templating import render
from badnets.report.words.measures import measured
from badnets.report.words.names import summary
from badnets.report.words.verdict import verdict

_ON_THE_TRACK = ("clean_accuracy", "map50", "asr", "clean_reference_rate")


def render_compare(records: Sequence[RunRecord]) -> str:
    """One self-contained page: each run with its verdict and its rates as dots on one common axis."""
    return render(
        "compare.html.j2",
        title=f"{len(records)} runs",
        runs=[(record.name, summary(record), verdict(record), _lines(record)) for record in records],
    )


def _lines(record: RunRecord) -> list[Line]:
    return measured_lines((m, figure) for m, figure in measured(record) if m.key in _ON_THE_TRACK)


def compare_table(comparison: Comparison) -> Table:
    """Both rates with their intervals, and the paired difference in points, one row for each measure."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for name in (comparison.a, comparison.b, "difference, points"):
        table.add_column(Text(name), justify="right")
    table.add_column("")
    for row in comparison.rows:
        told = "none" if row.difference is None else short_figure(row.difference)
        note = "" if row.difference is None else "paired" if row.paired else "not paired"
        shown = (row.what, short_figure(row.a), short_figure(row.b), told)
        table.add_row(*map(Text, shown), Text(note, style="dim"))
    return table
