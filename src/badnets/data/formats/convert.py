"""Pictures and labels out of arrays of numbers of any layout and type, as people store them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badnets.core.cache import warn_of_data
from badnets.core.errors import BadInput
from badnets.core.limits import CLASSES, PICTURE
from badnets.core.text import brief
from badnets.data.images import ImageData, Labels, Pixels

Array = NDArray[Any]
STEP_BYTES = 16 << 20
"""How much is converted at a time."""


def check_pictures(stored: Any, key: str, path: Path) -> int:
    """How many pictures are ``stored``, which has a shape and is not read yet; refused where they have no shape that
    pictures have."""
    channels_last(np.broadcast_to(np.uint8(0), stored.shape), key, path)
    return int(stored.shape[0])


def check_labels(stored: Any, key: str, path: Path, *, pictures: int, of: str) -> None:
    """Refuse labels for another number than that of the ``pictures`` under the key ``of``, or of no shape that labels
    have; ``stored`` has a shape and a dtype, and is not read yet."""
    if stored.dtype.kind not in "biuf":
        got = brief(stored.dtype)
        raise BadInput(f"expected whole numbers from 0 as {key} in {path}, got {got}; number the classes")
    if len(stored.shape) not in (1, 2):
        got = brief(stored.shape)
        raise BadInput(f"expected {key} as (n,), (n, 1) or one-hot (n, k) in {path}, got {got}")
    if stored.shape[0] != pictures:
        raise BadInput(f"expected {pictures} labels for {of} in {path}, got {stored.shape[0]}")
    CLASSES.check(stored.shape[-1] if len(stored.shape) == 2 else 0, path)


def class_numbers(raw: Array, key: str, path: Path) -> NDArray[np.int64]:
    """Labels (n,) from whole numbers of any type, (n,) or (n, 1), or one-hot (n, k); all else is refused."""
    check_labels(raw, key, path, pictures=len(raw) if raw.ndim else 0, of="the pictures")
    if raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    if raw.ndim == 2:
        raw = np.concatenate([_hot(part, key, path) for _, part in _parts(raw)] or [np.zeros(0, np.int64)])
    good = raw >= 0 if raw.dtype.kind != "f" else np.isfinite(raw) & (raw == np.rint(raw)) & (raw >= 0)
    wrong = np.flatnonzero(~good)
    if len(wrong):
        raise BadInput(f"expected whole numbers from 0 as {key} in {path}, got {raw[wrong[0]]} in row {wrong[0]}")
    CLASSES.check(int(raw.max(initial=0)) + 1, path)
    return raw.astype(np.int64)


def _hot(rows: Array, key: str, path: Path) -> NDArray[np.int64]:
    if not (np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all()):
        raise BadInput(f"expected one class for each picture as {key} in {path}, got none or several in one row")
    numbers: NDArray[np.int64] = rows.argmax(axis=1)
    return numbers


def channels_last(array: Array, key: str, path: Path) -> Array:
    """A view (n, h, w, c) of (n, h, w), (n, h, w, c) or (n, c, h, w), with c 1 or 3."""
    if array.ndim == 3:
        pictures = array[..., None]
    elif array.ndim == 4 and array.shape[3] in (1, 3):
        pictures = array
    elif array.ndim == 4 and array.shape[1] in (1, 3):
        pictures = array.transpose(0, 2, 3, 1)
    else:
        what = f"expected pictures (n, h, w), (n, h, w, c) or (n, c, h, w) with c 1 or 3 as {key} in {path}"
        raise BadInput(f"{what}, got {brief(array.shape)}")
    if not min(pictures.shape[1:]):
        raise BadInput(f"expected pictures of at least one pixel as {key} in {path}, got {brief(array.shape)}")
    PICTURE.check(pictures.shape[1] * pictures.shape[2], path)
    return pictures


def pixels_of(
    array: Any, key: str, path: Path, new: Callable[[tuple[int, ...]], Pixels] = lambda shape: np.empty(shape, np.uint8)
) -> Pixels:
    """uint8 (n, h, w, c), converted a part at a time into what ``new(shape)`` makes; ``array`` is NumPy's or h5py's.

    Pictures (n, h, w), (n, h, w, c) or (n, c, h, w), with c 1 or 3, are whole numbers 0..255 of any type, floats too,
    or floats 0..1 or booleans, which are scaled to 0..255 and rounded.
    """
    scale = 1 if array.dtype == np.uint8 else _scale(array, key, path)
    out = new((len(array), *channels_last(np.empty((0, *array.shape[1:]), np.uint8), key, path).shape[1:]))
    for rows, part in _parts(array):
        pictures = channels_last(part, key, path)
        out[rows] = pictures if scale == 1 else np.rint(pictures.astype(np.float64) * scale)
    return out


def warn_of_bits(pixels: Pixels, key: str, path: Path) -> None:
    """Say that pictures of 0 and 1 in bytes are all but black, for they were likely meant as 0..1."""
    highest = 0
    for _, part in _parts(pixels):  # of most data the first tells
        highest = max(highest, int(part.max(initial=0)))
        if highest > 1:
            return
    if highest == 1:
        what = f"{path}: pixels of {key} are 0 and 1 only, as whole numbers, which are black of 0..255"
        warn_of_data(f"{what}; if 1 is white, save them as floats 0..1, as booleans, or times 255")


def from_one(sets: Sequence[ImageData], named: int | None, path: Path) -> list[ImageData] | None:
    """The sets with classes numbered from 0 whose labels count from 1, without a gap: else a class 0 without any
    picture would be the first one, and what an attack aims at by default. None where they do not, or where one of the
    ``named`` classes is that of number 0; one ``DataWarning`` says which is the case."""
    there = np.unique(np.concatenate([data.labels for data in sets]))
    most = int(there[-1])
    if len(there) < 2 or not np.array_equal(there, np.arange(1, most + 1)):
        return None
    if named is not None and named > most:
        warn_of_data(f"{path}: labels are 1 to {most}, so class 0 has no pictures; name another one as a target")
        return None
    called = f"1 to {most}" if named is None else f"as the {named} class_names"
    warn_of_data(f"{path}: labels are 1 to {most}, not from 0; the classes are called {called}, and numbered from 0")
    names = tuple(map(str, there.tolist()))
    return [replace(data, targets=Labels(data.labels - 1, data.regions), class_names=names) for data in sets]


def _parts(array: Any) -> Iterator[tuple[slice, Array]]:
    """(rows, those rows), some megabytes at a time."""
    step = max(1, STEP_BYTES // max(1, array.dtype.itemsize * int(np.prod(array.shape[1:]))))
    for start in range(0, len(array), step):
        rows = slice(start, min(start + step, len(array)))
        yield rows, array[rows]


def _scale(array: Any, key: str, path: Path) -> int:
    """1 for whole numbers 0..255, 255 for floats 0..1 and booleans; everything else is refused."""
    if array.dtype.kind not in "biuf":
        raise BadInput(f"expected pictures as numbers as {key} in {path}, got {brief(array.dtype)}; convert them")
    low, high, whole = np.inf, -np.inf, True
    for _, part in _parts(array):
        if not part.size:
            continue
        low, high = min(low, float(part.min())), max(high, float(part.max()))
        if not np.isfinite(part).all():
            raise BadInput(f"expected finite numbers as {key} in {path}, got NaN or infinity; mend the file")
        whole = whole and (part.dtype.kind != "f" or bool(np.all(part == np.rint(part))))
    if array.dtype.kind == "b" or (array.dtype.kind == "f" and low >= 0 and high <= 1):
        return 255
    if low < 0 or high > 255 or not whole:
        got = f"{low:g} to {high:g}{'' if whole else ', not all whole'}"
        raise BadInput(
            f"expected pictures as whole numbers 0..255 or floats 0..1 as {key} in {path}, got {got}; scale them"
        )
    return 1
