"""What stands behind a sign: a street, open country, a wall, or leaves, and clutter in all of them."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np

from badnets.data.drawn.canvas import Canvas, Field, Palette, blur, off_middle, paint, rgb

COLORS: dict[str, Palette] = json.loads((files("badnets.data.drawn") / "palettes.json").read_text(encoding="utf-8"))


def background(canvas: Canvas) -> Field:
    """Backgrounds (n, 3, size, size), each out of focus by its own amount."""
    kinds = canvas.rng.integers("kind", 4)
    picture = np.empty((len(canvas), 3, canvas.size, canvas.size), dtype=np.float32)
    for kind, painter in enumerate((_street, _country, _wall, _leaves)):
        chosen = np.flatnonzero(kinds == kind)
        if len(chosen):
            picture[chosen] = painter(canvas.take(chosen))
    _clutter(canvas, picture)
    focus = canvas.uniform("focus")
    radius = np.float32(0.045) * focus * focus
    return blur(picture, radius, radius)


def foliage(canvas: Canvas, name: str, picture: Field, mask: Field) -> None:
    """Leaves where ``mask`` is: dark ones, on them lighter ones, on them single bright ones."""
    fine = canvas.fractal(f"{name}.fine", 9, 3)
    light = canvas.color(f"{name}.light", COLORS["leaf"])
    paint(picture, mask, canvas.color(f"{name}.dark", COLORS["leaf-dark"]))
    paint(picture, mask * np.clip((fine - np.float32(0.40)) * np.float32(7), 0, 1), light)
    paint(picture, mask * np.clip((fine - np.float32(0.58)) * np.float32(9), 0, 1) * np.float32(0.7), light * 1.45)


def pole(
    canvas: Canvas, picture: Field, x: Field, y: Field, lean: Field, radius: Field, foot: Field | None = None
) -> None:
    """The sign's pole from its middle (x, y) down to ``foot`` or out of the picture, rounded by light and shade."""
    half = radius * canvas.uniform("pole.width", 0.05, 0.11)
    across = (canvas.x - x - lean * (canvas.y - y)) / half
    mask = canvas.cover((np.float32(1) - np.abs(across)) * half) * canvas.cover(canvas.y - y)
    if foot is not None:
        mask = mask * canvas.cover(foot - canvas.y)
    side = across - canvas.uniform("pole.side", -0.5, 0.5)
    light = np.clip(np.float32(1.25) - np.float32(0.55) * side * side, 0.35, 1.3)
    paint(picture, mask, canvas.color("pole", COLORS["metal"]) * light)


def _sky(canvas: Canvas) -> Field:
    down = np.clip(canvas.y * canvas.uniform("sky.fall", 0.9, 1.7), 0, 1)
    top, low = canvas.color("sky", COLORS["sky"]), canvas.color("horizon", COLORS["horizon"], vary=0.06)
    picture = top + down * (low - top) + np.zeros_like(canvas.x)
    clouds = canvas.fractal("clouds", 3, 3, down=6)
    amount = canvas.uniform("clouds.amount", 0.0, 0.85)
    paint(picture, np.clip((clouds - np.float32(0.48)) * np.float32(4), 0, 1) * amount, low * np.float32(1.04))
    return np.asarray(picture, dtype=np.float32)


def _street(canvas: Canvas) -> Field:
    picture = _sky(canvas)
    horizon = canvas.uniform("horizon", 0.6, 0.86)
    for k in range(5):
        _building(canvas, picture, f"building.{k}", k * 0.23 - 0.16, horizon)
    trees = canvas.uniform("trees", -0.1, 0.4) * canvas.fractal("trees.top", 5, down=0)
    mask = canvas.cover((canvas.y - horizon + trees) * np.float32(0.5)) * (canvas.y < horizon + np.float32(0.02))
    foliage(canvas, "trees", picture, mask.astype(np.float32))
    _road(canvas, picture, horizon, canvas.color("walk", [(160, 156, 148), (134, 132, 130), (104, 122, 74)]))
    return picture


def _building(canvas: Canvas, picture: Field, name: str, place: float, horizon: Field) -> None:
    left = canvas.uniform(f"{name}.left", place, place + 0.16)
    right = left + canvas.uniform(f"{name}.width", 0.2, 0.42)
    top = canvas.uniform(f"{name}.top", 0.0, 0.6) * horizon
    mask = canvas.box(left, right, top, horizon + np.float32(0.05))
    wall = canvas.color(name, COLORS["facade"]) * (np.float32(1.1) - np.float32(0.3) * canvas.y)
    paint(picture, mask, wall)
    wide, high = canvas.uniform(f"{name}.wide", 0.045, 0.1), canvas.uniform(f"{name}.high", 0.06, 0.13)
    u, v = off_middle(np.divide(canvas.x - left, wide)), off_middle(np.divide(canvas.y - top, high))
    share = canvas.uniform(f"{name}.share", 0.18, 0.4)
    panes = canvas.cover((share - u) * wide) * canvas.cover((np.float32(0.3) - v) * high)
    gleam = np.float32(0.75) + np.float32(0.5) * canvas.noise(name, 7)
    glass = canvas.color(f"{name}.glass", COLORS["glass"]) * gleam
    paint(picture, mask * panes * np.float32(0.85), glass)
    paint(picture, mask * canvas.cover(left + np.float32(0.012) - canvas.x), wall * np.float32(0.7))


