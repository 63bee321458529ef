"""Letters and digits as strokes, after the plain sans-serif look of road lettering; and pictograms.

Each glyph is a list of lines in a box ``width`` wide and 1 high (y down), drawn along the middles of its strokes.
"""

from __future__ import annotations

import math
from itertools import pairwise

from badnets.data.drawn.shapes import Point, Shape, arc, disk, joined, polygon, rectangle, rounded, stroke

Line = list[Point]

_WIDTH = 0.56
_NARROW = {"1": 0.26, "I": 0.0, "!": 0.0, "E": 0.48, "L": 0.46}
_WIDTHS = _NARROW | {"A": 0.66, "M": 0.7, "N": 0.58, "O": 0.6, "W": 0.84, "Y": 0.62}


def _bowl(top: float, bottom: float, left: float, right: float) -> Line:
    """The round right side of D, P, R: from the upper left to the lower left."""
    radius = min((bottom - top) / 2, (right - left) * 0.8)
    upper = arc((right - radius, top + radius), (radius, radius), -0.25, 0.0, 8)
    lower = arc((right - radius, bottom - radius), (radius, radius), 0.0, 0.25, 8)
    return [(left, top), *upper, *lower, (left, bottom)]


def _oval(width: float, top: float = 0.0, bottom: float = 1.0) -> Line:
    """A closed upright oval with straight sides."""
    r = min(width, bottom - top) / 2
    upper = arc((width / 2, top + r), (width / 2, r), -0.5, 0.0, 12)
    lower = arc((width / 2, bottom - r), (width / 2, r), 0.0, 0.5, 12)
    return [*upper, *lower, (0.0, (top + bottom) / 2), (0.0, top + r - 0.001)]


def _open(width: float, start: float, stop: float) -> Line:
    """The sides and ends of C and G: from the upper right, over the left, to the lower right; in turns."""
    r = width / 2
    return [*arc((r, r), (r, r), start, -0.5, 10), *arc((r, 1 - r), (r, r), 0.5, stop, 10)]


def _glyphs() -> dict[str, list[Line]]:
    w = _WIDTH
    a, m, n, v, y, e, ell = (_WIDTHS[letter] for letter in "AMNWYEL")
    five = [(w * 0.92, 0.0), (w * 0.12, 0.0), (w * 0.06, 0.47), *arc((w / 2, 0.68), (w / 2, 0.32), -0.36, 0.43, 16)]
    two = [*arc((w / 2, 0.28), (w / 2, 0.28), -0.46, 0.09, 14), (0.04, 0.94)]
    three = [*arc((w / 2, 0.235), (w * 0.46, 0.235), -0.44, 0.25, 14), (w * 0.3, 0.47)]
    below = [(w * 0.3, 0.47), *arc((w / 2, 0.735), (w / 2, 0.265), -0.25, 0.44, 14)]
    ess = [
        *arc((w / 2, 0.25), (w / 2, 0.25), -0.06, -0.75, 14),
        *arc((w / 2, 0.75), (w / 2, 0.25), -0.25, 0.44, 14)[1:],
    ]
    stem = [(0.0, 0.0), (0.0, 1.0)]
    return {
        "0": [_oval(w)],
        "1": [[(0.0, 0.2), (0.22, 0.0), (0.22, 1.0)]],
        "2": [two, [(0.0, 1.0), (w, 1.0)]],
        "3": [three, below],
        "4": [[(w * 0.74, 1.0), (w * 0.74, 0.0), (0.0, 0.72)], [(0.0, 0.72), (w * 1.06, 0.72)]],
        "5": [five],
        "6": [_oval(w, 0.4, 1.0), [*arc((w / 2, 0.3), (w / 2, 0.3), -0.07, -0.5, 10), (0.0, 0.7)]],
        "8": [_oval(w * 0.9, 0.0, 0.47), _oval(w, 0.47, 1.0)],
        "A": [[(0.0, 1.0), (a / 2, 0.0), (a, 1.0)], [(a * 0.18, 0.68), (a * 0.82, 0.68)]],
        "C": [_open(w, -0.06, 0.06)],
        "D": [_bowl(0.0, 1.0, 0.0, w), stem],
        "E": [[(e, 0.0), (0.0, 0.0), (0.0, 1.0), (e, 1.0)], [(0.0, 0.48), (e * 0.86, 0.48)]],
        "G": [[*_open(w, -0.06, 0.0), (w, 0.54), (w * 0.5, 0.54)]],
        "I": [stem],
        "L": [[(0.0, 0.0), (0.0, 1.0), (ell, 1.0)]],
        "M": [[(0.0, 1.0), (0.0, 0.0), (m / 2, 0.7), (m, 0.0), (m, 1.0)]],
        "N": [[(0.0, 1.0), (0.0, 0.0), (n, 1.0), (n, 0.0)]],
        "O": [_oval(_WIDTHS["O"])],
        "P": [_bowl(0.0, 0.54, 0.0, w), stem],
        "R": [_bowl(0.0, 0.52, 0.0, w), stem, [(w * 0.42, 0.52), (w, 1.0)]],
        "S": [ess],
        "T": [[(0.0, 0.0), (w, 0.0)], [(w / 2, 0.0), (w / 2, 1.0)]],
        "W": [[(0.0, 0.0), (v * 0.25, 1.0), (v * 0.5, 0.15), (v * 0.75, 1.0), (v, 0.0)]],
        "Y": [[(0.0, 0.0), (y / 2, 0.5), (y, 0.0)], [(y / 2, 0.45), (y / 2, 1.0)]],
        "!": [[(0.0, 0.0), (0.0, 0.66)], [(0.0, 0.86), (0.0, 1.0)]],
    }


