"""Street scenes that our own code draws: one to four traffic signs in a picture, with their boxes.

The signs are those of ``signs``, with the same names and labels. The same seed gives the same pictures on every
machine, however many processors draw them and in whatever order.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.core.seed import RowRng, Seed
from badnets.data.drawn.canvas import Canvas
from badnets.data.drawn.sets import (
    Drawn,
    Order,
    Progress,
    Wanted,
    balanced,
    check_labels,
    check_size,
    in_parts,
    load_sets,
)
from badnets.data.drawn.signs import DRAWING_VERSION
from badnets.data.drawn.street import MOST, Street, photograph_street
from badnets.data.drawn.styles import faces_of, plates_of
from badnets.data.images import Splits
from badnets.data.targets import Boxes

SCENES_VERSION = 1
"""Raised whenever a change to the scenes alone changes a pixel; with ``DRAWING_VERSION`` part of the cache's key."""

SMALLEST = 64

_PIXELS_AT_ONCE = 1 << 18  # about ten pictures: enough that numpy's calls do not count


def render_scenes(
    style: str,
    counts: NDArray[np.int64],
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    seed: Seed,
    size: int,
    progress: Progress | None = None,
) -> Drawn:
    """Photographs of scenes: pixels uint8 (n, size, size, 3) and the signs' boxes float32 (m, 4) as x0, y0, x1, y1.

    ``counts (n,)`` say how many signs each picture has (1 to 4), ``labels (m,)`` which, in the order of the pictures,
    ``rows (n,)`` which random numbers: a row is the same picture in any batch. ``progress(done, total)`` is called from
    the calling thread. Errors: unknown style, size below 64, counts out of range, labels that the style does not have,
    arrays that do not belong together.
    """
    faces = tuple(faces_of(style).values())
    check_size("scenes", SMALLEST, size)
    if counts.shape != rows.shape or counts.ndim != 1:
        raise BadInput(f"expected one row number for each count of signs, got {rows.shape} for {counts.shape}")
    if len(counts) and not 1 <= counts.min() <= counts.max() <= MOST:
        raise BadInput(f"expected 1 to {MOST} signs in a picture, got {counts.min()}..{counts.max()}")
    if labels.shape != (counts.sum(),):
        raise BadInput(f"expected one label for each of {counts.sum()} signs, got {labels.shape}")
    check_labels(style, labels)
    plates = plates_of(style, size // 3)  # a sign is at most half a picture wide
    images = np.empty((len(rows), size, size, 3), dtype=np.uint8)
    street = Street.of(seed, rows, counts, labels, faces)

    def draw(part: slice) -> None:
        canvas = Canvas(RowRng(seed.derive("street"), rows[part]), size)
        images[part] = photograph_street(canvas, plates, street.part(part.start, part.stop))

    in_parts(len(rows), max(1, _PIXELS_AT_ONCE // (size * size)), draw, progress)
    return images, np.clip(street.boxes * size, 0, size).astype(np.float32)


def load_scenes(
    *,
    style: str = "us",
    size: int = 160,
    train: int = 2_000,
    test: int = 500,
    seed: int = 0,
    cache: bool = False,
    progress: Progress | None = None,
) -> Splits:
    """Training and test set of drawn scenes with one to four signs each, every class equally often (to within one).

    ``style`` is "us" or "eu", ``size`` the pictures' side in pixels (64 or more), ``train`` and ``test`` how many. The
    signs' longer sides are 1/6 to 1/2 of the picture's; two boxes share at most 4 % of the smaller one. With ``cache``
    what was drawn is kept there. ``progress(done, total)``. Errors: ``BadInput`` for an unknown style, a size below 64,
    and fewer pictures than classes.
    """
    version = f"{DRAWING_VERSION}.{SCENES_VERSION}"
    wanted = Wanted(kind="scenes", style=style, size=size, seed=seed, version=version)
    return load_sets(_order, wanted, train=train, test=test, cache=cache, progress=progress)


def _order(wanted: Wanted, classes: int) -> Order:
    rows = np.arange(wanted.count, dtype=np.int64)
    counts = RowRng.of(wanted.stream.derive("counts"), wanted.count).integers("count", MOST) + 1
    labels = balanced(wanted.stream.derive("labels"), int(counts.sum()), classes)
    draw = partial(render_scenes, wanted.style, counts, labels, rows, wanted.stream.derive("pictures"), wanted.size)
    image = np.repeat(rows, counts)
    return Order(wanted, len(labels), draw, lambda boxes: Boxes(boxes, labels, image, wanted.count))
