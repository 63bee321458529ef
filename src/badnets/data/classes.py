"""Coarser classes: super-classes such as stop, speed limit and warning out of the many signs of a country."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files

import numpy as np

from badnets.core.cache import warn_of_data
from badnets.core.errors import BadInput
from badnets.core.text import listed
from badnets.data.images import ImageData
from badnets.data.targets import Boxes, Labels


def class_table(name: str) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """The class names of a set that lie beside its module, and which of them make which super-class."""
    table = json.loads((files("badnets.data.sets") / f"{name}.json").read_text(encoding="utf-8"))
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
        for member in table[name]:
            if member in old:
                new[old[member]] = number
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
