"""From a face and a background to a photograph: pose, perspective, light, shadow, blur, noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from badnets.core.seed import RowRng
from badnets.data.drawn.background import background, foliage, pole
from badnets.data.drawn.canvas import Canvas, Field, blur, per_picture, rgb
from badnets.data.drawn.shapes import Face
from badnets.data.images import Pixels
from badnets.data.targets import Regions, Rows

_LANE = np.uint64(0xFFFF)
_MUD = rgb(87, 74, 56)


@dataclass(frozen=True, eq=False)
class Pose:
    """Where the signs hang. ``to_picture (n, 3, 3)`` takes face coordinates to shares of the picture; float64."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    radius: NDArray[np.float64]
    lean: NDArray[np.float64]
    to_picture: NDArray[np.float64]

    @classmethod
    def of(cls, canvas: Canvas) -> Pose:
        """Random poses: half to nearly all of the picture, turned about all three axes, near or far."""
        rng = canvas.rng
        radius = rng.uniform("radius", 0.21, 0.46)
        room = np.maximum(0.49 - radius, 0.02)
        x = 0.5 + room * rng.uniform("x", -1, 1)
        y = 0.5 + room * rng.uniform("y", -1, 1)
        return cls.hung(rng, x, y, radius)

    @classmethod
    def hung(cls, rng: RowRng, x: NDArray[np.float64], y: NDArray[np.float64], radius: NDArray[np.float64]) -> Pose:
        """Signs of which the middle and the radius are known, turned at random."""
        roll = turn(0.055 * (rng.uniform("roll.1", -1, 1) + rng.uniform("roll.2", -1, 1)))
        yaw, pitch = turn(rng.uniform("yaw", -0.3, 0.3)), turn(rng.uniform("pitch", -0.14, 0.14))
        distance = rng.uniform("distance", 2.4, 6.0)
        (cr, sr), (cy, sy), (cp, sp) = roll, yaw, pitch
        # Columns of the rotation roll * pitch * yaw that the flat face needs: where its x and y axes go.
        ax, ay, az = cr * cy - sr * sp * sy, sr * cy + cr * sp * sy, -cp * sy
        bx, by, bz = -sr * cp, cr * cp, sp
        d, rd = distance, radius * distance
        rows = [rd * ax + x * az, rd * bx + x * bz, x * d, rd * ay + y * az, rd * by + y * bz, y * d, az, bz, d]
        return cls(x, y, radius, -sr / cr, np.stack(rows, axis=1).reshape(-1, 3, 3))

    def extent(self, faces: Sequence[Face], labels: Rows) -> NDArray[np.float64]:
        """The tight box around each sign in shares of the picture, wherever it hangs (n, 4)."""
        out = np.zeros((len(labels), 4), dtype=np.float64)
        for label in np.unique(labels):
            chosen = np.flatnonzero(labels == label)
            points = np.concatenate(faces[int(label)].outline)
            u, v = points[None, :, 0], points[None, :, 1]
            m = self.to_picture[chosen][:, :, :, None]
            depth = m[:, 2, 0] * u + m[:, 2, 1] * v + m[:, 2, 2]
            px, py = ((m[:, row, 0] * u + m[:, row, 1] * v + m[:, row, 2]) / depth for row in (0, 1))
            out[chosen] = np.stack([px.min(1), py.min(1), px.max(1), py.max(1)], axis=1)
        return out

    def region(self, faces: Sequence[Face], labels: Rows, size: int) -> Regions:
        """The tight box around each sign in pixels, within the picture (n, 4)."""
        return np.clip(self.extent(faces, labels) * size, 0, size).astype(np.float32)

    def within(self, left: Rows, top: Rows, side: int, size: int) -> Pose:
        """The same signs seen from square windows of ``side`` pixels in pictures of ``size`` pixels."""
        m, grow = self.to_picture, size / side
        across = m[:, 0] * grow - m[:, 2] * (left / side)[:, None]
        down = m[:, 1] * grow - m[:, 2] * (top / side)[:, None]
        x, y = self.x * grow - left / side, self.y * grow - top / side
        return Pose(x, y, self.radius * grow, self.lean, np.stack([across, down, m[:, 2]], axis=1))

    def take(self, index: NDArray[np.integer]) -> Pose:
        """Some of the signs."""
        return Pose(*(value[index] for value in (self.x, self.y, self.radius, self.lean, self.to_picture)))


