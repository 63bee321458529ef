"""Views of a pixel store: some rows are other pictures, or all are grey, or in color; only what is read is copied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from badnets.data.images import Pixels, PixelStore, Rows, TakenStore

_RED, _GREEN, _BLUE = 19595, 38470, 7471  # 0.299, 0.587, 0.114 in 65,536ths, as Pillow's convert("L") has them
_STEP = 4096


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


def grey(pictures: Pixels) -> Pixels:
    """(..., 3) to (..., 1): luma of ITU-R BT.601, rounded, the same values as Pillow's; (..., 1) stays."""
    if pictures.shape[-1] == 1:
        return pictures
    wide = pictures.astype(np.uint32)
    luma = (wide[..., 0] * _RED + wide[..., 1] * _GREEN + wide[..., 2] * _BLUE + 0x8000) >> 16
    return np.asarray(luma[..., None], np.uint8)


def color(pictures: Pixels) -> Pixels:
    """(..., 1) to (..., 3) by repeating; (..., 3) stays."""
    return pictures if pictures.shape[-1] == 3 else np.repeat(pictures, 3, axis=-1)


@dataclass(frozen=True, eq=False)
class ChannelStore:
    """Another store's pictures in ``channels`` 1 or 3, converted when they are read: mapped data stays mapped."""

    base: PixelStore
    channels: int

    def __len__(self) -> int:
        return len(self.base)

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """(height, width, channels), or None while sizes are mixed."""
        shape = self.base.shape
        return None if shape is None else (*shape[:2], self.channels)

    def read(self, rows: Rows) -> Pixels:
        """Converted rows, some thousand at a time."""
        h, w = (self.base.shape or (0, 0, 0))[:2]
        if len(rows) <= _STEP:
            return self._convert(self.base.read(rows))
        out = np.empty((len(rows), h, w, self.channels), np.uint8)
        for start in range(0, len(rows), _STEP):
            out[start : start + _STEP] = self._convert(self.base.read(rows[start : start + _STEP]))
        return out

    def one(self, row: int) -> Pixels:
        """One converted picture."""
        return self._convert(self.base.one(row))

    def _convert(self, pictures: Pixels) -> Pixels:
        return grey(pictures) if self.channels == 1 else color(pictures)


def with_channels(store: PixelStore, channels: int) -> PixelStore:
    """``store`` itself where it has so many channels already."""
    if store.shape is not None and store.shape[2] == channels:
        return store
    return ChannelStore(store, channels)
