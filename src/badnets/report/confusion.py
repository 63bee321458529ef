"""Confusion matrices as heat maps: rows are the true classes, columns what the network says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from badnets.report.figures import Role
from badnets.report.svg import element

MOST_CLASSES = 100  # a larger map would be a grey veil; the largest confusions are listed instead
_NAMED = 16  # up to this many classes the rows carry names and the cells their counts
_LETTERS = 17  # of a name beside its row
_ALL_NUMBERED = 25  # up to this many classes every row has its number, beyond it every fifth
_SIZE = 420.0  # of the map itself, in units of the drawing
_INK_ON_COLOR = 0.8  # from this strength on the number is written in the color of the paper

Counts = Sequence[Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """What a cell says: ``count`` of the ``total`` pictures of its row."""

    name: str
    count: int
    total: int


def is_matrix(counts: object) -> bool:
    """Whether ``counts`` is a square table of whole numbers that counts anything."""
    if not isinstance(counts, list) or not counts or not all(isinstance(row, list) for row in counts):
        return False
    square = all(len(row) == len(counts) for row in counts)
    return square and any(sum(row) for row in counts)


def heat_map(counts: Counts, names: Sequence[str], role: Role, title: str) -> Markup:
    """The map; a cell is as strong as its share of its row, and one picture is always visible."""
    classes = len(counts)
    cell = _SIZE / classes
    named = classes <= _NAMED
    left = 30 + 7.2 * min(_LETTERS, max(len(n) for n in names)) if named else 34.0
    top = 24.0
    parts: list[str] = [element("title", title), element("desc", description(counts, names))]
    parts.extend(_labels(classes, cell, left, top, names if named else None))
    for i, row in enumerate(counts):
        total = sum(row)
        for j in range(classes):
            if row[j]:
                shown = _Shown(name=f"{names[i]} → {names[j]}", count=row[j], total=total)
                parts.append(_cell(shown, left + j * cell, top + i * cell, cell, role))
    parts.append(element("rect", x=left, y=top, width=_SIZE, height=_SIZE, class_="frame"))
    box = f"0 0 {left + _SIZE + 2:g} {top + _SIZE + 2:g}"
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


def _cell(shown: _Shown, x: float, y: float, size: float, role: Role) -> Markup:
    strength = 0.12 + 0.88 * shown.count / shown.total
    title = element("title", f"{shown.name}: {shown.count:,} of {shown.total:,}")
    square = element("rect", title, x=x, y=y, width=size, height=size, class_=role, fill_opacity=strength)
    if size < _SIZE / _NAMED:
        return square
    written = str(shown.count)
    font = min(14, 0.92 * size / (0.58 * max(3, len(written))))
    ink = "on-color" if strength > _INK_ON_COLOR else "count"
    place = {"x": x + size / 2, "y": y + size / 2 + 0.36 * font}
    return square + element("text", written, text_anchor="middle", font_size=font, class_=ink, **place)


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
