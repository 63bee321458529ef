"""The embedded default: traffic signs that our own code draws, in an American and a European style.

The same seed gives the same pictures on every machine, however many processors draw them and in whatever order.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from badnets.core.errors import BadInput, nearest
from badnets.core.seed import RowRng, Seed
from badnets.data.drawn import eu, us
from badnets.data.drawn.camera import Plates, photograph
from badnets.data.drawn.canvas import Canvas
from badnets.data.drawn.shapes import Face
from badnets.data.images import Pixels
from badnets.data.targets import Labels, Regions, Rows, Targets

Progress = Callable[[int, int], None]
Drawn = tuple[Pixels, Regions]
"""Pictures (n, size, size, 3) and the objects' regions (m, 4)."""

STYLES: dict[str, Mapping[str, Face]] = {"us": us.FACES, "eu": eu.FACES}
"""Class names and faces of each style, in the order of their labels."""

VERSION = "2"
"""Raised whenever a change to the drawing changes a pixel; part of the cache's key."""

SMALLEST = 16

_PIXELS_AT_ONCE = 1 << 16  # so that a batch's fields stay in the processor's cache


class Order(NamedTuple):
    """A set to be drawn: ``draw(progress)`` draws it, with ``objects`` regions, of which ``targets`` makes targets."""

    objects: int
    draw: Callable[[Progress | None], Drawn]
    targets: Callable[[Regions], Targets]


def faces_of(style: str) -> Mapping[str, Face]:
    """Class names and faces of a style, in the order of their labels."""
    if style not in STYLES:
        raise BadInput(f"expected a style of signs, us or eu, got {style!r}; {nearest(style, STYLES)}")
    return STYLES[style]


def class_names(style: str) -> tuple[str, ...]:
    """The classes of a style, in the order of their labels."""
    return tuple(faces_of(style))


@lru_cache(maxsize=4)
def plates_of(style: str, size: int) -> Plates:
    """The faces of a style at about four times the resolution of pictures of one sign with the side ``size``."""
    side = min(512, max(64, 1 << math.ceil(math.log2(4 * size))))
    return Plates.of(tuple(faces_of(style).values()), side)


def render(style: str, labels: Rows, rows: Rows, seed: Seed, size: int, progress: Progress | None = None) -> Drawn:
    """Photographs of signs: pixels uint8 (n, size, size, 3) and the signs' regions float32 (n, 4) as x0, y0, x1, y1.

    ``labels (n,)`` say which sign, ``rows (n,)`` which random numbers: a row is the same picture in any batch.
    ``progress(done, total)`` is called from the calling thread. Errors: unknown style, size below 16, labels that the
    style does not have, ``rows`` of another length.
    """
    faces = checked_faces("signs", style, labels, size, SMALLEST)
    if labels.shape != rows.shape or labels.ndim != 1:
        raise BadInput(f"expected one row number for each label, got {rows.shape} for {labels.shape}")
    plates = plates_of(style, size)
    regions = np.empty((len(labels), 4), dtype=np.float32)

    def draw(part: slice) -> Pixels:
        canvas = Canvas(RowRng(seed, rows[part]), size)
        pictures, regions[part] = photograph(canvas, faces, plates, labels[part])
        return pictures

    return in_parts(len(labels), size, _PIXELS_AT_ONCE, draw, progress), regions


def order(style: str, size: int, count: int, seed: Seed) -> Order:
    """``count`` pictures of one sign each, every class equally often."""
    labels = balanced(seed.derive("labels"), count, style)
    rows = np.arange(count, dtype=np.int64)
    draw = partial(render, style, labels, rows, seed.derive("pictures"), size)
    return Order(count, draw, partial(Labels, labels))


def checked_faces(source: str, style: str, labels: Rows, size: int, smallest: int) -> tuple[Face, ...]:
    """The faces of a style; refused are pictures on which nothing could be recognized, and labels without a face."""
    faces = tuple(faces_of(style).values())
    if size < smallest:
        raise BadInput(f"{source}: expected a size of at least {smallest} pixels, got {size}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(faces):
        raise BadInput(f"expected labels 0..{len(faces) - 1} for style {style}, got {labels.min()}..{labels.max()}")
    return faces


def balanced(seed: Seed, count: int, style: str) -> Rows:
    """Every class of the style equally often, in random order: by sorting row numbers by a random number each."""
    each = np.arange(count, dtype=np.int64) % len(faces_of(style))
    return each[np.argsort(RowRng.of(seed, count).uniform("order"), kind="stable")]


def in_parts(total: int, size: int, at_once: int, draw: Callable[[slice], Pixels], progress: Progress | None) -> Pixels:
    """Pictures (total, size, size, 3), of which ``draw(part)`` draws some, on all processors, about ``at_once`` pixels
    in each part; ``progress`` from the calling thread."""
    images, step = np.empty((total, size, size, 3), dtype=np.uint8), max(1, at_once // (size * size))
    parts = [slice(start, min(start + step, total)) for start in range(0, total, step)]
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 16)) as pool:
        for part, pictures in zip(parts, pool.map(draw, parts), strict=True):
            images[part] = pictures
            if progress is not None:
                progress(part.stop, total)
    return images
