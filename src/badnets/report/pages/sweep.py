"""A sweep: in the terminal, as a page with the figure that answers its question, and as a table for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
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
SHARES = ("poison.rate", "data.select", "data.test_share")
"""How axes end whose numbers are shares."""


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
    ends = ("", "_low", "_high", "_hits", "_total")
    writer.writerow(["id", *axes, "state", *(f"{name}{end}" for name in names for end in ends), "error"])
    for task in record.tasks:
        numbers = (number for name in names for number in _numbers(task.figures.get(name)))
        writer.writerow([task.id, *(task.axes.get(axis, "") for axis in axes), task.state, *numbers, task.error])
    return text.getvalue()


def _numbers(figure: Interval | None) -> tuple[float | None, ...]:
    """Value, ends, and what was counted, if anything was."""
    if figure is None:
        return (None,) * 5
    return figure.value, *figure.ends, *(figure.counts or (None, None))


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
    parts = [record.name, *_made_of(record), f"{len(record.tasks):,} trainings: {states}"]
    if _selects(record):
        parts.append("measured on a select set, not on the test set")
    return " · ".join(parts)


def _made_of(record: SweepRecord) -> list[str]:
    """Data and network, as far as all tasks have the same."""
    data, network = record.spec.get("data"), record.spec.get("network")
    return [brief(str(one), 60) for one in (data and data["name"], network) if one]


def _selects(record: SweepRecord) -> bool:
    data = record.spec.get("data")
    return bool(data and data.get("select")) or any("data.select" in task.axes for task in record.tasks)


def _answers(record: SweepRecord) -> list[Block]:
    """The figure of a sweep over one axis of numbers is a curve, over two axes a matrix, else bars."""
    figures = _figures(record)
    axes = [axis for axis in _axes(record) if len({_key(cell.axes.get(axis)) for cell in record.cells}) > 1]
    done = [cell for cell in record.cells if cell.figures]
    if not done or not axes or not figures:
        return []
    if len(axes) == 1 and all(_number(cell.axes.get(axes[0])) for cell in record.cells):
        places = [(float(cell.axes[axes[0]]), cell) for cell in done]
        series = [
            Series.of(SHOWN[name][0], SHOWN[name][1], [(x, cell.figures.get(name)) for x, cell in places])
            for name in figures
        ]
        share = axes[0].endswith(SHARES)
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
    rows, columns = ({_key(cell.axes.get(axis)): cell.axes.get(axis) for cell in cells} for axis in axes)
    squares = [
        Square(
            row=list(rows).index(_key(cell.axes.get(axes[0]))),
            column=list(columns).index(_key(cell.axes.get(axes[1]))),
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
        row_names=_labels(list(rows.values())),
        column_names=_labels(list(columns.values())),
        cells=tuple(squares),
    )


def _lines(record: SweepRecord) -> Block:
    """A line for each combination, which leads to the page of each of its runs."""
    axes, figures = _axes(record), _figures(record)
    pages: dict[str, list[tuple[str, str]]] = {}
    for task in record.tasks:
        if task.state == "done":
            words = f"seed {task.axes['seed']}" if "seed" in task.axes else "its page"
            pages.setdefault(_place(task.axes), []).append((words, f"{task.id}/report.html"))
    lines = []
    for cell in record.cells:
        name = axes_said(cell.axes)
        links = tuple(pages.get(_place(cell.axes), ()))
        values = [_cell_text(cell.axes.get(axis, "")) for axis in axes[1:]]
        shown = [cell.figures.get(one) for one in figures]
        first = _cell_text(cell.axes.get(axes[0], "")) if axes else name
        lines.append(Line(name=first, links=links, cells=(*values, f"{cell.done} of {cell.of}", *shown)))
    columns = [Column(name=_short(axis), unit="text") for axis in axes[1:]]
    columns += [Column(name="done", unit="text"), *(Column(name=SHOWN[one][0], better="high") for one in figures)]
    return Lines(
        title="Every setting", rows=_short(axes[0]) if axes else "spec", columns=tuple(columns), lines=tuple(lines)
    )


def _cell_text(value: Any) -> str:
    return brief(str(value), 40)


def _key(value: Any) -> str:
    """What tells values apart, also those that are alike where they are shortened."""
    return json.dumps(value, sort_keys=True, default=str)


def _place(axes: dict[str, Any]) -> str:
    return _key({key: value for key, value in axes.items() if key != "seed"})


def _labels(values: Sequence[Any]) -> tuple[str, ...]:
    """A text for each; of tables what differs."""
    texts = [_cell_text("" if value is None else value) for value in values]
    if all(isinstance(value, dict) for value in values):
        keys = [key for key in values[0] if len({_key(value.get(key)) for value in values}) > 1]
        texts = [_cell_text(", ".join(f"{key} {value.get(key)}" for key in keys)) for value in values]
    return tuple(text if texts.count(text) == 1 else f"{text} ({number})" for number, text in enumerate(texts, 1))


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
