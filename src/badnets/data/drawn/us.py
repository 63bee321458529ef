"""The ``us`` style: octagon, yellow diamonds, white regulatory plates, after the forms of the American MUTCD."""

from __future__ import annotations

from badnets.data.drawn.shapes import (
    Color,
    Face,
    Shape,
    arc,
    arrow,
    diamond,
    disk,
    joined,
    moved,
    octagon,
    polygon,
    rectangle,
    rounded,
    stroke,
    triangle,
)
from badnets.data.drawn.symbols import WALKER, text

WHITE, BLACK, RED = (244, 244, 240), (26, 26, 28), (190, 26, 36)
YELLOW, LIME, GREEN = (250, 196, 22), (196, 230, 24), (22, 150, 84)

_LEFT = arrow([(0.26, 0.6), *arc((0.02, 0.06), (0.24, 0.24), 0.0, -0.25, 8), (-0.1, -0.18), (-0.58, -0.18)], 0.2, 0.34)
_BACK = arrow([(0.32, 0.58), *arc((0.02, -0.16), (0.3, 0.3), 0.0, -0.5, 14), (-0.28, 0.0), (-0.28, 0.48)], 0.2, 0.34)
_CURVE = arrow([(-0.14, 0.62), *arc((0.36, 0.06), (0.5, 0.5), 0.5, 0.66, 8), (0.46, -0.5)], 0.2, 0.34)
_AHEAD = arrow([(-0.06, 0.62), (-0.06, -0.68)], 0.2, 0.36)
_LAMPS = [(disk(0, y, 0.145), color) for y, color in ((-0.35, RED), (0, YELLOW), (0.35, GREEN))]


def _word(word: str, height: float, y: float, spacing: float, condense: float) -> Shape:
    return text(word, height, (0.0, y), weight=0.19, spacing=spacing, condense=condense)


def _yield() -> Face:
    word = moved(text("YIELD", height=0.2, center=(0.0, -0.56), weight=0.2, condense=0.9), dy=-0.09)
    edge, field, inner = (
        triangle(radius, rounding, down=True)
        for radius, rounding in ((1.2, 0.16), (1.2 - 0.1, 0.12), (1.2 - 0.72, 0.05))
    )
    return Face(edge, WHITE, (field, RED), (inner, WHITE), (word, WHITE))


def _speed_limit(digits: str) -> Face:
    word, number = _word("SPEED", 0.27, -0.64, 0.17, 0.82), text(digits, 0.82, (0.0, 0.4), spacing=0.15)
    words = joined(word, _word("LIMIT", 0.27, -0.27, 0.19, 0.86), number)
    edge, line = rectangle(1.56, 1.94, rounding=0.14), rectangle(1.56 - 0.1, 1.94 - 0.1, rounding=0.1)
    return Face(edge, WHITE, (line, BLACK), (rectangle(1.56 - 0.2, 1.94 - 0.2, rounding=0.07), WHITE), (words, BLACK))


def _square(*layers: tuple[Shape, Color]) -> Face:
    return Face(rectangle(1.94, 1.94, rounding=0.14), WHITE, *layers)


def _do_not_enter() -> Face:
    words = joined(_word("DO NOT", 0.23, -0.42, 0.16, 0.8), _word("ENTER", 0.23, 0.42, 0.16, 0.86))
    return _square((disk(0, 0, 0.89), RED), (rectangle(1.36, 0.28), WHITE), (words, WHITE))


def _wrong_way() -> Face:
    words = joined(_word("WRONG", 0.46, -0.29, 0.14, 0.76), _word("WAY", 0.46, 0.29, 0.14, 0.9))
    line, inner = rectangle(1.86, 1.26, rounding=0.09), rectangle(1.8, 1.2, rounding=0.08)
    return Face(rectangle(1.98, 1.38, rounding=0.13), RED, (line, WHITE), (inner, RED), (words, WHITE))


def _one_way() -> Face:
    tip, neck, tail = 0.94, 0.4, -0.92
    big = polygon([(tail, -0.3), (neck, -0.3), (neck, -0.52), (tip, 0.0), (neck, 0.52), (neck, 0.3), (tail, 0.3)])
    words = text("ONE WAY", height=0.36, center=(-0.13, 0.0), weight=0.19, spacing=0.13, condense=0.62)
    return Face(rectangle(2.0, 1.16, rounding=0.12), BLACK, (big, WHITE), (words, BLACK))


def _prohibited(symbol: Shape) -> Face:
    ring = stroke(arc((0, 0), (0.78, 0.78), 0.0, 1.03, 66), 0.17)  # a little more than once around, to close the seam
    return _square((symbol, BLACK), (joined(ring, stroke([(-0.55, -0.55), (0.55, 0.55)], 0.17)), RED))


def _diamond(*layers: tuple[Shape, Color]) -> Face:
    return Face(diamond(1.06, 0.13), YELLOW, (diamond(0.975, 0.1), BLACK), (diamond(0.905, 0.08), YELLOW), *layers)


def _house(grow: float) -> Shape:
    low, wide = -0.12 - grow / 2, 0.94 + grow
    return rounded([(0.0, -0.98 - grow), (wide, low), (wide, 0.96 + grow), (-wide, 0.96 + grow), (-wide, low)], 0.1)


def _school() -> Face:
    pair = joined(moved(WALKER, dx=-0.3, dy=0.14, scale=0.64), moved(WALKER, dx=0.4, dy=0.26, scale=0.52))
    return Face(_house(0.0), LIME, (_house(-0.07), BLACK), (_house(-0.14), LIME), (pair, BLACK))


def _railroad() -> Face:
    cross = joined(stroke([(-0.62, -0.62), (0.62, 0.62)], 0.2), stroke([(0.62, -0.62), (-0.62, 0.62)], 0.2))
    letters = joined(*(text("R", height=0.46, center=(x, 0.0), weight=0.2) for x in (-0.52, 0.52)))
    line, inner = (disk(0, 0, 0.93), BLACK), (disk(0, 0, 0.84), YELLOW)
    return Face(disk(0, 0, 0.99), YELLOW, line, inner, (cross, BLACK), (letters, BLACK))


FACES = {
    "stop": Face(octagon(1.04, 0.08), WHITE, (octagon(0.965, 0.06), RED), (_word("STOP", 0.62, 0, 0.13, 0.74), WHITE)),
    "yield": _yield(),
    "speed-limit-25": _speed_limit("25"),
    "speed-limit-45": _speed_limit("45"),
    "speed-limit-65": _speed_limit("65"),
    "do-not-enter": _do_not_enter(),
    "wrong-way": _wrong_way(),
    "one-way": _one_way(),
    "no-left-turn": _prohibited(_LEFT),
    "no-u-turn": _prohibited(_BACK),
    "curve": _diamond((_CURVE, BLACK)),
    "merge": _diamond((joined(_AHEAD, stroke([(0.34, 0.58), (0.34, 0.32), (0.02, -0.02)], 0.17)), BLACK)),
    "signal-ahead": _diamond((rectangle(0.5, 1.16, rounding=0.1), BLACK), *_LAMPS),
    "pedestrian": _diamond((moved(WALKER, scale=0.62), BLACK)),
    "school": _school(),
    "railroad": _railroad(),
}
