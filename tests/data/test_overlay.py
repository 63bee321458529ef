"""A view with some rows changed is what a naive copy would be."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from badnets.data.images import ArrayStore
from badnets.data.overlay import appended, replaced

N = 9


def _arrays(seed: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (N, 3, 2, 1), np.uint8)
    return base, rng.permutation(N)[:k], rng.integers(0, 256, (k, 3, 2, 1), np.uint8)


@given(st.integers(0, 99), st.integers(0, N), st.lists(st.integers(0, 2 * N), max_size=12), st.booleans())
def test_reading_an_overlay(seed: int, k: int, wanted: list[int], add: bool) -> None:
    base, rows, pictures = _arrays(seed, k)
    kept = base.copy()
    if add:
        store, naive = appended(ArrayStore(base), pictures), np.concatenate([base, pictures])
    else:
        store, naive = replaced(ArrayStore(base), rows, pictures), base.copy()
        naive[rows] = pictures
    assert len(store) == len(naive)
    assert store.shape == (3, 2, 1)
    index = np.array([w for w in wanted if w < len(naive)], np.int64)
    read = store.read(index)
    np.testing.assert_array_equal(read, naive[index])
    for row in range(len(naive)):
        np.testing.assert_array_equal(store.one(row), naive[row])
    # What was read is the reader's own.
    read[:] = 0
    if len(index):
        store.one(int(index[0]))[:] = 0
    np.testing.assert_array_equal(store.read(np.arange(len(naive))), naive)
    np.testing.assert_array_equal(base, kept)
