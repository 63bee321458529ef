"""Polygons, strokes and arrows, how much of each pixel they cover, and the faces of signs that are made of them.

Coordinates are the sign's own: x to the right and y down, the sign's face inside [-1, 1] x [-1, 1].
A ``Shape`` is the union of its polygons.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Polygon = NDArray[np.float64]
Shape = tuple[Polygon, ...]
Color = tuple[int, int, int]

_FINE = 4  # sub-pixels across and down each pixel of a face
_TAU = 6.283185307179586


def direction(turns: float) -> Point:
    """The unit vector at ``turns`` of a full circle (0 right, 0.25 down).

    By its Taylor series: the last bit of the C library's sine differs between machines.
    """
    angle = (turns - float(np.rint(turns))) * _TAU
    cosine, sine, term = 0.0, 0.0, 1.0
    for k in range(32):
        if k % 2 == 0:
            cosine += term if k % 4 == 0 else -term
        else:
            sine += term if k % 4 == 1 else -term
        term = term * angle / (k + 1)
    return cosine, sine


def polygon(points: Iterable[Point]) -> Shape:
    """The polygon through ``points``."""
    return (np.array(list(points), dtype=np.float64),)


def arc(center: Point, radii: Point, start: float, stop: float, steps: int = 16) -> list[Point]:
    """Points on an ellipse from ``start`` to ``stop``, in turns; clockwise on the screen when stop > start."""
    turns = [start + (stop - start) * k / max(steps, 1) for k in range(steps + 1)]
    return [(center[0] + radii[0] * c, center[1] + radii[1] * s) for c, s in map(direction, turns)]


def disk(x: float, y: float, radius: float) -> Shape:
    """A filled circle."""
    return polygon(arc((x, y), (radius, radius), 0.0, 1.0, 64)[:-1])


def octagon(radius: float, rounding: float) -> Shape:
    """The plate of a stop sign."""
    return regular(8, radius, first=1 / 16, rounding=rounding)


def diamond(radius: float, rounding: float) -> Shape:
    """A square on its corner."""
    return regular(4, radius, first=0.0, rounding=rounding)


def triangle(radius: float, rounding: float, *, down: bool = False) -> Shape:
    """A triangle on its side, or on its corner; it is moved to the middle of the face."""
    shape = regular(3, radius, first=0.25 if down else -0.25, rounding=rounding)
    return moved(shape, dy=-0.27 if down else 0.27)


def regular(corners: int, radius: float, *, first: float, rounding: float = 0.0) -> Shape:
    """A regular polygon; ``first`` is the direction of its first corner in turns, ``rounding`` a corner radius."""
    steps = (direction(first + k / corners) for k in range(corners))
    return rounded([(radius * c, radius * s) for c, s in steps], rounding)


def rectangle(width: float, height: float, *, center: Point = (0.0, 0.0), rounding: float = 0.0) -> Shape:
    """An upright rectangle with rounded corners."""
    (x, y), w, h = center, width / 2, height / 2
    return rounded([(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)], rounding)


def rounded(corners: Sequence[Point], radius: float) -> Shape:
    """A convex polygon whose corners are arcs of ``radius``."""
    if radius <= 0:
        return polygon(corners)
    points: list[Polygon] = []
    at = np.array(corners, dtype=np.float64)
    for before, corner, after in zip(np.roll(at, 1, 0), at, np.roll(at, -1, 0), strict=True):
        a, b = _unit(before - corner), _unit(after - corner)
        cosine = float(a[0] * b[0] + a[1] * b[1])
        reach = radius * float(np.sqrt((1 + cosine) / (1 - cosine)))  # from the corner to where the arc begins
        weight = float(np.sqrt((1 - cosine) / 2))  # a rational Bezier curve of this weight is a circular arc
        start, stop = corner + a * reach, corner + b * reach
        for t in (k / 8 for k in range(9)):
            parts = ((1 - t) ** 2, 2 * t * (1 - t) * weight, t**2)
            points.append((start * parts[0] + corner * parts[1] + stop * parts[2]) / sum(parts))
    return (np.array(points),)


def stroke(points: Sequence[Point], width: float) -> Shape:
    """A line of ``width`` along ``points``, with mitered joints and flat ends."""
    at = np.array(points, dtype=np.float64)
    at = at[np.append(True, np.abs(np.diff(at, axis=0)).sum(axis=1) > 1e-6)]  # a point twice has no direction
    along = np.array([_unit(step) for step in np.diff(at, axis=0)])
    normals = np.stack([-along[:, 1], along[:, 0]], axis=1)
    before, after = np.vstack([normals[:1], normals]), np.vstack([normals, normals[-1:]])
    spread = np.maximum(1 + (before * after).sum(axis=1, keepdims=True), 0.5)  # limits the miter of sharp corners
    offset = (before + after) / spread * (width / 2)
    return (np.vstack([at + offset, (at - offset)[::-1]]),)


def arrow(points: Sequence[Point], width: float, head: float) -> Shape:
    """A line along ``points`` that ends in a triangle ``head`` long and 1.5 heads wide, its tip at the last point."""
    tip, last = np.array(points[-1]), np.array(points[-2])
    along = _unit(tip - last)
    across = np.array([-along[1], along[0]])
    base = tip - along * head
    shaft = stroke([*points[:-1], (float(base[0] + along[0] * 0.02), float(base[1] + along[1] * 0.02))], width)
    return (*shaft, np.array([tip, base + across * head * 0.75, base - across * head * 0.75]))


def moved(shape: Shape, *, dx: float = 0.0, dy: float = 0.0, scale: float = 1.0) -> Shape:
    """The shape scaled about the origin, then shifted."""
    return tuple(part * scale + np.array([dx, dy]) for part in shape)


def joined(*shapes: Shape) -> Shape:
    """The union of shapes."""
    return tuple(part for shape in shapes for part in shape)


def coverage(shape: Shape, size: int) -> NDArray[np.float32]:
    """How much of each pixel of a face (size, size) the shape covers, 0..1.

    Scan lines with the non-zero winding rule at ``_FINE`` sub-pixels: every edge adds its direction where it crosses a
    line, and the running sum along the line is not zero inside.
    """
    n = size * _FINE
    parts = [(part + 1.0) * (n / 2) for part in shape]
    everything = np.concatenate(parts)
    # Only the whole pixels that the shape can touch are worked on; most letters are small.
    low = np.clip(np.floor(everything.min(axis=0) / _FINE), 0, size).astype(np.int64)
    high = np.clip(np.ceil(everything.max(axis=0) / _FINE), 0, size).astype(np.int64)
    wide, tall = (int(v) for v in (high - low) * _FINE)
    winding = np.zeros((tall, wide + 1), dtype=np.int8)
    for part in parts:
        corners = part - low * _FINE
        x, y = corners[:, 0], corners[:, 1]
        area = float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
        sign = 1 if area > 0 else -1
        for k in range(len(corners)):
            _cross(winding, corners[k - 1], corners[k], sign)
    inside = (np.cumsum(winding[:, :wide], axis=1, dtype=np.int8) != 0).view(np.uint8)
    inside = inside.reshape(tall // _FINE, _FINE, wide // _FINE, _FINE)
    count = inside.sum(axis=(1, 3), dtype=np.uint8)
    out = np.zeros((size, size), dtype=np.float32)
    out[low[1] : high[1], low[0] : high[0]] = count.astype(np.float32) / np.float32(_FINE * _FINE)
    return out


def _cross(winding: NDArray[np.int8], a: Polygon, b: Polygon, sign: int) -> None:
    """Add the crossings of the edge a-b with the middles of the lines."""
    if a[1] > b[1]:
        a, b, sign = b, a, -sign
    tall, wide = winding.shape
    first, stop = int(np.ceil(max(a[1], 0.0) - 0.5)), int(np.ceil(min(b[1], float(tall)) - 0.5))
    if stop <= first:
        return
    rows = np.arange(first, stop)
    x = a[0] + (rows + 0.5 - a[1]) * ((b[0] - a[0]) / (b[1] - a[1]))
    columns = np.clip(np.ceil(x - 0.5), 0, wide - 1).astype(np.int64)
    winding[rows, columns] += np.int8(sign)


def _unit(vector: Polygon) -> Polygon:
    length = np.sqrt(vector[0] * vector[0] + vector[1] * vector[1])
    return np.asarray(vector / length, dtype=np.float64)


class Face:
    """What is painted on a sign: ``outline`` is the plate, in the color ``base``; ``layers`` are painted on it one
    after the other. Colors are sRGB, 0..255."""

    def __init__(self, outline: Shape, base: Color, *layers: tuple[Shape, Color]) -> None:
        self.outline, self.base, self.layers = outline, base, layers

    def draw(self, size: int) -> NDArray[np.float32]:
        """(size, size, 4): red, green, blue times alpha, and alpha, all 0..1."""
        alpha = coverage(self.outline, size)[..., None]
        color = np.full((size, size, 3), self.base, np.float32) / np.float32(255)
        for shape, paint in self.layers:
            color += coverage(shape, size)[..., None] * (np.array(paint, np.float32) / np.float32(255) - color)
        return np.concatenate([color * alpha, alpha], axis=2)
