"""Pictures and what is in them.

``ImageData`` is a frozen value: a store of pixels, targets, class names, and groups (the track or person that a picture
belongs to). A store reads *rows*; whether they lie in memory, in a mapped file, or are overlaid with a few changed ones
is its own affair, so nothing above it needs to know.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput, first_line
from badnets.core.limits import CLASSES, check_name
from badnets.core.text import brief
from badnets.data.targets import Boxes, Labels, Objects, Regions, Rows, Targets, normal_name

Pixels = NDArray[np.uint8]

_BLOCK = 32 << 20
_NEIGHBORHOOD = 1 << 16
"""How much the system maps around a page of a file that it finds in its cache."""

__all__ = ["ArrayStore", "Boxes", "ImageData", "Labels", "PixelStore", "Pixels", "Rows", "Splits"]


def as_pil(picture: Pixels) -> Any:
    """A picture (h, w, c) as Pillow has it, grey or RGB."""
    from PIL import Image

    return Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)


def resized(picture: Pixels, size: tuple[int, int], region: tuple[float, ...] | None = None) -> Pixels:
    """A picture (h, w, c), or its ``region`` (x0, y0, x1, y1), at ``size`` (height, width): bilinear, anti-aliased."""
    from PIL import Image

    small = np.asarray(as_pil(picture).resize(size[::-1], Image.Resampling.BILINEAR, box=region))
    return small.reshape(*size, picture.shape[2])


@runtime_checkable
class PixelStore(Protocol):
    """Read access to n pictures, uint8, height x width x channels."""

    def __len__(self) -> int: ...

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """(height, width, channels) of every picture, or None while sizes are mixed."""

    def read(self, rows: Rows) -> Pixels:
        """The pictures ``rows`` as one new array (k, h, w, c); refused while sizes are mixed."""

    def one(self, row: int) -> Pixels:
        """Picture ``row`` (h, w, c) in its own size."""


@dataclass(frozen=True, eq=False)
class ArrayStore:
    """Pixels in one uint8 array (n, h, w, c), in memory or memory-mapped; rows are copied when read."""

    array: Pixels

    def __post_init__(self) -> None:
        if self.array.dtype != np.uint8 or self.array.ndim != 4 or self.array.shape[3] not in (1, 3):
            raise BadInput(
                "expected pixels as uint8 (n, height, width, 1 or 3), "
                f"got {self.array.dtype} {tuple(self.array.shape)}; convert or transpose them"
            )

    def __len__(self) -> int:
        return len(self.array)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        _, h, w, c = self.array.shape
        return h, w, c

    def read(self, rows: Rows) -> Pixels:
        """A copy of some rows; of a mapped file no pages stay behind in this process."""
        if isinstance(self.array, np.memmap):
            return read_mapped(self.array, rows)
        return np.ascontiguousarray(self.array[rows])

    def one(self, row: int) -> Pixels:
        """A copy of one row."""
        return np.array(self.array[row])

    def __reduce__(self) -> tuple[Any, ...]:
        # A contiguous view of a mapped file goes to another process by the file's name and where it lies in it: it may
        # be larger than memory. Private changes of a copy-on-write map are not in the file.
        array, mapping = self.array, getattr(self.array, "_mmap", None)
        if not isinstance(array, np.memmap) or mapping is None or array.filename is None:
            return ArrayStore, (array,)
        if array.mode not in ("r", "r+") or not array.flags.c_contiguous:
            return ArrayStore, (array,)
        first = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY
        start = np.frombuffer(mapping, np.uint8).__array_interface__["data"][0]
        return _map_again, (str(array.filename), first + array.__array_interface__["data"][0] - start, array.shape)


def _map_again(name: str, position: int, shape: tuple[int, ...]) -> ArrayStore:
    return ArrayStore(np.memmap(name, dtype=np.uint8, mode="r", offset=position, shape=shape))


def read_mapped(array: NDArray[Any], rows: NDArray[np.integer]) -> NDArray[Any]:
    """A copy of ``array[rows]``, contiguous, as a plain array; ``array`` is an ``np.memmap`` or a view of one.

    A process that touches a page of a mapped file keeps it, and the system reads and maps its neighbors too: a few
    thousand scattered rows can hold more than a gigabyte. So pages are given back after each block (they stay in the
    system's cache, where reading them again is cheap), and for scattered rows the neighbors are left alone.
    """
    mapping: mmap.mmap | None = getattr(array, "_mmap", None)
    # A view may stand in single rows of a batch read in order, so: most rows, not all.
    scattered = 2 * np.count_nonzero(np.diff(rows) == 1) < len(rows) - 1
    step = max(1, _BLOCK // max(1, array[:1].nbytes, _NEIGHBORHOOD if scattered else 1))
    _advise(mapping, "MADV_RANDOM" if scattered else "MADV_NORMAL")

    def block(part: slice) -> NDArray[Any]:
        pixels = np.ascontiguousarray(array[rows[part]])
        if getattr(array, "mode", None) in ("r", "r+"):  # private changes of a copy-on-write map would be lost
            _advise(mapping, "MADV_DONTNEED")
        return pixels

    if len(rows) <= step:
        return block(slice(None))
    out = np.empty((len(rows), *array.shape[1:]), array.dtype)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        out[part] = block(part)
    return out


def _advise(mapping: mmap.mmap | None, advice: str) -> None:
    """Tell the system, where it listens: advice is not known everywhere."""
    if mapping is not None and hasattr(mmap, advice):
        mapping.madvise(getattr(mmap, advice))


@dataclass(frozen=True, eq=False)
class MixedStore:
    """Pictures of several sizes, as a tuple of arrays (h, w, c); resize them before training."""

    pictures: tuple[Pixels, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def shape(self) -> None:
        """None: sizes are mixed."""
        return

    def read(self, rows: Rows) -> Pixels:
        """Refused: say which size you want first."""
        raise BadInput("expected pictures of one size, got mixed sizes; resize them first (a size, or .resize((h, w)))")

    def one(self, row: int) -> Pixels:
        """A copy of one picture."""
        return np.array(self.pictures[row])


@dataclass(frozen=True, eq=False)
class TakenStore:
    """Some rows of another store, in a given order, without copying it."""

    base: PixelStore
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """As the base."""
        return self.base.shape

    def read(self, rows: Rows) -> Pixels:
        """Rows of the base."""
        return self.base.read(self.rows[rows])

    def one(self, row: int) -> Pixels:
        """One row of the base."""
        return self.base.one(int(self.rows[row]))


def _array(values: Any, name: str) -> NDArray[Any]:
    """Of a list or a tensor; whole numbers 0..255 in four axes, or three, as bytes."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        got = brief(first_line(error), 120)
        raise BadInput(
            f"{name}: expected an array, or a list of pictures of one size, got a {type(values).__name__} ({got}); "
            "resize them, or load a folder (badnets.load)"
        ) from None
    if isinstance(values, list | tuple) and array.ndim > 2 and array.dtype.kind in "iu":
        fits = array.size and array.min() >= 0 and array.max() <= 255
        return array.astype(np.uint8) if fits else array
    return array


def _whole(labels: NDArray[Any], name: str) -> NDArray[np.int64]:
    """Labels as integers; floats that are whole are, others are refused and not cut off."""
    if labels.size and labels.dtype.kind not in "biuf":
        raise BadInput(f"{name}: expected labels as whole numbers, got {brief(labels.dtype)}; number the classes")
    if labels.dtype.kind == "f" and not (np.isfinite(labels) & (labels == np.rint(labels))).all():
        row = int(np.argmin((np.isfinite(labels) & (labels == np.rint(labels))).ravel()))
        raise BadInput(f"{name}: expected labels as whole numbers, got {labels.ravel()[row]} in row {row}; mend them")
    return labels.astype(np.int64)


@dataclass(frozen=True, eq=False)
class ImageData:
    """Pictures with targets.

    ``pixels`` (n pictures), ``targets`` (a label for each, or boxes), ``class_names``; ``groups (n,)`` int64 or None:
    rows of one group (a track, a person) never fall on both sides of a split.
    """

    pixels: PixelStore
    targets: Targets
    class_names: tuple[str, ...]
    groups: NDArray[np.int64] | None = None
    name: str = "data"

    def __post_init__(self) -> None:
        n = len(self.pixels)
        if len(self.targets) != n or (self.groups is not None and len(self.groups) != n):
            raise BadInput(f"{self.name}: expected {n} targets and groups for {n} pictures, got {len(self.targets)}")
        names = tuple(normal_name(check_name(name, self.name)) for name in self.class_names)
        object.__setattr__(self, "class_names", names)
        values = self.targets.objects.labels
        if len(values) and (values.min() < 0 or values.max() >= len(self.class_names)):
            raise BadInput(
                f"{self.name}: expected labels 0..{len(self.class_names) - 1} for {len(self.class_names)} classes, "
                f"got {values.min()}..{values.max()}"
            )

    @classmethod
    def of(
        cls,
        images: Pixels | Sequence[Any],
        labels: Sequence[int] | NDArray[Any],
        *,
        class_names: Sequence[str] | None = None,
        region: NDArray[np.float32] | None = None,
        groups: NDArray[np.int64] | None = None,
        name: str = "data",
    ) -> ImageData:
        """From arrays or lists: ``images`` uint8 (n, h, w) or (n, h, w, c), ``labels (n,)`` whole numbers."""
        array = images if isinstance(images, np.ndarray) else _array(images, name)
        array = array[..., None] if array.ndim == 3 else array
        values = _whole(_array(labels, name), name)
        classes = int(values.max(initial=-1)) + 1
        CLASSES.check(classes, name)
        names = class_names if class_names is not None else map(str, range(classes))
        return cls(ArrayStore(array), Labels(values, region), tuple(names), groups, name)

    def __len__(self) -> int:
        return len(self.pixels)

    def __repr__(self) -> str:
        shape = self.pixels.shape
        size = "of mixed sizes" if shape is None else "x".join(map(str, shape))
        boxes = f", {len(self.targets.labels):,} boxes" if isinstance(self.targets, Boxes) else ""
        return f"ImageData({self.name}: {len(self):,} pictures {size}, {self.classes:,} classes{boxes})"

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of each picture (n,); refused where pictures hold several objects."""
        return self._labelled.values

    @property
    def regions(self) -> Regions | None:
        """Where the object of each picture is (n, 4), None when it fills the picture; refused as ``labels``."""
        return self._labelled.region

    @property
    def _labelled(self) -> Labels:
        if isinstance(self.targets, Labels):
            return self.targets
        raise BadInput(
            f"{self.name}: expected one class for each picture, got pictures with boxes; use a detector "
            "(network faster-rcnn), or make rows of the boxes (objects_as_rows)"
        )

    @property
    def boxes(self) -> Boxes:
        """The boxes of all pictures; refused where a picture has one class and no boxes."""
        if isinstance(self.targets, Boxes):
            return self.targets
        raise BadInput(f"{self.name}: expected pictures with boxes, got one class for each; use scenes or voc")

    @property
    def objects(self) -> Objects:
        """What is in the pictures, whether they have labels or boxes."""
        return self.targets.objects

    @property
    def classes(self) -> int:
        """How many classes there are (named ones, present or not)."""
        return len(self.class_names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels); refused while sizes are mixed."""
        if self.pixels.shape is None:
            raise BadInput(f"{self.name}: expected pictures of one size, got mixed sizes; resize them first (a size)")
        return self.pixels.shape

    def images(self, rows: Rows | slice | None = None) -> Pixels:
        """Pictures as one new uint8 array (k, h, w, c); all of them by default."""
        if rows is None or isinstance(rows, slice):
            rows = np.arange(len(self), dtype=np.int64)[rows if rows is not None else slice(None)]
        return self.pixels.read(rows)

    def batches(self, size: int) -> Iterator[tuple[Rows, Pixels]]:
        """(rows, pictures) in order, ``size`` at a time, so that data larger than memory can be gone through."""
        for start in range(0, len(self), size):
            rows = np.arange(start, min(start + size, len(self)), dtype=np.int64)
            yield rows, self.pixels.read(rows)

    def take(self, rows: Rows) -> ImageData:
        """A view of some rows."""
        groups = None if self.groups is None else self.groups[rows]
        return replace(self, pixels=TakenStore(self.pixels, rows), targets=self.targets.take(rows), groups=groups)

    def resize(self, size: tuple[int, int]) -> ImageData:
        """Every picture resized to (height, width), bilinear with anti-aliasing; regions follow. In memory."""
        if self.pixels.shape is not None and self.pixels.shape[:2] == size:
            return self
        out: list[Pixels] = []
        factors = np.ones((len(self), 2), np.float32)
        for row in range(len(self)):
            picture = self.pixels.one(row)
            factors[row] = size[0] / picture.shape[0], size[1] / picture.shape[1]
            out.append(resized(picture, size))
        array = np.stack(out) if out else np.zeros((0, *size, 3), np.uint8)
        return replace(self, pixels=ArrayStore(array), targets=self.targets.scaled(factors))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over pixels, labels, regions and names: equal data, equal digest, however it is stored."""
        total = hashlib.sha256()
        total.update(repr((len(self), self.shape, self.class_names)).encode())
        objects = self.objects
        total.update(np.ascontiguousarray(objects.labels, dtype="<i8").tobytes())
        if objects.regions is not None:
            total.update(np.ascontiguousarray(objects.regions, dtype="<f4").tobytes())
        if isinstance(self.targets, Boxes):
            total.update(np.ascontiguousarray(self.targets.image, dtype="<i8").tobytes())
        step = max(1, (16 << 20) // max(1, int(np.prod(self.shape))))
        for _, pictures in self.batches(step):
            total.update(pictures.tobytes())
        return total.hexdigest()


@dataclass(frozen=True, eq=False)
class Splits:
    """Three sets, never two: ``train`` (what the attacker or trainer has), ``select`` (what a method may tune on; the
    defender's clean data comes from here; empty unless asked for), ``test`` (touched once, by the referee). ``drawn``:
    the source has no test set, and a share of its pictures was drawn for one."""

    train: ImageData
    test: ImageData
    select: ImageData
    drawn: bool = field(default=False, kw_only=True)

    def __repr__(self) -> str:
        return f"Splits(train={self.train!r}, select={self.select!r}, test={self.test!r})"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The same in all three."""
        return self.train.class_names
