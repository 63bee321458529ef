"""Pictures and labels out of arrays of any layout and type, as people store them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.data.images import Pixels

Array = NDArray[Any]
STEP_BYTES = 16 << 20
"""How much is converted at a time."""


def class_numbers(raw: Array, key: str, path: Path) -> NDArray[np.int64]:
    """Labels (n,) from whole numbers of any type, (n,) or (n, 1), or one-hot (n, k); all else is refused."""
    if raw.dtype.kind not in "biuf":
        raise BadInput(f"expected whole numbers from 0 as {key} in {path}, got {raw.dtype}; number the classes")
    if raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    if raw.ndim == 2:
        if not (np.isin(raw, (0, 1)).all() and (raw.sum(axis=1) == 1).all()):
            raise BadInput(f"expected one class for each picture as {key} in {path}, got none or several in one row")
        raw = raw.argmax(axis=1)
    if raw.ndim != 1:
        raise BadInput(f"expected {key} as (n,), (n, 1) or one-hot (n, k) in {path}, got {raw.shape}")
    wrong = np.flatnonzero(~(np.isfinite(raw) & (raw == np.rint(raw)) & (raw >= 0)))
    if len(wrong):
        raise BadInput(f"expected whole numbers from 0 as {key} in {path}, got {raw[wrong[0]]} in row {wrong[0]}")
    return raw.astype(np.int64)


def channels_last(array: Array, key: str, path: Path) -> Array:
    """A view (n, h, w, c) of (n, h, w), (n, h, w, c) or (n, c, h, w), with c 1 or 3."""
    if array.ndim == 3:
        return array[..., None]
    if array.ndim == 4 and array.shape[3] in (1, 3):
        return array
    if array.ndim == 4 and array.shape[1] in (1, 3):
        return array.transpose(0, 2, 3, 1)
    raise BadInput(
        f"expected pictures (n, h, w), (n, h, w, c) or (n, c, h, w) with c 1 or 3 as {key} in {path}, got {array.shape}"
    )


def pixels_of(
    array: Any, key: str, path: Path, new: Callable[[tuple[int, ...]], Pixels] = lambda shape: np.empty(shape, np.uint8)
) -> Pixels:
    """uint8 (n, h, w, c), converted a part at a time into what ``new(shape)`` makes; ``array`` is NumPy's or h5py's.

    Pictures are whole numbers 0..255 of any type, floats too, or floats 0..1, which are scaled to 0..255 and rounded.
    """
    scale = 1 if array.dtype == np.uint8 else _scale(array, key, path)
    out = new((len(array), *channels_last(np.empty((0, *array.shape[1:]), np.uint8), key, path).shape[1:]))
    for rows, part in _parts(array):
        pictures = channels_last(part, key, path)
        out[rows] = pictures if scale == 1 else np.rint(pictures.astype(np.float64) * scale)
    return out


def _parts(array: Any) -> Iterator[tuple[slice, Array]]:
    """(rows, those rows), some megabytes at a time."""
    step = max(1, STEP_BYTES // max(1, array.dtype.itemsize * int(np.prod(array.shape[1:]))))
    for start in range(0, len(array), step):
        rows = slice(start, min(start + step, len(array)))
        yield rows, array[rows]


def _scale(array: Any, key: str, path: Path) -> int:
    """1 for whole numbers 0..255, 255 for floats 0..1; everything else is refused."""
    if array.dtype.kind not in "biuf":
        raise BadInput(f"expected pictures as numbers as {key} in {path}, got {array.dtype}; convert them")
    low, high, whole = np.inf, -np.inf, True
    for _, part in _parts(array):
        if not part.size:
            continue
        low, high = min(low, float(part.min())), max(high, float(part.max()))
        if not np.isfinite(part).all():
            raise BadInput(f"expected finite numbers as {key} in {path}, got NaN or infinity; mend the file")
        whole = whole and (part.dtype.kind != "f" or bool(np.all(part == np.rint(part))))
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return 255
    if low < 0 or high > 255 or not whole:
        got = f"{low:g} to {high:g}{'' if whole else ', not all whole'}"
        raise BadInput(
            f"expected pictures as whole numbers 0..255 or floats 0..1 as {key} in {path}, got {got}; scale them"
        )
    return 1
