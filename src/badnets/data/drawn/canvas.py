"""Painting on many pictures at once: coordinates, random fields, soft shapes, blur.

A picture is float32 (n, 3, size, size), a field (n, 1, size, size), a color (n, 3, 1, 1), a number (n, 1, 1, 1).
Places and lengths are shares of the picture's side, so that a scene looks alike at every size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from badnets.core.seed import RowRng

Field = NDArray[np.float32]
Palette = Sequence[tuple[int, int, int]]


@dataclass(frozen=True, eq=False)
class Canvas:
    """``len(rng)`` pictures of ``size`` x ``size`` pixels, and everything random about them."""

    rng: RowRng
    size: int

    def __len__(self) -> int:
        return len(self.rng)

    def take(self, index: NDArray[np.bool_] | NDArray[np.integer]) -> Canvas:
        """Some of the pictures."""
        return Canvas(self.rng.take(index), self.size)

    @cached_property
    def x(self) -> Field:
        """Middles of the pixels from left to right (1, 1, 1, size)."""
        return ((np.arange(self.size, dtype=np.float32) + np.float32(0.5)) / np.float32(self.size))[None, None, None]

    @cached_property
    def y(self) -> Field:
        """Middles of the pixels from top to bottom (1, 1, size, 1)."""
        return np.ascontiguousarray(self.x.transpose(0, 1, 3, 2))

    def uniform(self, name: str, low: float = 0.0, high: float = 1.0) -> Field:
        """One number in [low, high] for each picture (n, 1, 1, 1)."""
        return self.rng.uniform(name, low, high).astype(np.float32)[:, None, None, None]

    def chance(self, name: str, share: float) -> Field:
        """1 for about ``share`` of the pictures, else 0 (n, 1, 1, 1)."""
        return (self.uniform(name) < share).astype(np.float32)

    def color(self, name: str, palette: Palette, *, vary: float = 0.12) -> Field:
        """A random color of the palette, or between two of them, a little lighter or darker (n, 3, 1, 1)."""
        table = np.array(palette, dtype=np.float32) / np.float32(255)
        first = table[self.rng.integers(f"{name}.first", len(table))][:, :, None, None]
        second = table[self.rng.integers(f"{name}.second", len(table))][:, :, None, None]
        share = self.uniform(f"{name}.share", 0.0, 0.5)
        light = self.uniform(f"{name}.light", 1 - vary, 1 + vary)
        return np.asarray((first + share * (second - first)) * light, dtype=np.float32)

    def cover(self, distance: Field) -> Field:
        """How much of a pixel is covered when an edge is ``distance`` away (inside positive)."""
        return np.asarray(np.clip(distance * np.float32(self.size) + np.float32(0.5), 0, 1), dtype=np.float32)

    def box(self, left: Field, right: Field, top: Field, bottom: Field) -> Field:
        """An upright rectangle."""
        across = self.cover(np.minimum(self.x - left, right - self.x))
        return across * self.cover(np.minimum(self.y - top, bottom - self.y))

    def noise(self, name: str, across: int, down: int | None = None) -> Field:
        """Smooth noise, 0..1: a lattice of random numbers of so many cells, interpolated; ``down`` 0 for one row."""
        rows = across if down is None else down
        bits = self.rng.cells(name, 1, rows + 1, across + 1)
        lattice = (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
        if rows:
            lattice = _interpolated(lattice, self.size, rows, axis=2)
        return _interpolated(lattice, self.size, across, axis=3)

    def fractal(self, name: str, across: int, octaves: int = 3, *, down: int | None = None) -> Field:
        """Noise on noise, 0..1: each octave has twice the cells and half the weight of the one before; ``down`` 0 for
        one row (n, 1, 1, size), the outline of hills or trees."""
        total, field = np.float32(0), np.zeros((len(self), 1, self.size if down != 0 else 1, self.size), np.float32)
        for octave in range(octaves):
            weight = np.float32(0.5**octave)
            rows = None if down is None else down << octave
            field += weight * self.noise(f"{name}.{octave}", across << octave, rows)
            total += weight
        return np.asarray(field / total, dtype=np.float32)


def per_picture(*values: NDArray[np.float64]) -> tuple[Field, ...]:
    """Numbers (n,) as they are painted with (n, 1, 1, 1)."""
    return tuple(value.astype(np.float32)[:, None, None, None] for value in values)


def rgb(red: int, green: int, blue: int) -> Field:
    """One color for all pictures (1, 3, 1, 1), from 0..255."""
    return (np.array([red, green, blue], dtype=np.float32) / np.float32(255))[None, :, None, None]


def off_middle(place: Field) -> Field:
    """How far a place is from the middle of its cell of a regular grid, 0..0.5 cells."""
    return np.asarray(np.abs(place - np.floor(place) - np.float32(0.5)), dtype=np.float32)


def paint(picture: Field, mask: Field, color: Field) -> None:
    """Lay ``color`` over the picture, in place, where the mask (0..1) is."""
    picture += mask * (color - picture)


def blur(picture: Field, across: Field, down: Field) -> Field:
    """Blur each picture by its own radii, numbers in shares of the side."""
    return _blurred(_blurred(picture, across, axis=3), down, axis=2)


def _blurred(picture: Field, radius: Field, axis: int) -> Field:
    """One axis; the kernel (1 - (t/(r+1))^2)^2 is close to a Gaussian and needs no exponential."""
    size = picture.shape[axis]
    reach = radius * np.float32(size) + np.float32(1)
    most = int(np.ceil(reach.max(initial=1.0))) - 1
    if most < 1:
        return picture
    pad = [(0, 0)] * 4
    pad[axis] = (most, most)
    wide = np.pad(picture, pad, mode="edge")
    out = np.zeros_like(picture)
    total = np.zeros_like(reach)
    for step in range(-most, most + 1):
        share = np.float32(step) / reach
        weight = np.maximum(np.float32(1) - share * share, np.float32(0))
        weight *= weight
        window = [slice(None)] * 4
        window[axis] = slice(most + step, most + step + size)
        out += weight * wide[tuple(window)]
        total += weight
    out /= total
    return out


def _interpolated(lattice: Field, size: int, cells: int, axis: int) -> Field:
    """Values between the lattice's points along one axis, with smooth steps."""
    at = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(cells / size)
    low = np.minimum(at.astype(np.int64), cells - 1)
    t = at - low.astype(np.float32)
    t = t * t * (np.float32(3) - np.float32(2) * t)
    shape = [1, 1, 1, 1]
    shape[axis] = size
    first = np.take(lattice, low, axis=axis)
    first += (np.take(lattice, low + 1, axis=axis) - first) * t.reshape(shape)
    return first
