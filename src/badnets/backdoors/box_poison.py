"""A plan applied to pictures with boxes: triggers on their objects, and new, changed or missing boxes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from badnets.backdoors.objects import Placed, place, stamp
from badnets.backdoors.plan_values import Part
from badnets.backdoors.rules import NOTHING
from badnets.core.seed import RowRng, Seed
from badnets.data.images import ImageData
from badnets.data.overlay import appended, replaced
from badnets.data.targets import Boxes, Rows


@dataclass(frozen=True, eq=False)
class Planted:
    """The rows of one part: unit ``numbers (m,)``, which are ``cover (m,)`` (those of each kind ascending), their
    planted ``labels (m,)``, and the seed of the trigger."""

    part: Part
    numbers: Rows
    cover: NDArray[np.bool_]
    labels: Rows
    seed: Seed


def poison_boxes(data: ImageData, planted: list[Planted], *, add: bool) -> tuple[ImageData, Rows]:
    """The poisoned data, and which pictures of it were changed.

    With ``add`` copies of the pictures are poisoned and stand behind the clean ones.
    """
    spots = [place(p.part.rule, data, p.numbers, RowRng(p.seed, p.numbers)) for p in planted]
    rows = np.unique(np.concatenate([np.zeros(0, np.int64), *(spot.image for spot in spots)]))
    pictures = data.images(rows)
    for one, spot in zip(planted, spots, strict=True):
        stamp(pictures, np.searchsorted(rows, spot.image), spot, one.part.trigger)
    changed = _changed(data, planted, spots)
    if not add:
        return replace(data, pixels=replaced(data.pixels, rows, pictures), targets=changed), rows
    copies = changed.take(rows)
    moved = replace(copies, image=copies.image + len(data), pictures=len(data) + len(rows))
    both = _joined([data.boxes, moved], moved.pictures)
    groups = None if data.groups is None else np.concatenate([data.groups, data.groups[rows]])
    grown = replace(data, pixels=appended(data.pixels, pictures), targets=both, groups=groups)
    return grown, np.arange(len(rows), dtype=np.int64) + len(data)


def _changed(data: ImageData, planted: list[Planted], spots: list[Placed]) -> Boxes:
    """All boxes as the attacker wants them. Cover rows change nothing."""
    boxes = data.boxes
    labels = boxes.labels.copy()
    new: list[Boxes] = []
    for one, spot in zip(planted, spots, strict=True):
        own = ~one.cover
        rule = one.part.rule
        if rule.unit == "object":
            labels[one.numbers[own]] = one.labels[own]
        elif rule.unit == "picture":
            there = np.isin(boxes.image, one.numbers[own]) & (labels != NOTHING)
            inside = there & rule.eligible(boxes.labels)
            labels[inside] = one.labels[own][np.searchsorted(one.numbers[own], boxes.image[inside])]
        else:
            new.append(Boxes.of(spot.regions[own], one.labels[own], spot.image[own], len(data)))
    kept = labels != NOTHING
    return _joined([Boxes(boxes.xyxy[kept], labels[kept], boxes.image[kept], len(data)), *new], len(data))


def _joined(parts: list[Boxes], pictures: int) -> Boxes:
    """The boxes of all parts; those of one picture in the order of the parts."""
    labels, image = (np.concatenate([getattr(part, name) for part in parts]) for name in ("labels", "image"))
    return Boxes.of(np.concatenate([part.xyxy for part in parts]), labels, image, pictures)
