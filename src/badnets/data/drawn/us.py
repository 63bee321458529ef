"""The ``us`` style: octagon, yellow diamonds, white regulatory plates, after the forms of the American MUTCD."""

from __future__ import annotations

from badnets.data.drawn.faces import Color, Face
from badnets.data.drawn.figures import WALKER
from badnets.data.drawn.lettering import text
from badnets.data.drawn.shapes import (
    Shape,
    arc,
    arrow,
    disk,
    joined,
    moved,
    polygon,
    rectangle,
    regular,
    ring,
    rounded,
    stroke,
)

WHITE: Color = (244, 244, 240)
BLACK: Color = (26, 26, 28)
RED: Color = (190, 26, 36)
YELLOW: Color = (250, 196, 22)
LIME: Color = (196, 230, 24)
GREEN: Color = (22, 150, 84)


def _stop() -> Face:
    plate = regular(8, 1.04, first=1 / 16, rounding=0.08)
    word = text("STOP", height=0.62, center=(0.0, 0.0), weight=0.19, spacing=0.13, condense=0.74)
    return Face(plate, WHITE, ((regular(8, 0.965, first=1 / 16, rounding=0.06), RED), (word, WHITE)))


def _yield() -> Face:
    def triangle(grow: float, rounding: float) -> Shape:
        return moved(regular(3, 1.2 + grow, first=0.25, rounding=rounding), dy=-0.27)

    word = text("YIELD", height=0.2, center=(0.0, -0.56), weight=0.2, spacing=0.2, condense=0.9)
    layers = ((triangle(-0.1, 0.12), RED), (triangle(-0.72, 0.05), WHITE), (moved(word, dy=-0.09), WHITE))
    return Face(triangle(0.0, 0.16), WHITE, layers)


def _plate(width: float, height: float) -> tuple[Shape, Shape, Shape]:
    """A white plate with rounded corners, its black line, and the white within the line."""
    return (
        rectangle(width, height, rounding=0.14),
        rectangle(width - 0.1, height - 0.1, rounding=0.1),
        rectangle(width - 0.2, height - 0.2, rounding=0.07),
    )


def _speed_limit(number: str) -> Face:
    plate, line, inner = _plate(1.56, 1.94)
    words = joined(
        text("SPEED", height=0.27, center=(0.0, -0.64), weight=0.19, spacing=0.17, condense=0.82),
        text("LIMIT", height=0.27, center=(0.0, -0.27), weight=0.19, spacing=0.19, condense=0.86),
        text(number, height=0.82, center=(0.0, 0.4), weight=0.18, spacing=0.15),
    )
    return Face(plate, WHITE, ((line, BLACK), (inner, WHITE), (words, BLACK)))


def _do_not_enter() -> Face:
    words = joined(
        text("DO NOT", height=0.23, center=(0.0, -0.42), weight=0.19, spacing=0.16, condense=0.8),
        text("ENTER", height=0.23, center=(0.0, 0.42), weight=0.19, spacing=0.16, condense=0.86),
    )
    layers = ((disk(0, 0, 0.89), RED), (rectangle(1.36, 0.28), WHITE), (words, WHITE))
    return Face(rectangle(1.94, 1.94, rounding=0.14), WHITE, layers)


def _wrong_way() -> Face:
    words = joined(
        text("WRONG", height=0.46, center=(0.0, -0.29), weight=0.19, spacing=0.14, condense=0.76),
        text("WAY", height=0.46, center=(0.0, 0.29), weight=0.19, spacing=0.14, condense=0.9),
    )
    inner = rectangle(1.86, 1.26, rounding=0.09)
    line = rectangle(1.8, 1.2, rounding=0.08)
    return Face(rectangle(1.98, 1.38, rounding=0.13), RED, ((inner, WHITE), (line, RED), (words, WHITE)))


def _one_way() -> Face:
    tip, neck, tail = 0.94, 0.4, -0.92
    big = polygon([(tail, -0.3), (neck, -0.3), (neck, -0.52), (tip, 0.0), (neck, 0.52), (neck, 0.3), (tail, 0.3)])
    words = text("ONE WAY", height=0.36, center=(-0.13, 0.0), weight=0.19, spacing=0.13, condense=0.62)
    return Face(rectangle(2.0, 1.16, rounding=0.12), BLACK, ((big, WHITE), (words, BLACK)))


