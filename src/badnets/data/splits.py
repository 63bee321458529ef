"""Seeded splits that keep groups together, and seeded draws."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.core.seed import Seed, as_seed
from badnets.data.images import ImageData, Splits
from badnets.data.targets import Labels


class HoldsData(Protocol):
    """Anything with ``data``, such as a poisoned set."""

    @property
    def data(self) -> ImageData:
        """The pictures."""


def one_set(data: ImageData | Splits | HoldsData, part: Literal["train", "test"]) -> ImageData:
    """The pictures that are meant: those of a single set, of the ``part`` of three, or of what holds a set."""
    if isinstance(data, ImageData):
        return data
    chosen = getattr(data, part) if isinstance(data, Splits) else getattr(data, "data", None)
    if isinstance(chosen, ImageData):
        return chosen
    raise BadInput(
        f"expected pictures with labels, got {type(data).__name__}; make them with badnets.load(path) or "
        "badnets.ImageData.of(images, labels)"
    )


def split(data: ImageData, share: float, seed: int | Seed) -> tuple[ImageData, ImageData]:
    """``(rest, part)``: about ``share`` of every class goes to ``part``; rows of one group stay on one side.

    ``share`` is in (0, 1). Stratified by class: the groups of a class (single rows without groups) are drawn at random
    until the share is reached, at least one to each side where a class has two or more groups. A group counts for the
    class of its first row. A picture with boxes counts for the rarest class in it, one without any for a class of
    its own.
    """
    if not 0 < share < 1:
        raise BadInput(f"expected a share between 0 and 1 (both excluded), got {share}")
    rng = as_seed(seed).derive("split").rng
    n = len(data)
    groups = np.arange(n) if data.groups is None else data.groups
    _, first, group_of_row, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    class_of_group = _class_of_picture(data)[first]
    chosen = np.zeros(len(first), dtype=bool)
    for label in np.unique(class_of_group):
        members = rng.permutation(np.flatnonzero(class_of_group == label))
        if len(members) < 2:
            continue
        reached = np.cumsum(sizes[members])
        wanted = share * reached[-1]
        count = int(np.searchsorted(reached, wanted, side="left")) + 1
        if count > 1 and abs(reached[count - 2] - wanted) <= abs(reached[min(count, len(members)) - 1] - wanted):
            count -= 1
        chosen[members[: min(max(count, 1), len(members) - 1)]] = True
    in_part = chosen[group_of_row]
    rows = np.arange(n, dtype=np.int64)
    return data.take(rows[~in_part]), data.take(rows[in_part])


def _class_of_picture(data: ImageData) -> NDArray[np.int64]:
    if isinstance(data.targets, Labels):
        return data.targets.values
    boxes = data.targets
    rank = np.argsort(np.argsort(np.bincount(boxes.labels, minlength=data.classes), kind="stable"))
    rarest = np.full(len(data), data.classes, np.int64)
    np.minimum.at(rarest, boxes.image, rank[boxes.labels])
    return rarest


def with_select(train: ImageData, test: ImageData, share: float, seed: int | Seed) -> Splits:
    """Take ``share`` of the training set away as the *select* set; with share 0 it is empty."""
    if share == 0:
        return Splits(train, test, train.take(np.zeros(0, dtype=np.int64)))
    rest, select = split(train, share, as_seed(seed).derive("select"))
    return Splits(rest, test, select)


def draw(data: ImageData, count: int, seed: Seed) -> NDArray[np.int64]:
    """``count`` rows of ``data`` (all, if it has no more), every class in its share of the whole."""
    if count >= len(data):
        return np.arange(len(data), dtype=np.int64)
    rng = seed.rng
    order, place = rng.permutation(len(data)), np.zeros(len(data))
    for label in np.unique(data.labels):
        rows = order[data.labels[order] == label]
        place[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return np.sort(np.argsort(place, kind="stable")[:count])
