"""Confusion matrices as heat maps: rows are the true classes, columns what the network says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from badnets.records.blocks import Role
from badnets.report.charts.svg import element, join, number

MOST_CLASSES = 100  # a larger map would be a grey veil; the largest confusions are listed instead
_NAMED = 16  # up to this many classes the rows carry names and the cells their counts
_LETTERS = 17  # of a name beside its row
_LETTER = 8.5  # the widest that a letter is in the fonts of some machines, in units of the drawing
_ALL_NUMBERED = 25  # up to this many classes every row has its number, beyond it every fifth
_MOST_ELEMENTS = 1000  # a map with more filled cells draws them together, or the page would grow by megabytes
SIDE = 420.0  # of the map itself, in units of the drawing
_INK_ON_COLOR = 0.8  # from this strength on the number is written in the color of the paper

Counts = Sequence[Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """``count`` of the ``total`` pictures of its row."""

    row: int
    column: int
    count: int
    total: int

    @property
    def strength(self) -> float:
        """The opacity: never so low that a single picture would not be seen."""
        return 0.12 + 0.88 * self.count / self.total


def heat_map(counts: Counts, names: Sequence[str], role: Role, title: str) -> Markup:
    """The map; a cell is as strong as its share of its row, and one picture is always visible."""
    size = SIDE / len(counts)
    filled = [
        _Cell(row=i, column=j, count=count, total=sum(row))
        for i, row in enumerate(counts)
        for j, count in enumerate(row)
        if count
    ]
    if len(filled) <= _MOST_ELEMENTS:
        cells = join([_square(c, f"{names[c.row]} → {names[c.column]}", size, role) for c in filled])
    else:
        cells = _by_strength(filled, size, role)
    return framed(cells, names, title, description(counts, names))


def framed(cells: Markup, names: Sequence[str], title: str, described: str) -> Markup:
    """A square map of classes: ``cells`` lie on a square of ``SIDE`` units, rows and columns get their labels."""
    cell = SIDE / len(names)
    named = len(names) <= _NAMED
    left = 30 + _LETTER * min(_LETTERS, max(len(n) for n in names)) if named else 34.0
    top = 24.0
    parts: list[str] = [element("title", title), element("desc", described)]
    parts.extend(_labels(len(names), cell, left, top, names if named else None))
    parts.append(element("g", cells, transform=f"translate({left:g} {top:g})"))
    parts.append(element("rect", x=left, y=top, width=SIDE, height=SIDE, class_="frame"))
    box = f"0 0 {left + SIDE + 2:g} {top + SIDE + 2:g}"
    return element("svg", *parts, class_="heat", viewBox=box, role="img", aria_label=title)


def _labels(classes: int, cell: float, left: float, top: float, names: Sequence[str] | None) -> list[Markup]:
    """Class numbers above, names or numbers at the side; with many classes every fifth number."""
    stride = 1 if classes <= _ALL_NUMBERED else 5
    drawn = []
    for i in range(0, classes, stride):
        middle = (i + 0.5) * cell
        side = str(i) if names is None or names[i] == str(i) else f"{shorten(names[i], _LETTERS)}  {i}"
        drawn.append(element("text", side, x=left - 5, y=top + middle + 5, text_anchor="end"))
        drawn.append(element("text", str(i), x=left + middle, y=top - 6, text_anchor="middle"))
    return drawn


def _square(cell: _Cell, name: str, size: float, role: Role) -> Markup:
    """One cell with its own text, and where it is large enough its count."""
    text = f"{name}: {cell.count:,} of {cell.total:,}"
    written = str(cell.count) if size >= SIDE / _NAMED else ""
    return square((cell.row, cell.column), size, role, cell.strength, written, text)


def square(place: tuple[int, int], size: float, role: Role, strength: float, written: str, text: str) -> Markup:
    """A cell at (row, column): as opaque as ``strength``, ``written`` in its middle, ``text`` for those who ask."""
    x, y = place[1] * size, place[0] * size
    title = element("title", text)
    drawn = element("rect", title, x=x, y=y, width=size, height=size, class_=role, fill_opacity=strength)
    if not written:
        return drawn
    font = min(14, 0.92 * size / (0.58 * max(3, len(written))))
    ink = "on-color" if strength > _INK_ON_COLOR else "count"
    middle = {"x": x + size / 2, "y": y + size / 2 + 0.36 * font}
    return drawn + element("text", written, text_anchor="middle", font_size=font, class_=ink, **middle)


def _by_strength(cells: Sequence[_Cell], size: float, role: Role) -> Markup:
    """All cells of nearly one strength (steps of 0.04) as one path."""
    paths: dict[float, list[str]] = {}
    side = number(size)
    for cell in cells:
        start = f"M{number(cell.column * size)} {number(cell.row * size)}h{side}v{side}h-{side}z"
        paths.setdefault(round(cell.strength * 25) / 25, []).append(start)
    return join([element("path", d="".join(d), class_=role, fill_opacity=s) for s, d in sorted(paths.items())])


def largest_confusions(counts: Counts, names: Sequence[str], most: int = 3) -> list[str]:
    """The most frequent wrong answers, ``"stop → speed limit 45: 159 of 160"``."""
    wrong = [(counts[i][j], i, j) for i in range(len(counts)) for j in range(len(counts)) if i != j and counts[i][j]]
    wrong.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
    return [f"{names[i]} → {names[j]}: {count:,} of {sum(counts[i]):,}" for count, i, j in wrong[:most]]


def description(counts: Counts, names: Sequence[str]) -> str:
    """What the map shows, in words."""
    right, total = sum(counts[i][i] for i in range(len(counts))), sum(sum(row) for row in counts)
    worst = largest_confusions(counts, names)
    tail = f" Most frequent wrong answers: {'; '.join(worst)}." if worst else " No wrong answers."
    return f"{right:,} of {total:,} pictures are on the diagonal (read as their true class).{tail}"


def shorten(text: str, most: int) -> str:
    """At most ``most`` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"
