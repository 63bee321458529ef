"""What the sources that draw their pictures share: named sets, balanced labels, threads, and the cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from badnets.core.cache import Cache
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng, Seed
from badnets.data.drawn.styles import faces_of
from badnets.data.images import ArrayStore, ImageData, Splits
from badnets.data.splits import with_select
from badnets.data.targets import Targets

Progress = Callable[[int, int], None]
Drawn = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""Pictures (n, size, size, 3) and the objects' regions (m, 4)."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One set of pictures: everything that they depend on.

    ``kind`` is the source, ``part`` train or test, ``count`` the number of pictures.
    """

    kind: str
    style: str
    size: int
    seed: int
    version: str
    part: str = "train"
    count: int = 0

    @property
    def stream(self) -> Seed:
        """Its own random numbers."""
        return Seed(self.seed).derive(self.kind, self.style, self.part)


@dataclass(frozen=True)
class Order:
    """A set to be drawn: ``draw(progress)`` draws it, with ``objects`` regions, of which ``targets`` makes targets."""

    wanted: Wanted
    objects: int
    draw: Callable[[Progress | None], Drawn]
    targets: Callable[[NDArray[np.float32]], Targets]

    def kept(self, progress: Progress | None) -> Drawn:
        """From the cache, or drawn and put there."""

        def write(path: Path) -> None:
            images, regions = self.draw(progress)
            with path.open("wb") as file:
                np.savez(file, images=images, regions=regions)

        return Cache(self.wanted.kind, self._read, ".npz").get(asdict(self.wanted), write)

    def _read(self, path: Path) -> Drawn:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            images, regions = file["images"], file["regions"]
        shapes = (self.wanted.count, self.wanted.size, self.wanted.size, 3), (self.objects, 4)
        if (images.shape, regions.shape) != shapes or (images.dtype, regions.dtype) != (np.uint8, np.float32):
            raise ValueError(f"{images.dtype} {images.shape} and {regions.dtype} {regions.shape}")
        return images, regions


def load_sets(
    order: Callable[[Wanted, int], Order],
    wanted: Wanted,
    *,
    train: int,
    test: int,
    cache: bool,
    progress: Progress | None,
) -> Splits:
    """Training and test set of so many pictures; ``order(wanted, classes)`` says how one is drawn."""
    names = tuple(faces_of(wanted.style))
    for part, count in (("train", train), ("test", test)):
        if count < len(names):
            at_least = f"{part} of at least {len(names)} (one for each class)"
            raise BadInput(f"{wanted.kind}: expected {at_least}, got {count}")
    sets: list[ImageData] = []
    for part, count, before in (("train", train, 0), ("test", test, train)):
        one = order(replace(wanted, part=part, count=count), len(names))
        report = None if progress is None else _shifted(progress, before, train + test)
        images, regions = one.kept(report) if cache else one.draw(report)
        if report is not None:
            report(count, count)
        targets, name = one.targets(regions), f"{wanted.kind}-{wanted.style}"
        sets.append(ImageData(ArrayStore(images), targets, names, name=name))
    return with_select(sets[0], sets[1], 0, 0)


def check_size(source: str, smallest: int, size: int) -> None:
    """Refuse pictures on which nothing could be recognized."""
    if size < smallest:
        raise BadInput(f"{source}: expected a size of at least {smallest} pixels, got {size}")


def check_labels(style: str, labels: NDArray[np.int64]) -> None:
    """Refuse labels that the style does not have."""
    classes = len(faces_of(style))
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


def _shifted(progress: Progress, before: int, total: int) -> Progress:
    """Progress over several sets as one."""
    return lambda done, _: progress(before + done, total)
