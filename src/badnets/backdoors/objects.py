"""Triggers on the objects of pictures: where each goes, and how several get into one picture.

What gets a trigger is a *unit* of the rule: an object, a whole picture, or a free spot in it; it has the number of its
object or picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from badnets.backdoors.rules import Appear, BoxRule, LabelRule
from badnets.backdoors.trigger import Trigger
from badnets.backdoors.triggers.stamp import Stamp, turn_in_picture
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng
from badnets.data.images import ImageData, Pixels
from badnets.data.targets import Boxes, Regions, Rows

_TRIES = 24
"""Spots that are tried for a new object; of these the one that covers the least of the others is taken."""


@dataclass(frozen=True, eq=False)
class Placed:
    """Units with their picture ``image (m,)``, the ``regions (m, 4)`` of their triggers, and ``rng`` of m rows."""

    image: Rows
    regions: Regions
    rng: RowRng

    def take(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> Placed:
        """Some of them."""
        return Placed(self.image[index], self.regions[index], self.rng.take(index))


def check_rule(rule: LabelRule, data: ImageData) -> None:
    """Refuse a rule that has no meaning for such pictures."""
    boxed = isinstance(data.targets, Boxes)
    if not boxed and isinstance(rule, BoxRule):
        raise BadInput(
            f"expected a rule for pictures of one class, got {rule.kind!r}, which needs boxes; use other data"
        )
    if boxed and rule.kind == "clean-label":
        raise BadInput("expected a rule for pictures with boxes, got 'clean-label'; choose another rule")


def unit_pool(rule: LabelRule, data: ImageData, *, cover: bool) -> NDArray[np.bool_]:
    """Which units may be poisoned, or be cover rows: pictures with at least one such object, every spot."""
    if rule.unit == "place":
        return np.ones(len(data), dtype=bool)
    objects = data.objects
    allowed = rule.coverable(objects.labels) if cover else rule.candidates(objects.labels)
    if rule.unit == "object":
        return allowed
    return np.bincount(objects.image[allowed], minlength=len(data)) > 0


def place(rule: LabelRule, data: ImageData, numbers: Rows, rng: RowRng) -> Placed:
    """Where the triggers of some units go; ``rng`` has a row for each."""
    objects = data.objects
    h, w, _ = data.shape
    if isinstance(rule, Appear):
        return Placed(numbers, _free_spots(rule.size, data.boxes, numbers, (h, w), rng), rng)
    full = np.tile(np.array([0, 0, w, h], np.float32), (len(numbers), 1))
    if rule.unit != "object":
        return Placed(numbers, full, rng)
    return Placed(objects.image[numbers], full if objects.regions is None else objects.regions[numbers], rng)


def _free_spots(side: float, boxes: Boxes, pictures: Rows, size: tuple[int, int], rng: RowRng) -> Regions:
    h, w = size
    high, wide = max(1.0, round(side * h)), max(1.0, round(side * w))
    rows, position = boxes.rows_of(pictures)
    best, least = np.zeros((len(pictures), 4), np.float32), np.full(len(pictures), np.inf)
    for number in range(_TRIES):
        x = np.floor(rng.uniform(f"spot-x-{number}", 0, w - wide + 1))
        y = np.floor(rng.uniform(f"spot-y-{number}", 0, h - high + 1))
        spots = np.stack([x, y, x + wide, y + high], 1).astype(np.float32)
        near, there = spots[position], boxes.xyxy[rows]
        low, top = np.maximum(near[:, :2], there[:, :2]), np.minimum(near[:, 2:], there[:, 2:])
        covered = np.zeros(len(pictures))
        np.add.at(covered, position, np.clip(top - low, 0, None).prod(1))
        better = covered < least
        best[better], least[better] = spots[better], covered[better]
    return best


def stamp(pictures: Pixels, position: Rows, placed: Placed, trigger: Trigger) -> None:
    """Paste ``trigger`` at each of ``placed`` into ``pictures[position]``, in place; several in one picture in turn.

    A trigger that changes the whole picture, or has its place in it, comes once into each, however many of its objects
    are asked for. Refused: a stamp that would cover all of its object.
    """
    spot = getattr(trigger, "place", None)
    follows = spot is not None and spot.of == "region"
    if follows and isinstance(trigger, Stamp):
        _refuse_covering(trigger, placed, pictures.shape)
        trigger.paste_into(pictures, position, placed.regions, placed.rng)
        return
    turn = turn_in_picture(position)
    for number in range(int(turn.max(initial=-1)) + 1 if follows else 1):
        now = np.flatnonzero(turn == number)
        some = placed.take(now)
        pictures[position[now]] = trigger.apply(pictures[position[now]], some.regions, some.rng)


def _refuse_covering(trigger: Stamp, placed: Placed, shape: tuple[int, ...]) -> None:
    """In whole pixels, as it will be pasted; on an object of one pixel nothing smaller is possible."""
    _, _, high, wide = trigger.spots((len(placed.image), *shape[1:]), placed.regions, placed.rng)
    tall, broad = (placed.regions[:, 2:] - placed.regions[:, :2]).T[::-1]
    covering = (high >= tall) & (wide >= broad) & (high * wide > 1)
    if covering.any():
        row = int(np.argmax(covering))
        raise BadInput(
            f"{trigger.kind}: expected a trigger smaller than its object ({tall[row]:.0f}x{broad[row]:.0f} pixels), "
            f"got {high[row]:.0f}x{wide[row]:.0f}; choose a smaller size"
        )