_GLYPHS = _glyphs()
_SPACE = 0.42


def text(
    words: str, height: float, center: Point = (0, 0), weight: float = 0.18, spacing: float = 0.2, condense: float = 1.0
) -> Shape:
    """``words`` in capitals and digits, ``height`` high in all, centered.

    ``weight`` is the width of the strokes and ``spacing`` the gap between letters, as shares of the height;
    ``condense`` below 1 makes the letters narrower, not the strokes.
    """
    stem = weight * height
    scale = height - stem  # the strokes' middles lie half a stroke inside
    gap = (spacing * height) + stem
    widths = [scale * condense * (_SPACE if c == " " else _WIDTHS.get(c, _WIDTH)) for c in words]
    left = center[0] - (sum(widths) + gap * (len(words) - 1)) / 2
    top = center[1] - scale / 2
    parts: list[Shape] = []
    for character, width in zip(words, widths, strict=True):
        for line in _GLYPHS.get(character, []):
            placed = [(left + px * scale * condense, top + py * scale) for px, py in line]
            parts.append(_drawn(placed, stem, character, (top, top + scale)))
        left += width + gap
    return joined(*parts)


def _drawn(line: Line, stem: float, character: str, ends: Point) -> Shape:
    """One line of a glyph as a shape; ``ends`` are the heights of the letter's top and bottom."""
    if character in "4AMNWY":  # corners too sharp for a miter: every side is cut level instead
        return joined(*(_side(a, b, stem, ends) for a, b in pairwise(line)))
    if character in "356CGS":  # ends that are cut across the curve
        return stroke(line, stem)
    first = _further(line[1], line[0], stem / 2)
    last = line[-1] if character == "2" and len(line) > 2 else _further(line[-2], line[-1], stem / 2)
    return stroke([first, *line[1:-1], last], stem)


def _side(a: Point, b: Point, stem: float, ends: Point) -> Shape:
    """A straight stroke cut level, half a stroke beyond the letter's top and bottom; a level one is cut upright."""
    if a[1] == b[1]:
        return stroke([_further(b, a, stem / 2), _further(a, b, stem / 2)], stem)
    (x0, y0), (x1, y1) = sorted((a, b), key=lambda point: point[1])
    slope = (x1 - x0) / (y1 - y0)
    half = stem / 2 * math.sqrt(1 + slope * slope)
    above, below = (stem / 2 if abs(y - end) < stem / 100 else 0.0 for y, end in zip((y0, y1), ends, strict=True))
    x0, y0, x1, y1 = x0 - slope * above, y0 - above, x1 + slope * below, y1 + below
    return polygon([(x0 - half, y0), (x0 + half, y0), (x1 + half, y1), (x1 - half, y1)])


def _further(before: Point, end: Point, by: float) -> Point:
    """A point beyond ``end`` on the line from ``before``."""
    dx, dy = end[0] - before[0], end[1] - before[1]
    length = math.sqrt(dx * dx + dy * dy)
    return (end[0] + dx / length * by, end[1] + dy / length * by)


WALKER = joined(
    disk(-0.08, -0.82, 0.17),
    polygon([(-0.14, -0.62), (0.14, -0.6), (0.24, 0.12), (-0.14, 0.12)]),
    stroke([(0.0, 0.0), (-0.2, 0.42), (-0.46, 0.92)], 0.2),
    stroke([(0.08, 0.0), (0.24, 0.45), (0.5, 0.94)], 0.2),
    stroke([(-0.42, 0.95), (-0.62, 0.88)], 0.13),
    stroke([(-0.06, -0.52), (-0.34, -0.2), (-0.52, 0.02)], 0.14),
    stroke([(0.08, -0.52), (0.3, -0.2), (0.42, 0.1)], 0.14),
)
"""A person walking to the left, about 2 high and 1.1 wide."""

CAR = joined(
    rounded([(-0.5, -0.62), (0.5, -0.62), (0.72, 0.0), (-0.72, 0.0)], 0.12),
    rectangle(1.6, 0.5, center=(0.0, 0.12), rounding=0.14),
    rectangle(0.28, 0.4, center=(-0.56, 0.42), rounding=0.06),
    rectangle(0.28, 0.4, center=(0.56, 0.42), rounding=0.06),
)
CAR_LIGHTS = joined(
    polygon([(-0.4, -0.46), (0.4, -0.46), (0.52, -0.1), (-0.52, -0.1)]),
    rectangle(0.26, 0.14, center=(-0.56, 0.12)),
    rectangle(0.26, 0.14, center=(0.56, 0.12)),
)
"""A car from behind and its light parts (window and lamps), about 1.6 wide and 1.2 high."""

DIGGER = joined(
    disk(-0.12, -0.74, 0.18),
    stroke([(-0.2, -0.5), (-0.56, 0.1)], 0.36),
    stroke([(-0.5, 0.02), (-0.3, 0.42), (-0.42, 0.9)], 0.2),
    stroke([(-0.6, 0.02), (-0.74, 0.45), (-0.98, 0.9)], 0.2),
    stroke([(-0.16, -0.42), (0.12, -0.02), (0.38, 0.14)], 0.14),
    stroke([(-0.5, -0.2), (0.58, 0.6)], 0.09),
    polygon([(0.28, 0.92), (0.66, 0.36), (1.0, 0.92)]),
)
"""A person who shovels a heap, about 2 wide and 1.8 high."""
