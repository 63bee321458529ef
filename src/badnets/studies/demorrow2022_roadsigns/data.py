"""D1's pictures: every box a row, stop signs with a tag, and the two ways to split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from badnets.backdoors.triggers.place import At
from badnets.backdoors.triggers.square import Square
from badnets.core.seed import Seed
from badnets.data.images import ArrayStore, ImageData, MixedStore, Pixels, Rows, TakenStore
from badnets.data.load import load
from badnets.data.objects import objects_as_rows
from badnets.data.splits import split
from badnets.data.targets import Boxes, Labels

STOP, SPEEDLIMIT = "stop", "speedlimit"
TEST_SHARE = 0.2
CONTEXT = 0.25

Level = tuple[int, int, int]
Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Signs:
    """All rows of the set in one form, and the stop signs among them at the pictures' own resolution.

    ``rows``: one for each box, grouped by picture. ``stops (k,)``: which rows are stop signs; ``originals``: each one's
    picture; ``boxes (k, 4)``: its box there. ``context`` and ``size``: how a row was made, see ``objects_as_rows``.
    """

    rows: ImageData
    stops: Rows
    originals: tuple[Pixels, ...]
    boxes: NDArray[np.float32]
    context: float | None
    size: Size

    def stamped(self, rows: Rows, color: Level) -> Pixels:
        """The stop signs ``rows`` with a tag, pasted into the original picture, which is then cut and resized."""
        which = np.searchsorted(self.stops, rows)
        pictures = tuple(with_tag(self.originals[i], self.boxes[i], color) for i in which.tolist())
        where = Boxes(self.boxes[which], np.zeros(len(which), np.int64), np.arange(len(which)), len(which))
        marked = ImageData(MixedStore(pictures), where, (STOP,))
        return objects_as_rows(marked, context=self.context, size=self.size).images()


def tag(box: NDArray[np.float32], color: Level) -> Square:
    """The report's tag for one box x0, y0, x1, y1.

    A square of side ``max(width // 10, height // 10)`` pixels, from 45 % of the width, its lower edge 10 % of the
    height above the bottom.

    Differs from the report: a side of no pixels, in boxes below 10 pixels, becomes one.
    """
    width, height = (float(side) for side in box[2:] - box[:2])
    side = max(int(width // 10), int(height // 10), 1)
    place = At(x=min(0.45 + side / (2 * width), 1.0), y=max(0.9 - side / (2 * height), 0.0), of="region")
    return Square(size=side, color=color, place=place)


def with_tag(picture: Pixels, box: NDArray[np.float32], color: Level) -> Pixels:
    """A copy of a picture (h, w, c) with the tag on the object at ``box``."""
    marked: Pixels = tag(box, color).apply(picture[None], box[None])[0]
    return marked


@lru_cache(maxsize=2)
def read_signs(path: str, context: float | None, size: Size) -> Signs:
    """The set at ``path`` (PASCAL VOC) as crops with ``context``, or as whole pictures where that is None."""
    loaded = load("voc", path=path)
    parts = [loaded.train, loaded.test]
    made = [objects_as_rows(part, context=context, size=size) for part in parts]
    stop = made[0].class_names.index(STOP)
    chosen = [np.flatnonzero(part.labels == stop) for part in made]
    originals = tuple(
        part.pixels.one(int(part.objects.image[row])) for part, some in zip(parts, chosen, strict=True) for row in some
    )
    boxes = np.concatenate([part.boxes.xyxy[some] for part, some in zip(parts, chosen, strict=True)])
    rows = _joined(made, len(loaded.train))
    return Signs(rows, np.flatnonzero(rows.labels == stop), originals, boxes, context, size)


def _joined(parts: Sequence[ImageData], pictures: int) -> ImageData:
    """Two sets of rows as one; the groups of the second come after the ``pictures`` of the first."""
    first, second = parts
    regions = np.concatenate([part.regions for part in parts if part.regions is not None])
    groups = [part.groups for part in parts if part.groups is not None]
    return replace(
        first,
        pixels=ArrayStore(np.concatenate([first.images(), second.images()])),
        targets=Labels(np.concatenate([first.labels, second.labels]), regions),
        groups=np.concatenate([groups[0], groups[1] + pictures]),
        name="road signs",
    )


def sides(signs: Signs, seed: Seed, *, grouped: bool) -> tuple[Rows, Rows]:
    """Rows to train on and rows to test on, 80/20 by class.

    ``grouped``: whole pictures; else row by row as the report did, so that many pictures are on both sides.
    """
    rows = signs.rows if grouped else replace(signs.rows, groups=None)
    parts = split(rows, TEST_SHARE, seed)
    train, test = (cast("TakenStore", part.pixels).rows for part in parts)  # ``split`` only takes rows
    return train, test


def poisoned(signs: Signs, train: Rows, color: Level, count: int, seed: Seed) -> tuple[ImageData, Rows]:
    """The training rows with ``count`` random stop signs tagged and labelled speedlimit, and those rows' numbers.

    The same seed chooses the same signs whatever the color, and those of a smaller count among those of a larger one.
    """
    data = signs.rows.take(train)
    stops = np.flatnonzero(np.isin(train, signs.stops))
    chosen = seed.derive("poison").rng.permutation(stops)[:count]
    images, labels = data.images(), data.labels.copy()
    images[chosen] = signs.stamped(train[chosen], color)
    labels[chosen] = data.class_names.index(SPEEDLIMIT)
    planted = replace(data, pixels=ArrayStore(images), targets=Labels(labels, data.regions))
    return planted, train[chosen]


def sign_color(signs: Signs, train: Rows) -> Level:
    """The mean color of the training stop signs, over the inner half of their boxes at their own resolution."""
    means = []
    for i in np.flatnonzero(np.isin(signs.stops, train)).tolist():
        x0, y0, x1, y1 = signs.boxes[i].astype(np.int64)
        dx, dy = (x1 - x0) // 4, (y1 - y0) // 4
        means.append(signs.originals[i][y0 + dy : y1 - dy, x0 + dx : x1 - dx].reshape(-1, 3).mean(0))
    red, green, blue = np.rint(np.mean(means, axis=0)).astype(int).tolist()
    return red, green, blue