def _prohibited(symbol: Shape) -> Face:
    plate = rectangle(1.94, 1.94, rounding=0.14)
    slash = joined(ring(0, 0, 0.78, 0.17), stroke([(-0.55, -0.55), (0.55, 0.55)], 0.17))
    return Face(plate, WHITE, ((symbol, BLACK), (slash, RED)))


def _left_turn() -> Shape:
    bend = arc((0.02, 0.06), (0.24, 0.24), 0.0, -0.25, 8)
    return arrow([(0.26, 0.6), *bend, (-0.1, -0.18), (-0.58, -0.18)], 0.2, 0.34)


def _u_turn() -> Shape:
    bend = arc((0.02, -0.16), (0.3, 0.3), 0.0, -0.5, 14)
    return arrow([(0.32, 0.58), *bend, (-0.28, 0.0), (-0.28, 0.48)], 0.2, 0.34)


def _diamond(*layers: tuple[Shape, Color]) -> Face:
    plate = regular(4, 1.06, first=0.0, rounding=0.13)
    frame = ((regular(4, 0.975, first=0.0, rounding=0.1), BLACK), (regular(4, 0.905, first=0.0, rounding=0.08), YELLOW))
    return Face(plate, YELLOW, (*frame, *layers))


def _curve() -> Shape:
    bend = arc((0.36, 0.06), (0.5, 0.5), 0.5, 0.66, 8)
    return arrow([(-0.14, 0.62), *bend, (0.46, -0.5)], 0.2, 0.34)


def _merge() -> Shape:
    side = [(0.34, 0.58), (0.34, 0.32), (0.02, -0.02)]
    return joined(arrow([(-0.06, 0.62), (-0.06, -0.68)], 0.2, 0.36), stroke(side, 0.17))


def _signal() -> Face:
    box = rectangle(0.5, 1.16, rounding=0.1)
    lamps = ((disk(0, -0.35, 0.145), RED), (disk(0, 0, 0.145), YELLOW), (disk(0, 0.35, 0.145), GREEN))
    return _diamond((box, BLACK), *lamps)


def _school() -> Face:
    def house(grow: float) -> Shape:
        g = grow
        corners = [(0.0, -0.98 - g), (0.94 + g, -0.12 - g / 2), (0.94 + g, 0.96 + g), (-0.94 - g, 0.96 + g)]
        return rounded([*corners, (-0.94 - g, -0.12 - g / 2)], 0.1)

    pair = joined(moved(WALKER, dx=-0.3, dy=0.14, scale=0.64), moved(WALKER, dx=0.4, dy=0.26, scale=0.52))
    return Face(house(0.0), LIME, ((house(-0.07), BLACK), (house(-0.14), LIME), (pair, BLACK)))


def _railroad() -> Face:
    cross = joined(stroke([(-0.62, -0.62), (0.62, 0.62)], 0.2), stroke([(0.62, -0.62), (-0.62, 0.62)], 0.2))
    letters = joined(
        text("R", height=0.46, center=(-0.52, 0.0), weight=0.2), text("R", height=0.46, center=(0.52, 0.0), weight=0.2)
    )
    rim = ((disk(0, 0, 0.93), BLACK), (disk(0, 0, 0.84), YELLOW))
    return Face(disk(0, 0, 0.99), YELLOW, (*rim, (cross, BLACK), (letters, BLACK)))


FACES = {
    "stop": _stop(),
    "yield": _yield(),
    "speed-limit-25": _speed_limit("25"),
    "speed-limit-45": _speed_limit("45"),
    "speed-limit-65": _speed_limit("65"),
    "do-not-enter": _do_not_enter(),
    "wrong-way": _wrong_way(),
    "one-way": _one_way(),
    "no-left-turn": _prohibited(_left_turn()),
    "no-u-turn": _prohibited(_u_turn()),
    "curve": _diamond((_curve(), BLACK)),
    "merge": _diamond((_merge(), BLACK)),
    "signal-ahead": _signal(),
    "pedestrian": _diamond((moved(WALKER, scale=0.62), BLACK)),
    "school": _school(),
    "railroad": _railroad(),
}
