"""Heat maps: confusion matrices, whose rows are the true classes and columns what the network says, and a study's
figures of pairs, such as true and wanted class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from badnets.core.text import percent
from badnets.records.blocks import Cell, Matrix, Role
from badnets.report.charts.svg import Value, element, image, number
from badnets.report.words.values import show_value

MOST_CLASSES = 100  # a larger map would be a grey veil; the largest confusions are listed instead
_NAMED = 16  # up to this many classes the rows of a confusion matrix carry names and its cells their counts
_LETTERS = 17  # of a name beside its row
_ALL_SHOWN = 25  # up to this many rows or columns each has its label, beyond it every fifth
_WIDEST = 8.5  # the widest that a letter is in the fonts of some machines, in units of the drawing
_WIDTH = 8.2  # of a letter, with room for fonts that are wider than ours
_MOST_ELEMENTS = 1000  # a map with more filled cells draws them together, or the page would grow by megabytes
_SIDE = 420.0  # of the map itself, in units of the drawing
_INK_ON_COLOR = 0.8  # from this strength on the number is written in the color of the paper
_LEAST_FULL = 0.01  # the strongest color of a matrix is 1 % or more, or single pictures would look like failures

Counts = Sequence[Sequence[int]]


class _Square(NamedTuple):
    """A cell: as opaque as ``strength``, ``written`` in its middle, ``text`` for those who ask."""

    row: int
    column: int
    strength: float
    written: str
    text: str


def heat_map(counts: Counts, names: Sequence[str], role: Role, title: str) -> Markup:
    """A confusion matrix; a cell is as strong as its share of its row, and one picture is always visible."""
    size, named = _SIDE / len(counts), len(counts) <= _NAMED
    squares = [
        _Square(i, j, _strength(count, total), str(count) * named, f"{names[i]} → {names[j]}: {count:,} of {total:,}")
        for i, (row, total) in enumerate(zip(counts, map(sum, counts), strict=True))
        for j, count in enumerate(row)
        if count
    ]
    few = len(squares) <= _MOST_ELEMENTS
    cells = [_drawn(square, size, role) for square in squares] if few else _by_strength(squares, size, role)
    numbers = [str(i) for i in range(len(counts))]
    rows, left = numbers, 34.0
    if named:
        left = 30 + _WIDEST * min(_LETTERS, max(map(len, names)))
        rows = [k if name == k else f"{shorten(name)}  {k}" for k, name in zip(numbers, names, strict=False)]
    words = description(counts, names)
    return _framed(cells, rows, numbers, size, left=left, gap=5, title=title, words=words)


def _strength(part: float, whole: float) -> float:
    """The opacity: never so low that a single picture would not be seen."""
    return 0.12 + 0.88 * part / whole


def _by_strength(squares: Sequence[_Square], size: float, role: Role) -> list[Markup]:
    """All cells of nearly one strength (steps of 0.04) as one path."""
    paths: dict[float, list[str]] = {}
    side = number(size)
    for one in squares:
        start = f"M{number(one.column * size)} {number(one.row * size)}h{side}v{side}h-{side}z"
        paths.setdefault(round(one.strength * 25) / 25, []).append(start)
    return [element("path", d="".join(d), class_=role, fill_opacity=s) for s, d in sorted(paths.items())]


def _drawn(square: _Square, size: float, role: Role) -> Markup:
    x, y = square.column * size, square.row * size
    title = element("title", square.text)
    drawn = element("rect", title, x=x, y=y, width=size, height=size, class_=role, fill_opacity=square.strength)
    if not square.written:
        return drawn
    font = min(14, 0.92 * size / (0.58 * max(3, len(square.written))))
    ink = "on-color" if square.strength > _INK_ON_COLOR else "count"
    middle = {"x": x + size / 2, "y": y + size / 2 + 0.36 * font}
    return drawn + element("text", square.written, text_anchor="middle", font_size=font, class_=ink, **middle)


def _framed(
    cells: Sequence[Markup],
    rows: Sequence[str],
    columns: Sequence[str],
    size: float,
    *,
    left: float,
    top: float = 24.0,
    right: float = 2.0,
    gap: float = 6.0,
    aslant: bool = False,
    title: str,
    words: str,
) -> Markup:
    """The cells in a frame, with labels at the left and above (``gap`` off it, ``aslant`` where they are long)."""
    labels = [
        element("text", rows[i], x=left - gap, y=top + (i + 0.5) * size + 5, text_anchor="end")
        for i in range(0, len(rows), 1 if len(rows) <= _ALL_SHOWN else 5)
    ]
    for j in range(0, len(columns), 1 if len(columns) <= _ALL_SHOWN else 5):
        x, y = left + (j + 0.5) * size, top - gap - 1
        turned: dict[str, Value] = {"transform": f"rotate(-38 {x:g} {y:g})"} if aslant else {"text_anchor": "middle"}
        labels.append(element("text", columns[j], x=x, y=y, **turned))
    width, height = size * len(columns), size * len(rows)
    inside = element("g", *cells, transform=f"translate({left:g} {top:g})")
    frame = element("rect", x=left, y=top, width=width, height=height, class_="frame")
    box = {"width": left + width + right, "height": top + height + 2}
    return image(*labels, inside, frame, **box, title=title, described=words, name="heat")


def largest_confusions(counts: Counts, names: Sequence[str]) -> list[str]:
    """The three most frequent wrong answers, ``"stop → speed limit 45: 159 of 160"``."""
    wrong = [(-count, i, j) for i, row in enumerate(counts) for j, count in enumerate(row) if i != j and count]
    return [f"{names[i]} → {names[j]}: {-count:,} of {sum(counts[i]):,}" for count, i, j in sorted(wrong)[:3]]


def description(counts: Counts, names: Sequence[str]) -> str:
    """What a confusion matrix shows, in words."""
    right, total = sum(row[i] for i, row in enumerate(counts)), sum(map(sum, counts))
    worst = largest_confusions(counts, names)
    tail = f" Most frequent wrong answers: {'; '.join(worst)}." if worst else " No wrong answers."
    return f"{right:,} of {total:,} pictures are on the diagonal (read as their true class).{tail}"


def shorten(name: str) -> str:
    """As much of a name as fits beside its row."""
    return name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"


class Map(NamedTuple):
    """A drawn matrix, and its figures in words."""

    svg: Markup
    words: str


def matrix(block: Matrix) -> Map | None:
    """A study's matrix, with a blank where there is no figure; the larger, the stronger. None without any figure."""
    cells = [cell for cell in block.cells if cell.figure.value is not None]
    if not cells:
        return None
    unit = cells[0].figure.unit
    full = max(_LEAST_FULL, *(float(cell.figure) for cell in cells))
    size = _SIDE / max(len(block.row_names), len(block.column_names))
    largest = sorted(cells, key=lambda cell: -float(cell.figure))[:3]
    named = [_named(cell, block) for cell in largest if cell.figure > 0]
    worst = f"Largest: {'; '.join(named)}. " if named else ""
    words = f"{_together(cells)}{worst}The strongest color is {show_value(full, unit)}."
    rows, columns = ([shorten(name) for name in names] for names in (block.row_names, block.column_names))
    left, reach = 14 + _WIDTH * max(map(len, rows)), _WIDTH * max(map(len, columns))
    room = {"top": 16 + 0.6 * reach, "right": 0.8 * reach} if (aslant := reach > size) else {}
    drawn = [_drawn(_square(cell, block, full), size, block.role) for cell in cells]
    svg = _framed(drawn, rows, columns, size, left=left, aslant=aslant, **room, title=block.title, words=words)
    return Map(svg, words)


def _named(cell: Cell, block: Matrix) -> str:
    value = show_value(cell.figure.value, cell.figure.unit)
    return f"{block.row_names[cell.row]} → {block.column_names[cell.column]}: {value}"


def _together(cells: Sequence[Cell]) -> str:
    counts = [cell.figure.counts for cell in cells if cell.figure.counts is not None]
    if len(counts) < len(cells):
        return ""
    hits, total = (sum(column) for column in zip(*counts, strict=True))
    return f"Together {percent(hits / total)} % ({hits:,} of {total:,}). "


def _square(cell: Cell, block: Matrix, full: float) -> _Square:
    value, counts = float(cell.figure), cell.figure.counts
    behind = "" if counts is None else f" ({counts[0]:,} of {counts[1]:,})"
    strength = _strength(value, full) if value > 0 else 0.0
    return _Square(cell.row, cell.column, strength, _short(value, cell.figure.unit), _named(cell, block) + behind)


def _short(value: float, unit: str) -> str:
    """A few figures; ``"0"`` only where there is nothing at all."""
    if not value or unit == "number":
        return f"{value:.3g}"
    shown = f"{100 * value:.3g}" if abs(value) >= 0.1 else percent(value)
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
