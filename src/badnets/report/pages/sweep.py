"""A sweep: in the terminal, as a page with the figure that answers its question, and as a table for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from badnets.core.rate import Interval
from badnets.core.text import bare, brief
from badnets.records.blocks import Bar, Bars, Block, Column, Curve, Line, Matrix, Role, Series
from badnets.records.blocks import Cell as Square
from badnets.records.blocks import Table as Lines
from badnets.records.sweep import Cell, SweepRecord
from badnets.report.pages.blocks import SORT, SORT_DIGEST, panels
from badnets.report.pages.parts import render

SHOWN: dict[str, tuple[str, Role]] = {
    "clean_accuracy": ("clean accuracy", "clean"),
    "map50": ("mAP@0.5", "clean"),
    "asr": ("attack success", "triggered"),
}
MOST_BARS = 30


def sweep_table(record: SweepRecord) -> Table:
    """A row for each combination of settings: its values, how many seeds are done, and figures with intervals."""
    axes, figures = _axes(record), _figures(record)
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for axis in axes:
        table.add_column(_short(axis))
    table.add_column("done", justify="right")
    for name in figures:
        table.add_column(f"{SHOWN[name][0]} %", justify="right", no_wrap=True)
    for cell in record.cells:
        values = (_cell_text(cell.axes.get(axis, "")) for axis in axes)
        shown = (_with_interval(cell.figures.get(name)) for name in figures)
        table.add_row(*map(Text, values), f"{cell.done} of {cell.of}", *map(Text, shown))
    return table


def sweep_csv(record: SweepRecord) -> str:
    """A line for each task: where it stands on the axes, its state, and each figure with the ends of its interval."""
    axes = list(dict.fromkeys(key for task in record.tasks for key in task.axes))
    names = list(dict.fromkeys(name for task in record.tasks for name in task.figures))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", *axes, "state", *(f"{name}{end}" for name in names for end in ("", "_low", "_high"))])
    for task in record.tasks:
        figures = (task.figures.get(name) for name in names)
        numbers = (number for one in figures for number in ((None,) * 3 if one is None else (one.value, *one.ends)))
        writer.writerow([task.id, *(task.axes.get(axis, "") for axis in axes), task.state, *numbers])
    return text.getvalue()


def render_sweep(record: SweepRecord, *, command: str) -> str:
    """The page as HTML text; it lies in the store, beside the folders of the tasks."""
    blocks = [*_answers(record), _lines(record)]
    failed = [task for task in record.tasks if task.state == "failed"]
    return render(
        "sweep.html.j2",
        title=record.name,
        finding=_finding(record),
        summary=_summary(record),
        blocks=panels(blocks),
        failed=failed,
        said=axes_said,
        command=command,
        script=SORT,
        script_digest=SORT_DIGEST,
    )


def _finding(record: SweepRecord) -> str:
    """What the figures span."""
    for name in ("asr", "clean_accuracy", "map50"):
        found = [cell.figures[name] for cell in record.cells if name in cell.figures]
        there = sorted((one for one in found if one.value is not None), key=float)
        if len(there) > 1:
            low, high = (bare(one)[0] for one in (there[0], there[-1]))
            span = f"from {low} to {high} %" if low != high else f"{low} % everywhere"
            return f"{SHOWN[name][0][0].upper()}{SHOWN[name][0][1:]} {span}"
    return f"{record.name}: {record.counts['done']:,} of {len(record.tasks):,} trainings done"


def _summary(record: SweepRecord) -> str:
    states = ", ".join(f"{count:,} {state}" for state, count in record.counts.items() if count)
    return f"{record.name} · {len(record.tasks):,} trainings: {states}"


def _answers(record: SweepRecord) -> list[Block]:
    """The figure of a sweep over one axis of numbers is a curve, over two axes a matrix, else bars."""
    axes, figures = _axes(record), _figures(record)
    done = [cell for cell in record.cells if cell.figures]
    if not done or not axes or not figures:
        return []
    if len(axes) == 1 and all(_number(cell.axes.get(axes[0])) for cell in record.cells):
        places = [(float(cell.axes[axes[0]]), cell) for cell in done]
        series = [
            Series.of(SHOWN[name][0], SHOWN[name][1], [(x, cell.figures.get(name)) for x, cell in places])
            for name in figures
        ]
        share = axes[0].endswith("rate")
        return [Curve(title=f"By {_short(axes[0])}", axis=_short(axes[0]), percent_axis=share, series=tuple(series))]
    if len(axes) == 2:
        return [_matrix(name, axes, done) for name in figures]
    bars = [
        Bar(name=axes_said(cell.axes), what=SHOWN[name][0], figure=cell.figures[name], role=SHOWN[name][1])
        for cell in done[:MOST_BARS]
        for name in figures
        if name in cell.figures
    ]
    return [Bars(title="All settings" if len(done) <= MOST_BARS else f"The first {MOST_BARS}", bars=tuple(bars))]


def _matrix(name: str, axes: Sequence[str], cells: Sequence[Cell]) -> Matrix:
    rows, columns = (list(dict.fromkeys(_cell_text(cell.axes.get(axis, "")) for cell in cells)) for axis in axes)
    squares = [
        Square(
            row=rows.index(_cell_text(cell.axes.get(axes[0], ""))),
            column=columns.index(_cell_text(cell.axes.get(axes[1], ""))),
            figure=cell.figures[name],
        )
        for cell in cells
        if name in cell.figures
    ]
    return Matrix(
        title=SHOWN[name][0],
        role=SHOWN[name][1],
        rows=_short(axes[0]),
        columns=_short(axes[1]),
        row_names=tuple(rows),
        column_names=tuple(columns),
        cells=tuple(squares),
    )


def _lines(record: SweepRecord) -> Block:
    """A line for each combination, which leads to the page of each of its runs."""
    axes, figures = _axes(record), _figures(record)
    pages: dict[str, list[tuple[str, str]]] = {}
    for task in record.tasks:
        if task.state == "done":
            words = f"seed {task.axes['seed']}" if "seed" in task.axes else "its page"
            pages.setdefault(axes_said(task.axes), []).append((words, f"{task.id}/report.html"))
    lines = []
    for cell in record.cells:
        name = axes_said(cell.axes)
        values = [_cell_text(cell.axes.get(axis, "")) for axis in axes[1:]]
        shown = [cell.figures.get(one) for one in figures]
        first = _cell_text(cell.axes.get(axes[0], "")) if axes else name
        lines.append(
            Line(name=first, links=tuple(pages.get(name, ())), cells=(*values, f"{cell.done} of {cell.of}", *shown))
        )
    columns = [Column(name=_short(axis), unit="text") for axis in axes[1:]]
    columns += [Column(name="done", unit="text"), *(Column(name=SHOWN[one][0], better="high") for one in figures)]
    return Lines(
        title="Every setting", rows=_short(axes[0]) if axes else "spec", columns=tuple(columns), lines=tuple(lines)
    )


def _cell_text(value: Any) -> str:
    return brief(str(value), 40)


def axes_said(axes: dict[str, Any]) -> str:
    """``rate = 0.1, size = 4``, without the seed."""
    said = (f"{_short(key)} {_cell_text(value)}" for key, value in axes.items() if key != "seed")
    return ", ".join(said) or "its only spec"


def _axes(record: SweepRecord) -> list[str]:
    return list(dict.fromkeys(key for cell in record.cells for key in cell.axes))


def _figures(record: SweepRecord) -> list[str]:
    return [name for name in SHOWN if any(name in cell.figures for cell in record.cells)]


def _short(axis: str) -> str:
    return axis.removeprefix("backdoor.").replace(".", " ").replace("_", " ")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _with_interval(figure: Interval | None) -> str:
    if figure is None:
        return ""
    value, low, high = bare(figure)
    return f"{value} ({low} to {high})"
