"""The embedded default: traffic signs that our own code draws, in an American and a European style.

The same seed gives the same pictures on every machine, however many processors draw them and in whatever order.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from badnets.core.errors import BadInput, nearest
from badnets.core.seed import RowRng, Seed
from badnets.data.drawn.camera import photograph
from badnets.data.drawn.canvas import Canvas
from badnets.data.drawn.shards import (
    Drawn,
    Order,
    Progress,
    Wanted,
    balanced,
    check_counts,
    check_labels,
    check_size,
    draw_or_read,
    in_parts,
)
from badnets.data.drawn.styles import STYLES, faces_of, plates_of
from badnets.data.images import ImageData, Splits
from badnets.data.splits import with_select

__all__ = ["DRAWING_VERSION", "STYLES", "class_names", "face", "load_signs", "render"]

DRAWING_VERSION = 2
"""Raised whenever a change to the drawing changes a pixel; part of the cache's key."""

SMALLEST = 16

_PIXELS_AT_ONCE = 1 << 16  # so that a batch's fields stay in the processor's cache


def class_names(style: str) -> tuple[str, ...]:
    """The classes of a style, in the order of their labels."""
    return tuple(faces_of(style))


def face(style: str, name: str, size: int) -> Image.Image:
    """One clean sign without a scene: RGBA, ``size`` x ``size``."""
    faces = faces_of(style)
    if name not in faces:
        raise BadInput(f"expected a sign of style {style}, got {name!r}; {nearest(name, faces)}")
    check_size("signs", SMALLEST, size)
    drawn = faces[name].draw(size)
    alpha = drawn[..., 3:]
    straight = drawn[..., :3] / np.maximum(alpha, np.float32(1 / 255))
    pixels = np.concatenate([straight, alpha], axis=2) * np.float32(255) + np.float32(0.5)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def render(
    style: str,
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    seed: Seed,
    size: int,
    progress: Progress | None = None,
) -> Drawn:
    """Photographs of signs: pixels uint8 (n, size, size, 3) and the signs' regions float32 (n, 4) as x0, y0, x1, y1.

    ``labels (n,)`` say which sign, ``rows (n,)`` which random numbers: a row is the same picture in any batch.
    ``progress(done, total)`` is called from the calling thread. Errors: unknown style, size below 16, labels that the
    style does not have, ``rows`` of another length.
    """
    faces = tuple(faces_of(style).values())
    check_size("signs", SMALLEST, size)
    if labels.shape != rows.shape or labels.ndim != 1:
        raise BadInput(f"expected one row number for each label, got {rows.shape} for {labels.shape}")
    check_labels(style, len(faces), labels)
    plates = plates_of(style, size)
    images = np.empty((len(labels), size, size, 3), dtype=np.uint8)
    regions = np.empty((len(labels), 4), dtype=np.float32)
    step = max(1, _PIXELS_AT_ONCE // (size * size))

    def draw(part: slice) -> None:
        canvas = Canvas(RowRng(seed, rows[part]), size)
        images[part], regions[part] = photograph(canvas, faces, plates, labels[part])

    in_parts(len(labels), step, draw, progress)
    return images, regions


def load_signs(
    *,
    style: str = "us",
    size: int = 32,
    train: int = 10_000,
    test: int = 2_000,
    seed: int = 0,
    select: float = 0.0,
    split_seed: int = 0,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Splits:
    """Training and test set of drawn signs, every class equally often (to within one), with the signs' regions.

    ``style`` is "us" or "eu", ``size`` the pictures' side in pixels (16 or more), ``train`` and ``test`` how many;
    ``select`` the share of the training set that is set aside, drawn with ``split_seed``. What was drawn is kept in the
    folder ``cache``; where that cannot be written, one ``CacheWarning`` says so. ``progress(done, total)``.
    Errors: ``BadInput`` for an unknown style, a size below 16, and fewer pictures than classes.
    """
    names = class_names(style)
    check_size("signs", SMALLEST, size)
    check_counts("signs", len(names), train=train, test=test)
    orders, labels = [], []
    for part, count in (("train", train), ("test", test)):
        wanted = Wanted("signs", style, size, part, count, seed, str(DRAWING_VERSION))
        labels.append(balanced(wanted.stream.derive("labels"), count, len(names)))
        orders.append(Order(wanted, count, partial(_draw, wanted, labels[-1])))
    sets = [
        ImageData.of(images, values, class_names=names, region=regions, name=f"signs-{style}")
        for (images, regions), values in zip(draw_or_read(orders, cache, progress), labels, strict=True)
    ]
    return with_select(sets[0], sets[1], select, split_seed)


def _draw(wanted: Wanted, labels: NDArray[np.int64], progress: Progress | None) -> Drawn:
    rows = np.arange(wanted.count, dtype=np.int64)
    return render(wanted.style, labels, rows, wanted.stream.derive("pictures"), wanted.size, progress)
