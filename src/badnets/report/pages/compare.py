"""Several runs on one page, and two runs in a terminal table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from badnets.core.old import format_rate
from badnets.core.text import percent
from badnets.report.charts.figures import glyph, mark, track
from badnets.report.pages.table import measured
from badnets.report.pages.templating import render
from badnets.report.words.facts import points, rate, run_name, summary
from badnets.report.words.verdict import verdict

_ON_THE_TRACK = ("clean_accuracy", "map50", "asr", "clean_reference_rate")


def render_compare(records: Sequence[Mapping[str, Any]]) -> str:
    """One self-contained page: each run with its verdict and its rates as dots on one common axis."""
    return render(
        "compare.html.j2",
        title=f"{len(records)} runs",
        runs=[_run(record) for record in records],
        glyphs={"clean": glyph("clean"), "triggered": glyph("triggered"), "reference": glyph("triggered", hollow=True)},
    )


def _run(record: Mapping[str, Any]) -> dict[str, Any]:
    found = [(m, r) for m, r in measured(record) if m.key in _ON_THE_TRACK]
    marks = [mark(r, m.role, hollow=m.reference, name=m.name) for m, r in found]
    return {
        "name": run_name(record),
        "summary": summary(record),
        "verdict": verdict(record),
        "track": track(marks) if marks else None,
        "rates": [
            {"name": m.name, "glyph": glyph(m.role, hollow=m.reference), "text": format_rate(dict(r))} for m, r in found
        ],
    }


def compare_table(comparison: Mapping[str, Any]) -> Table:
    """Both rates with their intervals, and the paired difference in points, one row for each measure."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    table.add_column(Text(str(comparison.get("a") or "A")), justify="right")
    table.add_column(Text(str(comparison.get("b") or "B")), justify="right")
    table.add_column(Text("difference, points"), justify="right")
    table.add_column("")
    for row in comparison.get("rows") or ():
        note = "" if row.get("difference") is None else "paired" if row.get("paired") else "not paired"
        table.add_row(
            Text(str(row.get("what") or "")),
            Text(_short(rate(row, "a"))),
            Text(_short(rate(row, "b"))),
            Text(_points(rate(row, "difference"))),
            Text(note, style="dim"),
        )
    return table


def _short(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "none"
    return f"{percent(found['value'])} % ({percent(found['low'])} to {percent(found['high'])})"


def _points(difference: Mapping[str, Any] | None) -> str:
    if difference is None:
        return "none"
    return f"{points(difference['value'])} ({points(difference['low'])} to {points(difference['high'])})"