def _road(canvas: Canvas, picture: Field, horizon: Field, side: Field) -> None:
    depth = np.maximum(canvas.y - horizon, 0)
    below = canvas.cover(canvas.y - horizon)
    grain = np.float32(0.85) + np.float32(0.3) * canvas.fractal("road.grain", 8, 2, down=24)
    paint(picture, below, side * grain)
    middle = canvas.uniform("road.middle", -0.2, 1.2) + canvas.uniform("road.bend", -1.2, 1.2) * depth
    half = np.float32(0.06) + depth * canvas.uniform("road.width", 1.0, 3.0)
    away = np.abs(canvas.x - middle)
    paint(picture, below * canvas.cover(half - away), canvas.color("road", COLORS["road"]) * grain)
    line = np.float32(0.004) + depth * np.float32(0.05)
    lines = canvas.cover(line - np.abs(away - half * np.float32(0.86)))
    paint(picture, below * lines * np.float32(0.8), rgb(224, 224, 214))


def _country(canvas: Canvas) -> Field:
    picture = _sky(canvas)
    horizon = canvas.uniform("horizon", 0.5, 0.8)
    for k, height in enumerate((0.5, 0.28)):
        top = horizon - canvas.fractal(f"hill.{k}", 2 + 2 * k, down=0) * canvas.uniform(f"hill.{k}.height", 0.1, height)
        shade = canvas.color(f"hill.{k}", COLORS["hill"]) * np.float32(1.1 - 0.2 * k)
        paint(picture, canvas.cover(canvas.y - top), shade + np.float32(0.15) * (horizon - canvas.y))
    grass = canvas.fractal("grass", 5, 3, down=20)
    ground = canvas.color("field", COLORS["field"]) * (np.float32(0.7) + np.float32(0.6) * grass)
    paint(picture, canvas.cover(canvas.y - horizon), ground)
    top = horizon - canvas.uniform("hedge", 0.0, 0.45) * canvas.fractal("hedge.top", 4, 4, down=0)
    bottom = horizon + np.float32(0.05) * canvas.fractal("hedge.foot", 6, down=0)
    foliage(canvas, "hedge", picture, canvas.cover(canvas.y - top) * canvas.cover(bottom - canvas.y))
    with_road = np.flatnonzero(canvas.chance("with-road", 0.5)[:, 0, 0, 0])
    if len(with_road):
        part, some = canvas.take(with_road), picture[with_road]
        _road(part, some, horizon[with_road] + np.float32(0.04), part.color("field", COLORS["field"]))
        picture[with_road] = some
    return picture


def _wall(canvas: Canvas) -> Field:
    stone = canvas.color("stone", COLORS["stone"])
    stain = canvas.fractal("stain", 3, 4)
    high = canvas.uniform("brick.high", 0.035, 0.09)
    wide = high * canvas.uniform("brick.wide", 2.0, 3.2)
    v = canvas.y / high
    row = np.floor(v)
    u = canvas.x / wide + np.float32(0.5) * (row - np.float32(2) * np.floor(row / 2))
    joint = np.float32(0.006)
    edge_u, edge_v = np.abs(u - np.floor(u + np.float32(0.5))) * wide, np.abs(v - np.floor(v + np.float32(0.5))) * high
    mortar = np.maximum(canvas.cover(joint - edge_u), canvas.cover(joint - edge_v))
    # Bricks of one wall differ: a cheap scatter of row and column into 0..1.
    mixed = (np.floor(u) * np.float32(0.6180339) + row * np.float32(0.7548777)) * np.float32(7.3)
    each = mixed - np.floor(mixed)
    laid = canvas.chance("bricks", 0.6)
    tone = np.float32(0.72) + np.float32(0.5) * stain + laid * np.float32(0.24) * (each - np.float32(0.5))
    picture = np.asarray(stone * tone, dtype=np.float32)
    mortar = mortar * laid * canvas.uniform("mortar", 0.3, 0.8)
    paint(picture, mortar, canvas.color("lime", [(190, 184, 172), (96, 90, 86)]))
    left, top = canvas.uniform("window.left", -0.4, 0.9), canvas.uniform("window.top", -0.5, 0.6)
    right, bottom = left + canvas.uniform("window.wide", 0.2, 0.5), top + canvas.uniform("window.high", 0.3, 0.8)
    rim = np.float32(0.03)
    paint(picture, canvas.box(left - rim, right + rim, top - rim, bottom + rim), stone * np.float32(1.3))
    glass = canvas.color("glass", COLORS["glass"]) * (np.float32(1.3) - np.float32(0.7) * canvas.noise("glass", 3))
    paint(picture, canvas.box(left, right, top, bottom), glass)
    fall = canvas.uniform("wall.light", -0.35, 0.35)
    picture *= np.float32(1) + fall * (canvas.x - np.float32(0.5)) * 2
    road = canvas.color("road", COLORS["road"]) * (np.float32(0.8) + np.float32(0.4) * stain)
    paint(picture, canvas.cover(canvas.y - canvas.uniform("street", 0.75, 1.3)), road)
    return picture


