"""Objects as rows, from pictures with boxes to one labelled row for each box; and coarser classes: super-classes such
as stop, speed limit and warning out of the many signs of a country."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badnets.core.cache import warn_of_data
from badnets.core.errors import BadInput
from badnets.core.text import listed
from badnets.data.images import ArrayStore, ImageData, Pixels, TakenStore, resized
from badnets.data.targets import Boxes, Labels, Regions


def objects_as_rows(data: ImageData, *, context: float | None = None, size: tuple[int, int] | None = None) -> ImageData:
    """One row for each object of ``data``, in the order of the pictures: its class as label, its place as region.

    Without ``context`` a row is the *whole picture*, resized to ``size`` (height, width) if given, and the region is
    the object's box in it; rows of one picture share its pixels, nothing is copied. With ``context`` a row is a *crop*:
    a square around the middle of the box, whose side is the box's larger side and that share of it more on every side
    (0 is tight, 0.25 half as large again), resized to ``size``; where it leaves the picture, the edge is repeated.

    Rows of one picture are one group (of the data's own groups, where it has them), so that ``split`` keeps them on one
    side. A protocol that splits the rows one by one takes ``replace(rows, groups=None)``.

    Data with labels works too: a picture is one object, in its region or filling it. Refused are a ``context`` that is
    negative or no number, and crops without a ``size``.

    Source: "every box is one row", as in study D1 (1,244 rows of 877 pictures). Differs from the paper: rows of one
    picture are grouped; the paper has no crops.
    """
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise BadInput(f"expected size as (height, width) in pixels, at least 1, got {size}")
    objects = data.objects
    groups = objects.image if data.groups is None else data.groups[objects.image]
    if context is None:
        whole = data if size is None else data.resize(size)
        labels = Labels(objects.labels, whole.objects.regions)
        return replace(whole, pixels=TakenStore(whole.pixels, objects.image), targets=labels, groups=groups)
    if not (math.isfinite(context) and context >= 0):
        raise BadInput(f"expected context as a share of the object's side, 0 or more, got {context}")
    if size is None:
        raise BadInput("expected a size (height, width) of crops with context, got none; pass size=(64, 64), say")
    pixels, regions = _crops(data, context, size)
    return replace(data, pixels=ArrayStore(pixels), targets=Labels(objects.labels, regions), groups=groups)


def _crops(data: ImageData, context: float, size: tuple[int, int]) -> tuple[Pixels, Regions]:
    """Crops (m, h, w, c) and the region of the object in each (m, 4)."""
    objects = data.objects
    out: list[Pixels] = []
    regions = np.empty((len(objects), 4), np.float32)
    picture, last = np.zeros((1, 1, 3), np.uint8), -1
    for i, image in enumerate(objects.image.tolist()):
        if image != last:
            picture, last = data.pixels.one(image), image
        h, w = picture.shape[:2]
        box = np.array((0, 0, w, h), np.float64) if objects.regions is None else objects.regions[i].astype(np.float64)
        side = float((box[2:] - box[:2]).max()) * (1 + 2 * context)
        corner = (box[:2] + box[2:]) / 2 - side / 2
        out.append(_crop(picture, corner, side, size))
        scale = np.array((size[1], size[0]), np.float64)
        regions[i] = np.clip((box.reshape(2, 2) - corner) / side * scale, 0, scale).ravel()
    channels = out[0].shape[2] if out else 3
    return (np.stack(out) if out else np.zeros((0, *size, channels), np.uint8)), regions


def _crop(picture: Pixels, corner: NDArray[np.float64], side: float, size: tuple[int, int]) -> Pixels:
    """The square of ``side`` at ``corner`` (x, y), which may leave the picture, bilinear with anti-aliasing."""
    low = np.floor(corner).astype(np.int64)
    high = np.maximum(np.ceil(corner + side).astype(np.int64), low + 1)
    columns = np.clip(np.arange(low[0], high[0]), 0, picture.shape[1] - 1)
    rows = np.clip(np.arange(low[1], high[1]), 0, picture.shape[0] - 1)
    # np.take twice is some times faster than one index with both.
    part = picture.take(rows, axis=0).take(columns, axis=1)
    x, y = (float(value) for value in corner - low)
    # The sum may be larger than the part by rounding, which Pillow refuses.
    return resized(part, size, (x, y, min(x + side, part.shape[1]), min(y + side, part.shape[0])))


def set_table(name: str) -> dict[str, Any]:
    """What lies beside the module of a set: its class names, and what else is known of it."""
    table: dict[str, Any] = json.loads((files("badnets.data.sets") / f"{name}.json").read_text(encoding="utf-8"))
    return table


def class_table(name: str) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """The class names of a set, and which of them make which super-class."""
    table = set_table(name)
    return tuple(table["classes"]), {coarse: tuple(members) for coarse, members in table["superclasses"].items()}


def regroup(data: ImageData, table: Mapping[str, Sequence[str]]) -> ImageData:
    """Data with the keys of ``table`` as classes, in their order; the values name the classes that go into each.

    A key of whose classes the data has none is left out. What has a class outside the table is dropped, with one
    ``DataWarning`` that counts it: pictures that have one class, or boxes of pictures that stay.
    """
    old = {name: number for number, name in enumerate(data.class_names)}
    names = tuple(name for name, members in table.items() if any(member in old for member in members))
    if not names:
        wanted, got = next(iter(table.values()))[0], data.class_names[0]
        raise BadInput(
            f"{data.name}: expected classes such as {wanted!r}, got such as {got!r}; use the data's own names"
        )
    new = np.full(len(data.class_names), -1, np.int64)
    for number, name in enumerate(names):
        new[[old[member] for member in table[name] if member in old]] = number
    labels = new[data.objects.labels]
    kept = np.flatnonzero(labels >= 0)
    what = "pictures" if isinstance(data.targets, Labels) else "boxes"
    if len(kept) < len(labels):
        gone = [name for name, number in old.items() if new[number] < 0]
        dropped = f"{len(labels) - len(kept)} of {len(labels)} {what} were dropped"
        warn_of_data(f"{data.name}: {dropped}, {listed(gone)} belong to none of {', '.join(table)}")
    if isinstance(data.targets, Boxes):
        boxes = data.targets
        fewer = Boxes(boxes.xyxy[kept], labels[kept], boxes.image[kept], boxes.pictures)
        return replace(data, targets=fewer, class_names=names)
    coarse = replace(data, targets=Labels(np.maximum(labels, 0), data.targets.region), class_names=names)
    return coarse if len(kept) == len(labels) else coarse.take(kept)
