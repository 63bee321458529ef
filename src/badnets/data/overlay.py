"""A view of a pixel store in which some rows are other pictures: it copies only those."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from badnets.data.images import Pixels, PixelStore, Rows, TakenStore


@dataclass(frozen=True, eq=False)
class OverlaidStore(TakenStore):
    """Row i is row ``rows[i]`` of ``base`` where that is >= 0, else ``extra[-1 - rows[i]]``."""

    extra: Pixels

    def read(self, rows: Rows) -> Pixels:
        """Rows of the base with the changed ones laid over."""
        index = self.rows[rows]
        changed = index < 0
        if not changed.any():
            return self.base.read(index)
        if changed.all():
            return self.extra[-1 - index]
        # The base is read for the unchanged rows alone, but in one piece: a mapped file likes that best.
        out = self.base.read(np.where(changed, 0, index))
        out[changed] = self.extra[-1 - index[changed]]
        return out

    def one(self, row: int) -> Pixels:
        """One row."""
        index = int(self.rows[row])
        return np.array(self.extra[-1 - index]) if index < 0 else self.base.one(index)


def replaced(base: PixelStore, rows: Rows, pictures: Pixels) -> OverlaidStore:
    """``base`` with ``rows`` replaced by ``pictures``."""
    index = np.arange(len(base), dtype=np.int64)
    index[rows] = -1 - np.arange(len(rows), dtype=np.int64)
    return OverlaidStore(base, index, pictures)


def appended(base: PixelStore, pictures: Pixels) -> OverlaidStore:
    """``base`` followed by ``pictures``."""
    index = np.concatenate([np.arange(len(base), dtype=np.int64), -1 - np.arange(len(pictures), dtype=np.int64)])
    return OverlaidStore(base, index, pictures)