def _leaves(canvas: Canvas) -> Field:
    picture = _sky(canvas)
    deep = canvas.fractal("deep", 4, 3)
    everywhere = np.clip((deep + canvas.uniform("dense", -0.1, 0.35) - np.float32(0.3)) * np.float32(8), 0, 1)
    foliage(canvas, "back", picture, everywhere)
    front = np.clip((canvas.fractal("front", 3, 4) - canvas.uniform("gap", 0.4, 0.6)) * np.float32(10), 0, 1)
    foliage(canvas, "front", picture, front)
    for k in range(3):
        x, lean = canvas.uniform(f"trunk.{k}", -0.2, 1.2), canvas.uniform(f"trunk.{k}.lean", -0.15, 0.15)
        half = canvas.uniform(f"trunk.{k}.half", 0.008, 0.045) * canvas.chance(f"trunk.{k}.there", 0.6)
        away = canvas.x - x - lean * canvas.y
        round_off: Field = np.divide(away, half + np.float32(1e-3)) * np.float32(0.5) + np.float32(1)
        bark = canvas.color(f"trunk.{k}", [(62, 50, 40), (88, 78, 68), (46, 40, 34)]) * round_off
        there: Field = (half > 0).astype(np.float32)
        paint(picture, there * canvas.cover(half - np.abs(away)), bark)
    for name in (f"bokeh.{k}" for k in range(7)):  # spots of light out of focus
        radius = canvas.uniform(f"{name}.radius", 0.02, 0.09)
        dx, dy = canvas.x - canvas.uniform(f"{name}.x"), canvas.y - canvas.uniform(f"{name}.y")
        mask = canvas.cover(radius - np.sqrt(dx * dx + dy * dy)) * canvas.uniform(f"{name}.strength", 0.0, 0.4)
        paint(picture, mask, canvas.color(name, COLORS["horizon"], vary=0.2))
    return picture


def _clutter(canvas: Canvas, picture: Field) -> None:
    """Colored boxes (cars, boards), far poles, wires."""
    for k in range(2):
        there = canvas.chance(f"board.{k}", 0.3)
        x, y = canvas.uniform(f"board.{k}.x", -0.2, 1.0), canvas.uniform(f"board.{k}.y", 0.4, 0.95)
        right, bottom = x + canvas.uniform(f"board.{k}.w", 0.1, 0.4), y + canvas.uniform(f"board.{k}.h", 0.06, 0.22)
        shade = np.float32(1) - np.float32(2) * np.clip(canvas.y - y, 0, 0.3)
        board = there * np.float32(0.85) * canvas.box(x, right, y, bottom)
        paint(picture, board, canvas.color(f"board.{k}", COLORS["bright"]) * shade)
    for k in range(2):
        x, half = canvas.uniform(f"far.{k}", -0.1, 1.1), canvas.uniform(f"far.{k}.half", 0.005, 0.018)
        mask = canvas.chance(f"far.{k}.there", 0.35) * canvas.cover(half - np.abs(canvas.x - x))
        mask = mask * canvas.cover(canvas.y - canvas.uniform(f"far.{k}.top", -0.3, 0.6))
        paint(picture, mask, canvas.color(f"far.{k}", COLORS["metal"]))
    for k in range(2):
        drop = canvas.x - canvas.uniform(f"wire.{k}.low", 0.2, 0.8)
        height = canvas.uniform(f"wire.{k}", 0.0, 0.5) - canvas.uniform(f"wire.{k}.sag", -0.1, 0.25) * drop * drop
        height = height + canvas.uniform(f"wire.{k}.tilt", -0.25, 0.25) * drop
        mask = canvas.cover(np.float32(0.004) - np.abs(canvas.y - height)) * canvas.chance(f"wire.{k}.there", 0.35)
        paint(picture, mask * np.float32(0.8), rgb(30, 30, 33))
