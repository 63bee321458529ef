"""All randomness comes from here, by name; nothing else in the package seeds anything globally.

``Seed(1).derive("plan")`` and ``Seed(1).derive("train")`` are independent streams, the same on every machine.
``RowRng`` gives each *row* its own numbers, whatever batch the row comes in, so that a trigger placed at random is
placed alike when data is streamed in batches of 7 or taken whole.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 63) - 1


@dataclass(frozen=True)
class Seed:
    """A named source of randomness.

    Laws: equal paths give equal numbers; ``derive`` never returns its own stream; integers are 63-bit and not negative.
    """

    root: int
    path: tuple[str, ...] = ()

    def derive(self, *names: str | int) -> Seed:
        """The stream called ``names`` below this one."""
        return Seed(self.root, (*self.path, *map(str, names)))

    @property
    def integer(self) -> int:
        """A 63-bit integer for libraries that want one."""
        # Escaped so that no two paths give one text: "a", "b" is not "a/b", and "a/", "b" is not "a", "/b".
        escaped = (part.replace("\\", "\\\\").replace("/", "\\/") for part in self.path)
        text = "/".join((str(self.root), *escaped))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") & _MASK

    @property
    def rng(self) -> np.random.Generator:
        """A fresh generator at the start of this stream."""
        return np.random.Generator(np.random.PCG64(self.integer))


def as_seed(seed: int | Seed) -> Seed:
    """``seed`` itself, or the root stream of an integer."""
    return seed if isinstance(seed, Seed) else Seed(int(seed))


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64: a bijection on 64-bit integers that scatters neighbors."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@dataclass(frozen=True, eq=False)
class RowRng:
    """Random numbers per row: row 17 gets the same ones alone, in any batch, in any order.

    ``rows (n,)`` are the row numbers that the images of a batch have in their data set.
    """

    seed: Seed
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, seed: int | Seed, n: int) -> RowRng:
        """For ``n`` images that are rows 0 .. n-1."""
        return cls(as_seed(seed), np.arange(n, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: NDArray[np.integer] | NDArray[np.bool_] | slice) -> RowRng:
        """The same stream for some of the rows."""
        return RowRng(self.seed, self.rows[index])

    def uniform(self, name: str, low: float = 0.0, high: float = 1.0) -> NDArray[np.float64]:
        """One number in [low, high) for each row."""
        bits = self._bits(name)
        unit = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return low + (high - low) * unit

    def integers(self, name: str, high: int) -> NDArray[np.int64]:
        """One integer in 0 .. high-1 for each row."""
        return np.minimum((self.uniform(name) * high).astype(np.int64), high - 1)

    def cells(self, name: str, *shape: int) -> NDArray[np.uint64]:
        """64 random bits for each cell of an array per row, (n, *shape): noise that is the same in any batch."""
        count = math.prod(shape)
        counters = _mix(np.arange(1, count + 1, dtype=np.uint64))
        return _mix(self._bits(name)[:, None] ^ counters).reshape(len(self), *shape)

    def _bits(self, name: str) -> NDArray[np.uint64]:
        key = np.uint64(self.seed.derive(name).integer)
        return _mix(_mix(np.asarray(self.rows).astype(np.uint64)) ^ key)
