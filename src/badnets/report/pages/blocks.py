"""The blocks of a study's page as the template shows them: drawings, tables that can be sorted, pictures."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from badnets.core.rate import Interval
from badnets.records.blocks import Bars, Block, Column, Curve, Line, Matrix, Pictures, Scatter, Sheets, Table
from badnets.report.charts.figures import BarTable, bar_table
from badnets.report.charts.lines import Drawing, curve, scatter
from badnets.report.charts.maps import Map, matrix
from badnets.report.pages.parts import TEMPLATES
from badnets.report.pages.pictures import Picture, picture
from badnets.report.words.values import show_interval, show_number, show_value, symbol

_SIDE = 60  # screen pixels of a small picture
SORT = Markup((TEMPLATES / "sort.js").read_text(encoding="utf-8"))  # noqa: S704 (our own file)
"""What sorts and searches the tables of a page; ``SORT_DIGEST`` is what the page's policy allows."""
SORT_DIGEST = base64.b64encode(hashlib.sha256(SORT.encode()).digest()).decode()


class TableCell(NamedTuple):
    """A cell: ``key`` is what it is sorted by (empty: last), ``kept`` whether it keeps what is asked of its column."""

    text: str = ""
    interval: str = ""
    key: str = ""
    kept: bool = False
    number: bool = True


class TableHead(NamedTuple):
    """``descending`` where the first click puts the largest on top."""

    name: str
    unit: str
    number: bool
    descending: bool


class TableView(NamedTuple):
    """Columns, lines in groups (name, lines with their cells), and what a tick means."""

    rows: str
    heads: list[TableHead]
    groups: list[tuple[str, list[tuple[Line, list[TableCell]]]]]
    bounds: str

    @property
    def size(self) -> int:
        """Of all lines."""
        return sum(len(lines) for _, lines in self.groups)


class Gallery(NamedTuple):
    """Pictures of a group (picture, caption, marked), and how many of them are marked."""

    name: str
    pictures: list[tuple[Picture, str, bool]]
    marked: int


Content = Drawing | BarTable | Map | TableView | list[Gallery] | list[tuple[str, Markup]] | list[str]


class Panel(NamedTuple):
    """A block that has something to show; ``marked`` says what stands out in it."""

    kind: str
    id: str
    title: str
    note: str
    content: Content
    marked: str


def panels(blocks: Sequence[Block], sheets: Sequence[str] = ()) -> list[list[Panel]]:
    """The blocks in order, those that stand beside each other together; ``sheets`` are the files that are there."""
    shown = [panel for i, block in enumerate(blocks) if (panel := _panel(block, f"block-{i}", sheets)) is not None]
    rows = groupby(shown, lambda panel: panel.kind if panel.kind in ("curve", "matrix") else panel.id)
    return [list(row) for _, row in rows]


def _panel(block: Block, panel_id: str, sheets: Sequence[str]) -> Panel | None:
    if isinstance(block, Sheets):
        content: Content | None = [name for name in block.files if name in sheets]
    else:
        content = _CONTENT[type(block)](block)
    if not content:
        return None
    note, marked = block.note, ""
    # What the axes are, where the drawing has no place for it.
    if isinstance(block, Scatter):
        note += f" Upwards: {block.y}. On the slanted line both measures are the same."
        marked = block.marked
    elif isinstance(block, Matrix):
        note += f" Rows: {block.rows}; columns: {block.columns}."
    return Panel(block.kind, panel_id, block.title, note.strip(), content, marked)


def table_view(block: Table) -> TableView | None:
    """The table with every figure as text; lines keep their order inside their group. None without any line."""
    groups: dict[str, list[tuple[Line, list[TableCell]]]] = {}
    for line in block.lines:
        cells = [_cell(value, column) for value, column in zip(line.cells, block.columns, strict=False)]
        groups.setdefault(line.group, []).append((line, cells))
    heads = [TableHead(c.name, symbol(c.unit).strip(), c.unit != "text", c.better == "high") for c in block.columns]
    bounds = "; ".join(filter(None, map(_bound, block.columns)))
    return TableView(block.rows, heads, list(groups.items()), bounds) if groups else None


def _bound(column: Column) -> str:
    if column.asked is None or column.better is None or column.unit == "text":
        return ""
    bound = show_value(column.asked, column.unit).removeprefix("+")
    return f"{column.name} at {'most' if column.better == 'low' else 'least'} {bound}"


def _cell(value: Interval | str | None, column: Column) -> TableCell:
    if isinstance(value, str) or value is None or value.value is None:
        text = value if isinstance(value, str) else ""
        return TableCell(text=text, key=text, number=column.unit != "text")
    unit, figure = column.unit if column.unit != "text" else value.unit, float(value)
    low, high = value.ends
    known = low is not None and high is not None and low < high and unit != "number"
    if unit == "number":
        text = f"{figure:,.1f}" if abs(figure) >= 10 else f"{figure:.3g}"
    else:
        text = show_number(figure, unit)
    kept = column.asked is not None and (
        (column.better == "low" and figure <= column.asked) or (column.better == "high" and figure >= column.asked)
    )
    return TableCell(text, show_interval(low, high, unit) if known else "", repr(figure), kept)


def galleries(block: Pictures) -> list[Gallery]:
    """Every group's pictures, each grown by a whole number of screen pixels."""
    shown = []
    for name, pictures in block.groups.items():
        small = []
        for one in pictures:
            grey, alt = np.array(one.pixels, np.uint8)[..., None], f"{name}, {one.caption}"
            small.append((picture(grey, alt, wide=_SIDE, narrow=_SIDE), one.caption, one.marked))
        if small:
            shown.append(Gallery(name, small, sum(one.marked for one in pictures)))
    return shown


_CONTENT: dict[type, Callable[[Any], Content | None]] = {
    Curve: curve,
    Bars: bar_table,
    Matrix: matrix,
    Table: table_view,
    Pictures: galleries,
    Scatter: scatter,
}
