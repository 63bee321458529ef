"""Reading rows of a mapped file without growing.

A process that touches a page of a mapped file keeps it, and the system reads and maps its neighbors too: a few thousand
scattered rows can hold more than a gigabyte. So pages are given back after each block (they stay in the system's cache,
where reading them again is cheap), and for scattered rows the neighbors are left alone.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 32 << 20
_NEIGHBORHOOD = 1 << 16
"""How much the system maps around a page that it finds in its cache."""


def read_mapped(array: NDArray[Any], rows: NDArray[np.integer]) -> NDArray[Any]:
    """A copy of ``array[rows]``, contiguous, as a plain array; ``array`` is an ``np.memmap`` or a view of one."""
    mapping: mmap.mmap | None = getattr(array, "_mmap", None)
    size = max(1, array[:1].nbytes)
    # A view may stand in single rows of a batch read in order, so: most rows, not all.
    scattered = 2 * np.count_nonzero(np.diff(rows) == 1) < len(rows) - 1
    step = max(1, _BLOCK // max(size, _NEIGHBORHOOD if scattered else 1))
    _advise(mapping, "MADV_RANDOM" if scattered else "MADV_NORMAL")
    if len(rows) <= step:
        return _block(array, rows, mapping)
    out = np.empty((len(rows), *array.shape[1:]), array.dtype)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        out[part] = _block(array, rows[part], mapping)
    return out


Place = tuple[str, str, int, tuple[int, ...]]
"""File, dtype, position of the first byte, shape."""


def place_of(array: NDArray[Any]) -> Place | None:
    """Where a mapped array, or a contiguous view of one, lies in its file; None for any other array.

    Another process can map the same bytes again by ``map_again``, instead of being sent a copy of all of them.
    """
    mapping: mmap.mmap | None = getattr(array, "_mmap", None)
    name = getattr(array, "filename", None)
    if not isinstance(array, np.memmap) or mapping is None or name is None or not array.flags.c_contiguous:
        return None
    if array.mode not in ("r", "r+"):  # private changes of a copy-on-write map are not in the file
        return None
    first = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY
    start = np.frombuffer(mapping, np.uint8).__array_interface__["data"][0]
    return str(name), array.dtype.str, first + array.__array_interface__["data"][0] - start, array.shape


def map_again(name: str, dtype: str, position: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """The bytes at a ``Place``, mapped read-only."""
    return np.memmap(name, dtype=dtype, mode="r", offset=position, shape=shape)


def _block(array: NDArray[Any], rows: NDArray[np.integer], mapping: mmap.mmap | None) -> NDArray[Any]:
    """Some rows, and their pages given back."""
    block = np.ascontiguousarray(array[rows])
    if getattr(array, "mode", None) in ("r", "r+"):  # private changes of a copy-on-write map would be lost
        _advise(mapping, "MADV_DONTNEED")
    return block


def _advise(mapping: mmap.mmap | None, advice: str) -> None:
    """Tell the system, where it listens: advice is not known everywhere."""
    if mapping is not None and hasattr(mmap, advice):
        mapping.madvise(getattr(mmap, advice))
