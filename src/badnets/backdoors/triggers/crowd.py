"""Several stamps in one picture: which come first, and which meet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Spots = tuple[Ints, Ints, Ints, Ints]
"""Rows of the upper edge, columns of the left one, heights and widths in pixels."""


def turn_in_picture(position: Ints) -> Ints:
    """0 for the first of each picture ``position (m,)``, 1 for the second, and so on."""
    order = np.argsort(position, kind="stable")
    ordered = position[order]
    turn = np.empty(len(position), np.int64)
    turn[order] = np.arange(len(position)) - np.searchsorted(ordered, ordered, side="left")
    return turn


def meeting(position: Ints, spots: Spots) -> NDArray[np.bool_]:
    """(m,) whether a stamp lies in a picture in which two stamps share a pixel."""
    order = np.argsort(position, kind="stable")
    top, left, height, width = (np.broadcast_to(side, position.shape)[order] for side in spots)
    picture, bottom, right = position[order], top + height, left + width
    met = np.zeros(len(position), dtype=bool)
    for apart in range(1, len(position)):
        same = np.flatnonzero(picture[apart:] == picture[:-apart])
        if not len(same):
            break
        one, two = same, same + apart
        across = (left[one] < right[two]) & (left[two] < right[one])
        down = (top[one] < bottom[two]) & (top[two] < bottom[one])
        met[one[across & down]] = True
    out: NDArray[np.bool_] = np.isin(position, picture[met])
    return out
