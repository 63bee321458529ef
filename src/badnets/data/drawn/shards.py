"""What the sources that draw their pictures share: named sets, balanced labels, threads, and the cache."""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from badnets.core.cache import CacheWarning
from badnets.core.errors import BadInput
from badnets.core.files import whole_file
from badnets.core.seed import RowRng, Seed

Progress = Callable[[int, int], None]
Drawn = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""Pictures (n, size, size, 3) and the objects' regions (m, 4)."""


@dataclass(frozen=True)
class Wanted:
    """One set of pictures: everything that they depend on, so that its file's name can say it.

    ``kind`` is the source, ``part`` train or test, ``count`` the number of pictures.
    """

    kind: str
    style: str
    size: int
    part: str
    count: int
    seed: int
    version: str

    @property
    def stream(self) -> Seed:
        """Its own random numbers."""
        return Seed(self.seed).derive(self.kind, self.style, self.part)

    @property
    def file_name(self) -> str:
        """Of its cache file."""
        what = f"{self.kind}-{self.style}-{self.size}-{self.part}-{self.count}"
        return f"{what}-seed{self.seed}-v{self.version}.npz"


@dataclass(frozen=True)
class Order:
    """A set to be drawn: ``draw(progress)`` draws it, with ``objects`` regions."""

    wanted: Wanted
    objects: int
    draw: Callable[[Progress | None], Drawn]


def check_counts(source: str, classes: int, **counts: int) -> None:
    """Refuse a set of fewer pictures than classes."""
    for what, count in counts.items():
        if count < classes:
            raise BadInput(f"{source}: expected {what} of at least {classes} (one for each class), got {count}")


def check_size(source: str, smallest: int, size: int) -> None:
    """Refuse pictures on which nothing could be recognized."""
    if size < smallest:
        raise BadInput(f"{source}: expected a size of at least {smallest} pixels, got {size}")


def check_labels(style: str, classes: int, labels: NDArray[np.int64]) -> None:
    """Refuse labels that the style does not have."""
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise BadInput(f"expected labels 0..{classes - 1} for style {style}, got {labels.min()}..{labels.max()}")


def balanced(seed: Seed, count: int, classes: int) -> NDArray[np.int64]:
    """Every class equally often, in random order: by sorting row numbers by a random number each."""
    each = np.arange(count, dtype=np.int64) % classes
    return each[np.argsort(RowRng.of(seed, count).uniform("order"), kind="stable")]


def in_parts(total: int, step: int, draw: Callable[[slice], None], progress: Progress | None) -> None:
    """Call ``draw(part)`` for ``step`` rows at a time on all processors; ``progress`` from the calling thread."""
    parts = [slice(start, min(start + step, total)) for start in range(0, total, step)]
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 16)) as pool:
        for part, _ in zip(parts, pool.map(draw, parts), strict=True):
            if progress is not None:
                progress(part.stop, total)


def draw_or_read(orders: Sequence[Order], cache: Path | None, progress: Progress | None) -> list[Drawn]:
    """Each set from the folder ``cache``, or drawn and put there; one ``CacheWarning`` where it cannot be written."""
    total = sum(order.wanted.count for order in orders)
    before = 0
    out: list[Drawn] = []
    for order in orders:
        wanted = order.wanted
        report = _shifted(progress, before, total)
        drawn = None if cache is None else _read(cache / wanted.file_name, order)
        if drawn is None:
            drawn = order.draw(report)
            if cache is not None and not _written(cache, wanted, drawn):
                cache = None  # one warning is enough
        elif report is not None:
            report(wanted.count, wanted.count)
        before += wanted.count
        out.append(drawn)
    return out


def _written(cache: Path, wanted: Wanted, drawn: Drawn) -> bool:
    """Put the pictures into the cache; False, after a warning, where that cannot be done."""
    try:
        with whole_file(cache / wanted.file_name) as partial, partial.open("wb") as file:
            np.savez(file, images=drawn[0], regions=drawn[1], digest=_digest(drawn))
    except OSError as error:
        warnings.warn(
            f"the cache {cache} cannot be written ({error.strerror or error}): "
            f"the {wanted.kind} will be drawn again next time",
            CacheWarning,
            stacklevel=4,
        )
        return False
    return True


def _read(path: Path, order: Order) -> Drawn | None:
    """The pictures in a cache file, or None when it is absent, damaged, or not what is wanted."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            images, regions, digest = file["images"], file["regions"], file["digest"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, RuntimeError):
        return None  # absent or damaged (a changed byte can also look like encryption, a RuntimeError): drawn again
    shape = (order.wanted.count, order.wanted.size, order.wanted.size, 3)
    if images.dtype != np.uint8 or images.shape != shape:
        return None
    if regions.dtype != np.float32 or regions.shape != (order.objects, 4):
        return None
    return (images, regions) if np.array_equal(digest, _digest((images, regions))) else None


def _digest(drawn: Drawn) -> NDArray[np.uint8]:
    """SHA-256 over both arrays, as 32 bytes."""
    total = hashlib.sha256()
    for array in drawn:
        total.update(np.ascontiguousarray(array).data)
    return np.frombuffer(total.digest(), dtype=np.uint8)


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Progress over several sets as one."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)
