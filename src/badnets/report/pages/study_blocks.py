"""The blocks of a study's page as the template shows them: drawings, tables that can be sorted, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from markupsafe import Markup

from badnets.core.rate import Interval
from badnets.records.blocks import Bars, Block, Column, Curve, Line, Matrix, Pictures, Scatter, Sheets, Table
from badnets.report.charts.bars import BarTable, bar_table
from badnets.report.charts.curve import Drawing, curve
from badnets.report.charts.figures import glyph
from badnets.report.charts.matrix import Map, matrix
from badnets.report.charts.pictures import Picture, picture
from badnets.report.charts.scatter import scatter
from badnets.report.words.values import show_interval, show_number, show_value

_SIDE = 60  # screen pixels of a small picture
_BESIDE = (Curve, Matrix)
_UNITS = {"rate": "%", "difference": "points"}


@dataclass(frozen=True, kw_only=True)
class TableCell:
    """A cell: ``key`` is what it is sorted by (empty: last), ``kept`` whether it keeps what is asked of its column."""

    text: str = ""
    interval: str = ""
    key: str = ""
    kept: bool = False
    number: bool = True


@dataclass(frozen=True, kw_only=True)
class TableHead:
    """``descending`` where the first click puts the largest on top."""

    name: str
    unit: str
    number: bool
    descending: bool


@dataclass(frozen=True, kw_only=True)
class TableView:
    """Columns, lines in groups (name, lines with their cells), and what a tick means."""

    rows: str
    heads: tuple[TableHead, ...]
    groups: tuple[tuple[str, tuple[tuple[Line, tuple[TableCell, ...]], ...]], ...]
    asked: str


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Pictures of a group (picture, caption, marked), and which of them are marked."""

    name: str
    pictures: tuple[tuple[Picture, str, bool], ...]
    marked: int


Content = Drawing | BarTable | Map | TableView | list[Gallery] | list[tuple[str, Markup]] | list[str]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A block that has something to show; ``key`` is the mark of what stands out, with its words."""

    kind: str
    id: str
    title: str
    note: str
    content: Content
    key: tuple[Markup, str] | None = None


def panels(blocks: Sequence[Block], sheets: Sequence[str] = ()) -> list[list[Panel]]:
    """The blocks in order, those that stand beside each other together; ``sheets`` are the files that are there."""
    made = [(block, _panel(block, f"block-{i}", sheets)) for i, block in enumerate(blocks)]
    shown = [(block, panel) for block, panel in made if panel is not None]
    rows = groupby(enumerate(shown), lambda n: n[1][0].kind if isinstance(n[1][0], _BESIDE) else n[0])
    return [[panel for _, (_, panel) in row] for _, row in rows]


def _panel(block: Block, name: str, sheets: Sequence[str]) -> Panel | None:
    content = _content(block, sheets)
    if not content:
        return None
    key = (glyph("triggered"), block.marked) if isinstance(block, Scatter) and block.marked else None
    return Panel(kind=block.kind, id=name, title=block.title, note=_note(block), content=content, key=key)


def _note(block: Block) -> str:
    """The block's own, and what its axes are where the drawing has no place for it."""
    if isinstance(block, Scatter):
        axes = f"Upwards: {block.y}. On the slanted line both measures are the same."
    elif isinstance(block, Matrix):
        axes = f"Rows: {block.rows}; columns: {block.columns}."
    else:
        axes = ""
    return f"{block.note} {axes}".strip()


def _content(block: Block, sheets: Sequence[str]) -> Content | None:
    if isinstance(block, Curve):
        return curve(block)
    if isinstance(block, Bars):
        return bar_table(block)
    if isinstance(block, Matrix):
        return matrix(block)
    if isinstance(block, Table):
        return table_view(block) if block.lines else None
    if isinstance(block, Pictures):
        return galleries(block)
    if isinstance(block, Scatter):
        return scatter(block)
    return [name for name in block.files if name in sheets] if isinstance(block, Sheets) else None


def table_view(block: Table) -> TableView:
    """The table with every figure as text; lines keep their order inside their group."""
    groups: dict[str, list[tuple[Line, tuple[TableCell, ...]]]] = {}
    for line in block.lines:
        cells = tuple(_cell(value, column) for value, column in zip(line.cells, block.columns, strict=False))
        groups.setdefault(line.group, []).append((line, cells))
    asked = [text for column in block.columns if (text := _asked(column))]
    return TableView(
        rows=block.rows,
        heads=tuple(
            TableHead(
                name=column.name,
                unit=_UNITS.get(column.unit, ""),
                number=column.unit != "text",
                descending=column.better == "high",
            )
            for column in block.columns
        ),
        groups=tuple((name, tuple(lines)) for name, lines in groups.items()),
        asked="; ".join(asked),
    )


def _asked(column: Column) -> str:
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
    return TableCell(
        text=_plain(figure) if unit == "number" else show_number(figure, unit),
        interval=show_interval(low, high, unit) if known else "",
        key=repr(figure),
        kept=_kept(figure, column),
    )


def _plain(value: float) -> str:
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _kept(figure: float, column: Column) -> bool:
    if column.asked is None or column.better is None:
        return False
    return figure <= column.asked if column.better == "low" else figure >= column.asked


def galleries(block: Pictures) -> list[Gallery]:
    """Every group's pictures, each grown by a whole number of screen pixels."""
    return [
        Gallery(
            name=name,
            pictures=tuple((_small(one.pixels, f"{name}, {one.caption}"), one.caption, one.marked) for one in pictures),
            marked=sum(one.marked for one in pictures),
        )
        for name, pictures in block.groups.items()
        if pictures
    ]


def _small(pixels: Sequence[Sequence[int]], alt: str) -> Picture:
    return picture(np.array(pixels, np.uint8)[..., None], alt, wide=_SIDE, narrow=_SIDE)