def turn(half_tangent: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosine and sine of an angle from the tangent of its half: no trigonometry needed."""
    square = half_tangent * half_tangent
    return (1 - square) / (1 + square), 2 * half_tangent / (1 + square)


@dataclass(frozen=True, eq=False)
class Plates:
    """All faces of a style, ready to be sampled: ``texels`` (classes * side * side) of four 16-bit lanes each
    (red, green, blue, alpha; 12 bits used, so that 16 of them can be added up in place)."""

    texels: NDArray[np.uint64]
    side: int

    @classmethod
    def of(cls, faces: Sequence[Face], side: int) -> Plates:
        """Draw the faces ``side`` pixels wide, with the light on the plate's edge, and a clear margin of a pixel."""
        stack = np.stack([_edge_light(face.draw(side)) for face in faces])
        stack[:, [0, -1]] = 0
        stack[:, :, [0, -1]] = 0
        lanes = np.floor(stack * np.float32(4095) + np.float32(0.5)).astype(np.uint64)
        packed = np.bitwise_or.reduce(lanes << (np.arange(4, dtype=np.uint64) * np.uint64(16)), axis=3)
        return cls(packed.reshape(-1), side)

    def seen(self, labels: Rows, pose: Pose, size: int, samples: int, shift: float = 0.0) -> Field:
        """The signs as they appear (n, 4, size, size), ``samples`` x ``samples`` per pixel, shifted right and down."""
        inverse = _inverse(pose.to_picture).astype(np.float32)[:, :, :, None, None]
        base = (labels * (self.side * self.side)).astype(np.int32)[:, None, None]
        total = np.zeros((len(labels), size, size), dtype=np.uint64)
        steps = np.arange(size, dtype=np.float32)[None]
        half, last = np.float32(self.side / 2), np.float32(self.side - 1)
        for k in range(samples * samples):
            down, right = divmod(k, samples)
            x = (steps[:, None, :] + np.float32((right + 0.5) / samples)) / np.float32(size) - np.float32(shift)
            y = (steps[:, :, None] + np.float32((down + 0.5) / samples)) / np.float32(size) - np.float32(shift)
            depth = half / (inverse[:, 2, 0] * x + (inverse[:, 2, 1] * y + inverse[:, 2, 2]))
            u = (inverse[:, 0, 0] * x + (inverse[:, 0, 1] * y + inverse[:, 0, 2])) * depth + half
            v = (inverse[:, 1, 0] * x + (inverse[:, 1, 1] * y + inverse[:, 1, 2])) * depth + half
            column, row = np.clip(u, 0, last).astype(np.int32), np.clip(v, 0, last).astype(np.int32)
            row *= np.int32(self.side)
            row += column
            row += base
            total += self.texels[row]
        lanes = [(total >> np.uint64(16 * k)) & _LANE for k in range(4)]
        return np.stack(lanes, axis=1).astype(np.float32) / np.float32(4095 * samples * samples)


def _edge_light(face: Field) -> Field:
    """The plate's rim catches light from the upper left and is dark on the other side."""
    step = max(1, len(face) // 64)
    alpha = face[..., 3]
    lit, dark = alpha.copy(), alpha.copy()
    lit[step:, step:] -= alpha[:-step, :-step]
    dark[:-step, :-step] -= alpha[step:, step:]
    out = face.copy()
    out[..., :3] += np.clip(lit, 0, 1)[..., None] * np.float32(0.12) * (alpha[..., None] - face[..., :3])
    out[..., :3] *= np.float32(1) - np.float32(0.3) * np.clip(dark, 0, 1)[..., None]
    return out


def _inverse(m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverses of 3x3 matrices up to a factor (n, 3, 3), by the adjugate: a solver's last bits differ by machine."""
    a, b, c, d, e, f, g, h, i = (m[:, row, column] for row in range(3) for column in range(3))
    entries = [e * i - f * h, c * h - b * i, b * f - c * e]
    entries += [f * g - d * i, a * i - c * g, c * d - a * f]
    entries += [d * h - e * g, b * g - a * h, a * e - b * d]
    adjugate = np.stack(entries, axis=1).reshape(-1, 3, 3)
    return np.asarray(adjugate / adjugate[:, 2:, 2:], dtype=np.float64)


def photograph(canvas: Canvas, faces: Sequence[Face], plates: Plates, labels: Rows) -> tuple[Pixels, Regions]:
    """Pictures (n, size, size, 3) and regions (n, 4)."""
    size = canvas.size
    pose = Pose.of(canvas)
    samples = 4 if size <= 48 else 3
    picture = background(canvas)
    x, y, lean, radius = per_picture(pose.x, pose.y, pose.lean, pose.radius)
    pole(canvas, picture, x, y, lean, radius)
    sign = plates.seen(labels, pose, size, samples)
    behind = plates.seen(labels, pose, size, 2, shift=0.012)[:, 3:]
    picture *= np.float32(1) - np.float32(0.55) * behind
    color = on_the_plate(canvas, sign)
    picture *= np.float32(1) - sign[:, 3:]
    picture += color
    _in_front(canvas, picture, x, y, radius)
    taken = exposed(canvas, picture, darkest=0.2, soft=(0.006, 0.06), noise=0.1)
    return taken, pose.region(faces, labels, size)


def on_the_plate(canvas: Canvas, sign: Field) -> Field:
    """Colors times alpha after age, dirt, light across the plate, gloss, and the shadow of a tree or an edge."""
    alpha = sign[:, 3:]
    color = sign[:, :3].copy()
    age = canvas.uniform("age")
    color += np.float32(0.3) * age * age * (alpha * np.float32(0.72) - color)
    dirt = canvas.uniform("dirt") * np.clip((canvas.fractal("dirt", 5, 3) - np.float32(0.5)) * 3, 0, 1)
    color += np.float32(0.45) * dirt * (alpha * _MUD - color)
    slope_x, slope_y = canvas.uniform("slope.x", -0.3, 0.3), canvas.uniform("slope.y", -0.3, 0.3)
    across = slope_x * (canvas.x - np.float32(0.5)) + slope_y * (canvas.y - np.float32(0.5))
    color *= np.float32(1) + across
    gloss = canvas.uniform("gloss.strength")
    away = np.abs(canvas.x + canvas.uniform("gloss.lean", -1, 1) * canvas.y - canvas.uniform("gloss.x", -0.5, 1.5))
    color += alpha * np.float32(0.4) * gloss * gloss * gloss * np.clip(np.float32(1) - away * 4, 0, 1)
    spots = np.clip((canvas.fractal("shade", 4, 2) - canvas.uniform("shade.gap", 0.4, 0.6)) * 9, 0, 1)
    edge = canvas.x + canvas.uniform("shade.lean", -1, 1) * (canvas.y - np.float32(0.5))
    edge = np.clip((edge - canvas.uniform("shade.x", 0.2, 0.8)) * 12, 0, 1)
    tree = canvas.chance("shade.tree", 0.6)
    shade = edge + tree * (spots - edge)
    color *= np.float32(1) - canvas.chance("shade.there", 0.4) * canvas.uniform("shade.depth", 0.2, 0.6) * shade
    return color


def _in_front(canvas: Canvas, picture: Field, x: Field, y: Field, radius: Field) -> None:
    """Some signs are partly behind leaves that reach in from one side."""
    chosen = np.flatnonzero(canvas.chance("front.there", 0.16)[:, 0, 0, 0])
    if not len(chosen):
        return
    part, some = canvas.take(chosen), picture[chosen]
    c, s = per_picture(*turn(part.rng.uniform("front.angle", -4, 4)))
    outward = ((part.x - x[chosen]) * c + (part.y - y[chosen]) * s) / radius[chosen]
    reach = outward - part.uniform("front.reach", 0.25, 0.95) + (part.fractal("front.edge", 4, 3) - np.float32(0.5)) * 2
    foliage(part, "front.leaves", some, np.clip(reach * 10, 0, 1))
    picture[chosen] = some


def exposed(canvas: Canvas, picture: Field, *, darkest: float, soft: tuple[float, float], noise: float) -> Pixels:
    """The photograph (n, size, size, 3).

    Exposure (from ``darkest`` on), color of the light, haze, a little vignette; softness (``soft`` at the least, and
    how much more); the sensor's noise, up to about ``noise``: a constant part, and one that grows as the root of light.
    """
    bright = canvas.uniform("exposure")
    gain = np.float32(darkest) + np.float32(1.18 - darkest) * bright * (np.float32(1.75) - np.float32(0.75) * bright)
    cast = np.concatenate([canvas.uniform(f"cast.{k}", 0.9, 1.1) for k in range(3)], axis=1)
    haze = canvas.uniform("haze")
    grey = canvas.uniform("haze.grey", 0.55, 0.9)
    picture += np.float32(0.5) * haze * haze * haze * (grey - picture)
    dx, dy = canvas.x - np.float32(0.5), canvas.y - np.float32(0.5)
    picture *= gain * cast * (np.float32(1) - np.float32(0.35) * (dx * dx + dy * dy))
    more = canvas.uniform("soft")
    across = np.float32(soft[0]) + np.float32(soft[1]) * more * more * more
    picture = blur(picture, across * canvas.uniform("soft.x", 0.6, 1.4), across * canvas.uniform("soft.y", 0.6, 1.4))
    bits = canvas.rng.cells("noise", 3, canvas.size, canvas.size)
    total = np.zeros(picture.shape, dtype=np.float32)
    for k in range(4):  # four uniform numbers make a bell curve of standard deviation sqrt(1/3)
        total += ((bits >> np.uint64(16 * k)) & _LANE).astype(np.float32)
    bell = (total / np.float32(65535) - np.float32(2)) * np.float32(1.7320508)
    strength = canvas.uniform("noise.strength")
    strength = np.float32(0.006) + np.float32(noise) * strength * strength * strength
    light = np.clip(picture, 0, 1)
    picture = picture + bell * strength * (np.float32(0.35) + np.sqrt(light) * np.float32(0.65))
    out = np.clip(picture * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(out.transpose(0, 2, 3, 1))
