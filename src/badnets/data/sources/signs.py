"""The embedded default: traffic signs that our own code draws, in an American and a European style.

The same seed gives the same pictures on every machine, however many processors draw them and in whatever order.
"""

from __future__ import annotations

import hashlib
import math
import os
import warnings
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from badnets.core.errors import BadInput, nearest
from badnets.core.record import whole_file
from badnets.core.seed import RowRng, Seed
from badnets.data.images import ImageData, Splits
from badnets.data.signs import eu, us
from badnets.data.signs.camera import Plates, photograph
from badnets.data.signs.canvas import Canvas
from badnets.data.signs.faces import Faces
from badnets.data.sources.cache import CacheWarning
from badnets.data.splits import with_select

DRAWING_VERSION = 2
"""Raised whenever a change to the drawing changes a pixel; part of the cache's key."""

STYLES = ("us", "eu")
SMALLEST = 16

Progress = Callable[[int, int], None]
Drawn = tuple[NDArray[np.uint8], NDArray[np.float32]]

_PIXELS_AT_ONCE = 1 << 16  # so that a batch's fields stay in the processor's cache


def _faces(style: str) -> Faces:
    if style == "us":
        return us.FACES
    if style == "eu":
        return eu.FACES
    raise BadInput(f"expected a style of signs, us or eu, got {style!r}; {nearest(style, STYLES)}")


def class_names(style: str) -> tuple[str, ...]:
    """The classes of a style, in the order of their labels."""
    return tuple(_faces(style))


def face(style: str, name: str, size: int) -> Image.Image:
    """One clean sign without a scene: RGBA, ``size`` x ``size``."""
    faces = _faces(style)
    if name not in faces:
        raise BadInput(f"expected a sign of style {style}, got {name!r}; {nearest(name, faces)}")
    _check_size(size)
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
    faces = tuple(_faces(style).values())
    _check_size(size)
    if labels.shape != rows.shape or labels.ndim != 1:
        raise BadInput(f"expected one row number for each label, got {rows.shape} for {labels.shape}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(faces):
        raise BadInput(f"expected labels 0..{len(faces) - 1} for style {style}, got {labels.min()}..{labels.max()}")
    plates = _plates(style, size)
    images = np.empty((len(labels), size, size, 3), dtype=np.uint8)
    regions = np.empty((len(labels), 4), dtype=np.float32)
    step = max(1, _PIXELS_AT_ONCE // (size * size))

    def draw(start: int) -> int:
        part = slice(start, start + step)
        canvas = Canvas(RowRng(seed, rows[part]), size)
        images[part], regions[part] = photograph(canvas, faces, plates, labels[part])
        return len(labels[part])

    done = 0
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 16)) as pool:
        for count in pool.map(draw, range(0, len(labels), step)):
            done += count
            if progress is not None:
                progress(done, len(labels))
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
    _check_size(size)
    for what, count in (("train", train), ("test", test)):
        if count < len(names):
            raise BadInput(f"signs: expected {what} of at least {len(names)} (one for each class), got {count}")
    wanted = [_Wanted(style, size, part, count, seed) for part, count in (("train", train), ("test", test))]
    sets: list[ImageData] = []
    for before, one in ((0, wanted[0]), (train, wanted[1])):
        report = _shifted(progress, before, train + test)
        drawn = None if cache is None else _read(cache / one.file_name, one)
        if drawn is None:
            drawn = one.draw(report)
            if cache is not None and not _written(cache, one, drawn):
                cache = None  # one warning is enough
        elif report is not None:
            report(one.count, one.count)
        images, regions = drawn
        sets.append(ImageData.of(images, one.labels, class_names=names, region=regions, name=f"signs-{style}"))
    return with_select(sets[0], sets[1], select, split_seed)


@dataclass(frozen=True)
class _Wanted:
    """One set of pictures: everything that they depend on."""

    style: str
    size: int
    part: str
    count: int
    seed: int

    @property
    def stream(self) -> Seed:
        return Seed(self.seed).derive("signs", self.style, self.part)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Every class equally often, in random order: by sorting row numbers by a random number each."""
        each = np.arange(self.count, dtype=np.int64) % len(class_names(self.style))
        return each[np.argsort(RowRng.of(self.stream.derive("labels"), self.count).uniform("order"), kind="stable")]

    @property
    def file_name(self) -> str:
        return f"signs-{self.style}-{self.size}-{self.part}-{self.count}-seed{self.seed}-v{DRAWING_VERSION}.npz"

    def draw(self, progress: Progress | None) -> Drawn:
        rows = np.arange(self.count, dtype=np.int64)
        return render(self.style, self.labels, rows, self.stream.derive("pictures"), self.size, progress)


def _written(cache: Path, wanted: _Wanted, drawn: Drawn) -> bool:
    """Put the pictures into the cache; False, after a warning, where that cannot be done."""
    try:
        with whole_file(cache / wanted.file_name) as partial, partial.open("wb") as file:
            np.savez(file, images=drawn[0], regions=drawn[1], digest=_digest(drawn))
    except OSError as error:
        warnings.warn(
            f"the cache {cache} cannot be written ({error.strerror or error}): the signs will be drawn again next time",
            CacheWarning,
            stacklevel=3,
        )
        return False
    return True


def _read(path: Path, wanted: _Wanted) -> Drawn | None:
    """The pictures in a cache file, or None when it is absent, damaged, or not what is wanted."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            images, regions, digest = file["images"], file["regions"], file["digest"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, RuntimeError):
        return None  # absent or damaged (a changed byte can also look like encryption, a RuntimeError): drawn again
    shape = (wanted.count, wanted.size, wanted.size, 3)
    if images.dtype != np.uint8 or images.shape != shape:
        return None
    if regions.dtype != np.float32 or regions.shape != (wanted.count, 4):
        return None
    return (images, regions) if np.array_equal(digest, _digest((images, regions))) else None


def _digest(drawn: Drawn) -> NDArray[np.uint8]:
    """SHA-256 over both arrays, as 32 bytes."""
    total = hashlib.sha256()
    for array in drawn:
        total.update(np.ascontiguousarray(array).data)
    return np.frombuffer(total.digest(), dtype=np.uint8)


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Progress over two sets as one."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)


def _check_size(size: int) -> None:
    if size < SMALLEST:
        raise BadInput(f"signs: expected a size of at least {SMALLEST} pixels, got {size}")


def _plates(style: str, size: int) -> Plates:
    """The faces of a style at about four times the pictures' resolution."""
    return _plates_of(style, min(512, max(64, 1 << math.ceil(math.log2(4 * size)))))


@lru_cache(maxsize=4)
def _plates_of(style: str, side: int) -> Plates:
    return Plates.of(tuple(_faces(style).values()), side)
