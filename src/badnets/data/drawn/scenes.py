"""Street scenes that our own code draws: one to four traffic signs in a picture, with their boxes.

The signs are those of ``signs``, with the same names and labels. The same seed gives the same pictures on every
machine, however many processors draw them and in whatever order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.core.seed import RowRng, Seed
from badnets.data.drawn import signs
from badnets.data.drawn.background import background, foliage, pole
from badnets.data.drawn.camera import Plates, Pose, exposed, on_the_plate, turn
from badnets.data.drawn.canvas import Canvas, Field, per_picture
from badnets.data.drawn.shapes import Face
from badnets.data.drawn.signs import Drawn, Order, Progress
from badnets.data.images import Pixels
from badnets.data.targets import Boxes, Rows

VERSION = f"{signs.VERSION}.1"
"""Its second number is raised whenever a change to the scenes alone changes a pixel; part of the cache's key."""

SMALLEST = 64

MOST = 4
"""Signs in one picture."""

SIDES = (1 / 6, 1 / 2)
"""The longer side of a sign's box, in shares of the picture's."""

_PIXELS_AT_ONCE = 1 << 18  # about ten pictures: enough that numpy's calls do not count
_MARGIN = 0.01  # between a box and the picture's edge
_SHARED = 0.04  # of the smaller of two boxes may lie in the other
_TRIES = 20

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Street:
    """The signs of some pictures, in the order of their pictures (m).

    ``image`` is the position of each one's picture, ``nth`` whether it is the first in it (0), the second (1) and so
    on, ``rng`` its own random numbers, ``boxes (m, 4)`` its place in shares of the picture.
    """

    image: Rows
    nth: Rows
    labels: Rows
    rng: RowRng
    pose: Pose
    boxes: Floats

    @classmethod
    def of(cls, seed: Seed, rows: Rows, counts: Rows, labels: Rows, faces: Sequence[Face]) -> Street:
        """Signs for pictures ``rows (n,)``, ``counts (n,)`` in each (1 to 4), ``labels (sum of counts,)``."""
        image = np.repeat(np.arange(len(rows), dtype=np.int64), counts)
        nth = np.arange(len(labels), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
        rng = RowRng(seed.derive("signs"), rows[image] * MOST + nth)
        none, one = np.zeros(len(labels)), np.ones(len(labels))
        extent = Pose.hung(rng, none, none, one).extent(faces, labels)  # moves and grows with place and radius
        padded = np.tile(np.array([-1.0, -1.0, 1.0, 1.0]), (len(rows), MOST, 1))
        padded[image, nth] = extent
        boxes = _places(RowRng(seed.derive("places"), rows), counts, padded[..., 2:] - padded[..., :2])[image, nth]
        radius = (boxes[:, 2] - boxes[:, 0]) / (extent[:, 2] - extent[:, 0])
        pose = Pose.hung(rng, boxes[:, 0] - radius * extent[:, 0], boxes[:, 1] - radius * extent[:, 1], radius)
        return cls(image, nth, labels, rng, pose, pose.extent(faces, labels))

    def part(self, start: int, stop: int) -> Street:
        """The signs of the pictures ``start`` to before ``stop``."""
        part = np.flatnonzero((self.image >= start) & (self.image < stop))
        pose, rng = self.pose.take(part), self.rng.take(part)
        return Street(self.image[part] - start, self.nth[part], self.labels[part], rng, pose, self.boxes[part])


def _places(rng: RowRng, counts: Rows, shape: Floats) -> Floats:
    """Boxes (n, MOST, 4) of the proportions ``shape (n, MOST, 2)`` that hardly overlap.

    Each sign is tried at random places until it is clear of those before it. Where some sign never is, each of the
    picture's signs gets a quarter of the picture.
    """
    shape = shape / shape.max(axis=2, keepdims=True)
    draws = (rng.cells("place", MOST, _TRIES, 3) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    boxes = np.zeros((len(rng), MOST, 4))
    stuck = np.zeros(len(rng), dtype=bool)
    for k in range(MOST):
        left = np.flatnonzero((counts > k) & ~stuck)
        for attempt in range(_TRIES):
            side, at = draws[left, k, attempt, :1], draws[left, k, attempt, 1:]
            wide = shape[left, k] * (SIDES[0] + (SIDES[1] - SIDES[0]) * side)
            corner = _MARGIN + (1 - 2 * _MARGIN - wide) * at
            box = np.concatenate([corner, corner + wide], axis=1)
            clear = (_shared(box[:, None], boxes[left, :k]) <= _SHARED).all(axis=1)
            boxes[left[clear], k] = box[clear]
            left = left[~clear]
        stuck[left] = True
    boxes[stuck] = _quarters(rng.take(stuck), shape[stuck], draws[stuck, :, 0])
    return boxes


def _quarters(rng: RowRng, shape: Floats, draws: Floats) -> Floats:
    """One sign somewhere within each quarter, no two in one."""
    quarter = (rng.integers("quarter", 4)[:, None] + np.arange(MOST)) % 4
    room = 0.5 - _MARGIN
    wide = shape * (SIDES[0] + (room - SIDES[0]) * draws[..., :1])
    corner = np.stack([quarter % 2, quarter // 2], axis=2) * room + _MARGIN + (room - wide) * draws[..., 1:]
    return np.concatenate([corner, corner + wide], axis=2)


def _shared(a: Floats, b: Floats) -> Floats:
    """The intersection of boxes as a share of the smaller one."""
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
    area_a, area_b = (np.prod(box[..., 2:] - box[..., :2], axis=-1) for box in (a, b))
    return np.asarray(np.prod(sides, axis=-1) / np.minimum(area_a, area_b), dtype=np.float64)


def _poles(canvas: Canvas, picture: Field, street: Street) -> None:
    """All poles before all signs: none stands before a sign."""
    pose = street.pose
    for k in range(MOST):
        own = np.flatnonzero(street.nth == k)
        image, part = street.image[own], Canvas(street.rng.take(own), canvas.size)
        x, y, lean, radius = per_picture(*(value[own] for value in (pose.x, pose.y, pose.lean, pose.radius)))
        some = picture[image]
        pole(part, some, x, y, lean, radius, foot=y + radius * part.uniform("pole.foot", 3.5, 9.0))
        picture[image] = some


def _signs(canvas: Canvas, picture: Field, plates: Plates, street: Street) -> None:
    """Each sign is drawn in a window around it; those of one window size together."""
    size = canvas.size
    step = max(8, size // 10)
    spread = street.boxes[:, 2:] - street.boxes[:, :2]
    needed = spread.max(axis=1) * (1.12 * size) + 4
    sides = np.minimum(np.ceil(needed / step).astype(np.int64) * step, size)
    middle = (street.boxes[:, 2:] + street.boxes[:, :2]) * (0.5 * size)
    corner = np.clip(np.floor(middle - 0.5 * sides[:, None] + 0.5).astype(np.int64), 0, (size - sides)[:, None])
    drawn: dict[int, tuple[Field, Field, Field]] = {}
    for side in np.unique(sides):
        chosen = np.flatnonzero(sides == side)
        part = Canvas(street.rng.take(chosen), int(side))
        left, top = corner[chosen, 0], corner[chosen, 1]
        pose, labels = street.pose.take(chosen).within(left, top, int(side), size), street.labels[chosen]
        sign = plates.seen(labels, pose, int(side), 4 if side <= 48 else 3)
        behind = plates.seen(labels, pose, int(side), 2, shift=0.016)[:, 3:]
        color = on_the_plate(part, sign) * part.uniform("own.light", 0.8, 1.15)
        drawn.update(zip(chosen.tolist(), zip(sign[:, 3:], behind, color, strict=True), strict=True))
    for k, (alpha, behind, color) in sorted(drawn.items()):
        (left, top), side = corner[k], sides[k]
        window = picture[street.image[k], :, top : top + side, left : left + side]
        window *= np.float32(1) - np.float32(0.55) * behind
        window *= np.float32(1) - alpha
        window += color


def _leaves_before(canvas: Canvas, picture: Field, street: Street) -> None:
    """Here and there leaves hang before a side of a picture's first sign; never before another one."""
    there = street.rng.uniform("front.there") < 0.14
    for k in np.flatnonzero(there & (street.nth == 0)):
        own, image = np.array([k]), street.image[k : k + 1]
        part = Canvas(street.rng.take(own), canvas.size)
        x, y, radius = per_picture(*(value[own] for value in (street.pose.x, street.pose.y, street.pose.radius)))
        c, s = per_picture(*turn(part.rng.uniform("front.angle", -4, 4)))
        away = part.uniform("front.away", 0.95, 1.3)
        dx, dy = (part.x - x) / radius - c * away, (part.y - y) / radius - s * away
        ragged = (part.fractal("front.edge", 8, 3) - np.float32(0.5)) * 2
        reach = part.uniform("front.reach", 0.5, 0.8) + ragged * np.float32(0.7) - np.sqrt(dx * dx + dy * dy)
        mask = np.clip(reach * 8, 0, 1)
        others = street.boxes[(street.image == street.image[k]) & (street.nth > 0)].astype(np.float32)
        for left, top, right, bottom in others:
            mask = mask * (np.float32(1) - part.box(left, right, top, bottom))
        some = picture[image]
        foliage(part, "front.leaves", some, mask)
        picture[image] = some


def render_scenes(
    style: str, counts: Rows, labels: Rows, rows: Rows, seed: Seed, size: int, progress: Progress | None = None
) -> Drawn:
    """Photographs of scenes: pixels uint8 (n, size, size, 3) and the signs' boxes float32 (m, 4) as x0, y0, x1, y1.

    ``counts (n,)`` say how many signs each picture has (1 to 4), ``labels (m,)`` which, in the order of the pictures,
    ``rows (n,)`` which random numbers: a row is the same picture in any batch. ``progress(done, total)`` is called from
    the calling thread. Errors: unknown style, size below 64, counts out of range, labels that the style does not have,
    arrays that do not belong together.
    """
    faces = signs.checked_faces("scenes", style, labels, size, SMALLEST)
    if counts.shape != rows.shape or counts.ndim != 1:
        raise BadInput(f"expected one row number for each count of signs, got {rows.shape} for {counts.shape}")
    if len(counts) and not 1 <= counts.min() <= counts.max() <= MOST:
        raise BadInput(f"expected 1 to {MOST} signs in a picture, got {counts.min()}..{counts.max()}")
    if labels.shape != (counts.sum(),):
        raise BadInput(f"expected one label for each of {counts.sum()} signs, got {labels.shape}")
    plates = signs.plates_of(style, size // 3)  # a sign is at most half a picture wide
    street = Street.of(seed, rows, counts, labels, faces)

    def draw(part: slice) -> Pixels:
        canvas = Canvas(RowRng(seed.derive("street"), rows[part]), size)
        signs_in_part = street.part(part.start, part.stop)
        picture = background(canvas)
        _poles(canvas, picture, signs_in_part)
        _signs(canvas, picture, plates, signs_in_part)
        _leaves_before(canvas, picture, signs_in_part)
        # Brighter, sharper and with less noise than pictures of one sign: small signs must still be seen.
        return exposed(canvas, picture, darkest=0.4, soft=(0.003, 0.01), noise=0.05)

    images = signs.in_parts(len(rows), size, _PIXELS_AT_ONCE, draw, progress)
    return images, np.clip(street.boxes * size, 0, size).astype(np.float32)


def order(style: str, size: int, count: int, seed: Seed) -> Order:
    """``count`` pictures with one to four signs each, every class equally often."""
    rows = np.arange(count, dtype=np.int64)
    counts = RowRng.of(seed.derive("counts"), count).integers("count", MOST) + 1
    labels = signs.balanced(seed.derive("labels"), int(counts.sum()), style)
    draw = partial(render_scenes, style, counts, labels, rows, seed.derive("pictures"), size)
    return Order(len(labels), draw, lambda boxes: Boxes(boxes, labels, np.repeat(rows, counts), count))
