"""A study's matrices: figures of pairs, such as true and wanted class; the larger, the stronger the color."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from badnets.core.text import percent
from badnets.records.blocks import Cell, Matrix
from badnets.report.charts.confusion import SIDE, shorten, square
from badnets.report.charts.svg import element
from badnets.report.words.values import show_value

_LEAST_FULL = 0.01  # the strongest color is 1 % or more, or single pictures would look like failures
_LETTERS = 17  # of a name beside its row
_ALL_NAMED = 25  # up to this many rows each has its name, beyond it every fifth
_WIDTH = 8.2  # of a letter, with room for fonts that are wider than ours


@dataclass(frozen=True, kw_only=True)
class Map:
    """A drawn matrix, and its figures in words."""

    svg: Markup
    words: str


def matrix(block: Matrix) -> Map | None:
    """The map, with a blank where there is no figure; None without any."""
    cells = [cell for cell in block.cells if cell.figure.value is not None]
    if not cells:
        return None
    unit = cells[0].figure.unit
    full = max(_LEAST_FULL, *(float(cell.figure) for cell in cells))
    size = SIDE / max(len(block.row_names), len(block.column_names))
    drawn = [_square(cell, block, size, full) for cell in cells]
    largest = sorted(cells, key=lambda cell: -float(cell.figure))[:3]
    named = [f"{_pair(c, block)}: {show_value(float(c.figure), unit)}" for c in largest if float(c.figure) > 0]
    worst = f"Largest: {'; '.join(named)}. " if named else ""
    words = f"{_together(cells)}{worst}The strongest color is {show_value(full, unit)}."
    return Map(svg=_framed(drawn, block, size, words), words=words)


def _pair(cell: Cell, block: Matrix) -> str:
    return f"{block.row_names[cell.row]} → {block.column_names[cell.column]}"


def _together(cells: Sequence[Cell]) -> str:
    counts = [cell.figure.counts for cell in cells]
    known = [count for count in counts if count is not None]
    if len(known) < len(cells):
        return ""
    hits, total = (sum(column) for column in zip(*known, strict=True))
    return f"Together {percent(hits / total)} % ({hits:,} of {total:,}). "


def _square(cell: Cell, block: Matrix, size: float, full: float) -> Markup:
    value = float(cell.figure)
    counts = cell.figure.counts
    behind = "" if counts is None else f" ({counts[0]:,} of {counts[1]:,})"
    text = f"{_pair(cell, block)}: {show_value(value, cell.figure.unit)}{behind}"
    strength = 0.12 + 0.88 * max(value, 0.0) / full if value > 0 else 0.0
    written = _short(value, cell.figure.unit)
    return square((cell.row, cell.column), size, block.role, strength, written, text)


def _short(value: float, unit: str) -> str:
    """A few figures; ``"0"`` only where there is nothing at all."""
    if not value or unit == "number":
        return f"{value:.3g}"
    shown = f"{100 * value:.3g}" if abs(value) >= 0.1 else percent(value)
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _framed(cells: Sequence[Markup], block: Matrix, size: float, words: str) -> Markup:
    """Names at the left and above; long ones above stand aslant."""
    rows, columns = ([shorten(name, _LETTERS) for name in names] for names in (block.row_names, block.column_names))
    longest = max(map(len, columns))
    aslant = _WIDTH * longest > size
    left = 14 + _WIDTH * max(map(len, rows))
    top = 16 + 0.6 * _WIDTH * longest if aslant else 24.0
    width, height = size * len(columns), size * len(rows)
    right = 0.8 * _WIDTH * longest if aslant else 2.0
    drawn = [element("title", block.title), element("desc", words)]
    drawn += [
        element("text", rows[i], x=left - 6, y=top + (i + 0.5) * size + 5, text_anchor="end")
        for i in range(0, len(rows), 1 if len(rows) <= _ALL_NAMED else 5)
    ]
    for j in range(0, len(columns), 1 if len(columns) <= _ALL_NAMED else 5):
        x, y = left + (j + 0.5) * size, top - 7
        turned = {"transform": f"rotate(-38 {x:g} {y:g})"} if aslant else {"text_anchor": "middle"}
        drawn.append(element("text", columns[j], x=x, y=y, **turned))
    drawn.append(element("g", *cells, transform=f"translate({left:g} {top:g})"))
    drawn.append(element("rect", x=left, y=top, width=width, height=height, class_="frame"))
    box = f"0 0 {left + width + right:g} {top + height + 2:g}"
    return element("svg", *drawn, class_="heat", viewBox=box, role="img", aria_label=block.title)
