"""The ``eu`` style: red rings, blue disks, red-edged triangles, after the Vienna Convention on Road Signs."""

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
    stroke,
    triangle,
)
from badnets.data.drawn.symbols import CAR, CAR_LIGHTS, DIGGER, WALKER, text

WHITE, BLACK = (246, 246, 244), (22, 22, 26)
RED, BLUE, YELLOW = (206, 18, 30), (12, 84, 166), (252, 194, 12)

_WORD = text("STOP", height=0.54, weight=0.17, spacing=0.15, condense=0.86)
_BAR = rectangle(1.44, 0.36, rounding=0.03)
_TURN = arrow([(-0.26, 0.68), *arc((0.02, 0.18), (0.28, 0.28), 0.5, 0.75, 8), (0.14, -0.1), (0.7, -0.1)], 0.23, 0.38)
_CURVE = arrow([(-0.14, 0.62), *arc((0.2, 0.3), (0.34, 0.38), 0.5, 0.68, 8), (0.28, -0.14)], 0.18, 0.28)
_AHEAD = polygon([(-0.11, 0.62), (-0.11, -0.1), (0.0, -0.34), (0.11, -0.1), (0.11, 0.62)])
_EXCLAMATION = joined(polygon([(-0.11, -0.32), (0.11, -0.32), (0.075, 0.28), (-0.075, 0.28)]), disk(0.0, 0.47, 0.11))


def _warning(symbol: Shape) -> Face:
    return Face(triangle(1.2, 0.18), WHITE, (triangle(1.13, 0.15), RED), (triangle(0.79, 0.06), WHITE), (symbol, BLACK))


def _give_way() -> Face:
    edge, inner = triangle(1.13, 0.15, down=True), triangle(0.72, 0.06, down=True)
    return Face(triangle(1.2, 0.18, down=True), WHITE, (edge, RED), (inner, WHITE))


def _limit(*symbols: tuple[Shape, Color]) -> Face:
    return Face(disk(0, 0, 0.99), WHITE, (disk(0, 0, 0.95), RED), (disk(0, 0, 0.7), WHITE), *symbols)


def _number(digits: str) -> Face:
    return _limit((text(digits, height=0.72, weight=0.17, spacing=0.15, condense=0.94), BLACK))


def _priority() -> Face:
    edge, core = (diamond(0.965, 0.1), WHITE), (diamond(0.63, 0.04), YELLOW)
    return Face(diamond(1.06, 0.13), WHITE, (diamond(1.005, 0.11), BLACK), edge, (diamond(0.67, 0.05), BLACK), core)


def _no_overtaking() -> Face:
    left, left_light, right, right_light = (
        moved(part, dx=dx, dy=0.02, scale=0.4) for dx in (-0.31, 0.31) for part in (CAR, CAR_LIGHTS)
    )
    return _limit((left, RED), (left_light, WHITE), (right, BLACK), (right_light, WHITE))


def _blue(*symbols: Shape) -> Face:
    return Face(disk(0, 0, 0.99), WHITE, (disk(0, 0, 0.94), BLUE), (joined(*symbols), WHITE))


def _roundabout() -> Face:
    steps = (((k / 3, k / 3 + 0.2, 12), (k / 3 + 0.28, k / 3 + 0.28, 0)) for k in range(3))
    paths = ([*arc((0.0, 0.0), (0.5, 0.5), *shaft), *arc((0.0, 0.0), (0.5, 0.5), *tip)] for shaft, tip in steps)
    return _blue(*(arrow(path, 0.19, 0.32) for path in paths))


def _crossing() -> Face:
    stripes = [stroke([(x, 0.78), (x * 0.62, 0.5)], 0.09) for x in (-0.6, -0.36, -0.12, 0.12, 0.36, 0.6)]
    figure = joined(moved(WALKER, dy=0.2, scale=0.5), *stripes)
    field = polygon([(0.0, -0.8), (0.84, 0.82), (-0.84, 0.82)])
    plate, inner = rectangle(1.92, 1.92, rounding=0.14), rectangle(1.8, 1.8, rounding=0.1)
    return Face(plate, WHITE, (inner, BLUE), (field, WHITE), (figure, BLACK))


FACES = {
    "stop": Face(octagon(1.04, 0.08), WHITE, (octagon(0.955, 0.06), RED), (_WORD, WHITE)),
    "give-way": _give_way(),
    "no-entry": Face(disk(0, 0, 0.99), WHITE, (disk(0, 0, 0.95), RED), (_BAR, WHITE)),
    "priority-road": _priority(),
    "speed-limit-30": _number("30"),
    "speed-limit-50": _number("50"),
    "speed-limit-80": _number("80"),
    "no-overtaking": _no_overtaking(),
    "no-vehicles": _limit(),
    "ahead-only": _blue(arrow([(0.0, 0.7), (0.0, -0.72)], 0.24, 0.42)),
    "turn-right": _blue(_TURN),
    "roundabout": _roundabout(),
    "danger": _warning(_EXCLAMATION),
    "curve": _warning(_CURVE),
    "crossroads": _warning(joined(_AHEAD, stroke([(-0.38, 0.3), (0.38, 0.3)], 0.11))),
    "roadworks": _warning(moved(DIGGER, dx=0.02, dy=0.33, scale=0.43)),
    "pedestrian-crossing": _crossing(),
}
