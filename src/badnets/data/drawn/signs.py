"""The embedded default: traffic signs that our own code draws, in an American and a European style.

The same seed gives the same pictures on every machine, however many processors draw them and in whatever order.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from badnets.core.errors import BadInput, nearest
from badnets.core.seed import RowRng, Seed
from badnets.data.drawn.camera import photograph
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
from badnets.data.drawn.styles import STYLES, faces_of, plates_of
from badnets.data.images import Splits
from badnets.data.targets import Labels

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
    check_labels(style, labels)
    plates = plates_of(style, size)
    images = np.empty((len(labels), size, size, 3), dtype=np.uint8)
    regions = np.empty((len(labels), 4), dtype=np.float32)

    def draw(part: slice) -> None:
        canvas = Canvas(RowRng(seed, rows[part]), size)
        images[part], regions[part] = photograph(canvas, faces, plates, labels[part])

    in_parts(len(labels), max(1, _PIXELS_AT_ONCE // (size * size)), draw, progress)
    return images, regions


def load_signs(
    *,
    style: str = "us",
    size: int = 32,
    train: int = 10_000,
    test: int = 2_000,
    seed: int = 0,
    cache: bool = False,
    progress: Progress | None = None,
) -> Splits:
    """Training and test set of drawn signs, every class equally often (to within one), with the signs' regions.

    ``style`` is "us" or "eu", ``size`` the pictures' side in pixels (16 or more), ``train`` and ``test`` how many. With
    ``cache`` what was drawn is kept there. ``progress(done, total)``. Errors: ``BadInput`` for an unknown style, a size
    below 16, and fewer pictures than classes.
    """
    wanted = Wanted(kind="signs", style=style, size=size, seed=seed, version=str(DRAWING_VERSION))
    return load_sets(_order, wanted, train=train, test=test, cache=cache, progress=progress)


def _order(wanted: Wanted, classes: int) -> Order:
    rows = np.arange(wanted.count, dtype=np.int64)
    labels = balanced(wanted.stream.derive("labels"), wanted.count, classes)
    draw = partial(render, wanted.style, labels, rows, wanted.stream.derive("pictures"), wanted.size)
    return Order(wanted, wanted.count, draw, partial(Labels, labels))
