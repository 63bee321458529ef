"""The ``eu`` style: red rings, blue disks, red-edged triangles, after the Vienna Convention on Road Signs."""

from __future__ import annotations

from badnets.data.drawn.faces import Color, Face
from badnets.data.drawn.figures import CAR, CAR_LIGHTS, DIGGER, WALKER
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
    stroke,
)

WHITE: Color = (246, 246, 244)
BLACK: Color = (22, 22, 26)
RED: Color = (206, 18, 30)
BLUE: Color = (12, 84, 166)
YELLOW: Color = (252, 194, 12)


def _stop() -> Face:
    plate = regular(8, 1.04, first=1 / 16, rounding=0.08)
    word = text("STOP", height=0.54, center=(0.0, 0.0), weight=0.17, spacing=0.15, condense=0.86)
    return Face(plate, WHITE, ((regular(8, 0.955, first=1 / 16, rounding=0.06), RED), (word, WHITE)))


def _triangle(radius: float, rounding: float, *, down: bool = False) -> Shape:
    shape = regular(3, radius, first=0.25 if down else -0.25, rounding=rounding)
    return moved(shape, dy=-0.27 if down else 0.27)


def _give_way() -> Face:
    layers = ((_triangle(1.13, 0.15, down=True), RED), (_triangle(0.72, 0.06, down=True), WHITE))
    return Face(_triangle(1.2, 0.18, down=True), WHITE, layers)


def _warning(*symbols: tuple[Shape, Color]) -> Face:
    frame = ((_triangle(1.13, 0.15), RED), (_triangle(0.79, 0.06), WHITE))
    return Face(_triangle(1.2, 0.18), WHITE, (*frame, *symbols))


def _limit(*symbols: tuple[Shape, Color]) -> Face:
    return Face(disk(0, 0, 0.99), WHITE, ((disk(0, 0, 0.95), RED), (disk(0, 0, 0.7), WHITE), *symbols))


def _number(digits: str) -> Face:
    return _limit((text(digits, height=0.72, center=(0.0, 0.0), weight=0.17, spacing=0.15, condense=0.94), BLACK))


def _no_entry() -> Face:
    return Face(disk(0, 0, 0.99), WHITE, ((disk(0, 0, 0.95), RED), (rectangle(1.44, 0.36, rounding=0.03), WHITE)))


def _priority() -> Face:
    frame = ((regular(4, 1.005, first=0.0, rounding=0.11), BLACK), (regular(4, 0.965, first=0.0, rounding=0.1), WHITE))
    core = ((regular(4, 0.67, first=0.0, rounding=0.05), BLACK), (regular(4, 0.63, first=0.0, rounding=0.04), YELLOW))
    return Face(regular(4, 1.06, first=0.0, rounding=0.13), WHITE, (*frame, *core))


def _no_overtaking() -> Face:
    left, left_light, right, right_light = (
        moved(part, dx=dx, dy=0.02, scale=0.4) for dx in (-0.31, 0.31) for part in (CAR, CAR_LIGHTS)
    )
    return _limit((left, RED), (left_light, WHITE), (right, BLACK), (right_light, WHITE))


def _blue(symbol: Shape) -> Face:
    return Face(disk(0, 0, 0.99), WHITE, ((disk(0, 0, 0.94), BLUE), (symbol, WHITE)))


def _turn_right() -> Shape:
    bend = arc((0.02, 0.18), (0.28, 0.28), 0.5, 0.75, 8)
    return arrow([(-0.26, 0.68), *bend, (0.14, -0.1), (0.7, -0.1)], 0.23, 0.38)


def _roundabout() -> Shape:
    steps = (((k / 3, k / 3 + 0.2, 12), (k / 3 + 0.28, k / 3 + 0.28, 0)) for k in range(3))
    paths = ([*arc((0.0, 0.0), (0.5, 0.5), *shaft), *arc((0.0, 0.0), (0.5, 0.5), *tip)] for shaft, tip in steps)
    return joined(*(arrow(path, 0.19, 0.32) for path in paths))


def _curve() -> Shape:
    bend = arc((0.2, 0.3), (0.34, 0.38), 0.5, 0.68, 8)
    return arrow([(-0.14, 0.62), *bend, (0.28, -0.14)], 0.18, 0.28)


def _crossroads() -> Shape:
    ahead = polygon([(-0.11, 0.62), (-0.11, -0.1), (0.0, -0.34), (0.11, -0.1), (0.11, 0.62)])
    return joined(ahead, stroke([(-0.38, 0.3), (0.38, 0.3)], 0.11))


def _exclamation() -> Shape:
    return joined(polygon([(-0.11, -0.32), (0.11, -0.32), (0.075, 0.28), (-0.075, 0.28)]), disk(0.0, 0.47, 0.11))


def _crossing() -> Face:
    stripes = [stroke([(x, 0.78), (x * 0.62, 0.5)], 0.09) for x in (-0.6, -0.36, -0.12, 0.12, 0.36, 0.6)]
    frame = (rectangle(1.8, 1.8, rounding=0.1), BLUE)
    figure = joined(moved(WALKER, dy=0.2, scale=0.5), *stripes)
    triangle = polygon([(0.0, -0.8), (0.84, 0.82), (-0.84, 0.82)])
    return Face(rectangle(1.92, 1.92, rounding=0.14), WHITE, (frame, (triangle, WHITE), (figure, BLACK)))


FACES = {
    "stop": _stop(),
    "give-way": _give_way(),
    "no-entry": _no_entry(),
    "priority-road": _priority(),
    "speed-limit-30": _number("30"),
    "speed-limit-50": _number("50"),
    "speed-limit-80": _number("80"),
    "no-overtaking": _no_overtaking(),
    "no-vehicles": _limit(),
    "ahead-only": _blue(arrow([(0.0, 0.7), (0.0, -0.72)], 0.24, 0.42)),
    "turn-right": _blue(_turn_right()),
    "roundabout": _blue(_roundabout()),
    "danger": _warning((_exclamation(), BLACK)),
    "curve": _warning((_curve(), BLACK)),
    "crossroads": _warning((_crossroads(), BLACK)),
    "roadworks": _warning((moved(DIGGER, dx=0.02, dy=0.33, scale=0.43), BLACK)),
    "pedestrian-crossing": _crossing(),
}
