from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from badnets.data import overlay
from badnets.data.images import ArrayStore
from badnets.data.overlay import ChannelStore, color, grey, with_channels


@given(st.integers(0, 2**32 - 1))
def test_grey_is_pillows(seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(grey(pixels)[..., 0], np.asarray(Image.fromarray(pixels).convert("L")))


@given(st.integers(0, 2**32 - 1))
def test_color_then_grey_changes_nothing(seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 4, 3, 1), dtype=np.uint8)
    assert np.array_equal(grey(color(pixels)), pixels)
    assert color(pixels).shape == (2, 4, 3, 3)


def test_store_converts_what_it_reads_in_steps() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (overlay._STEP + 3, 2, 2, 3), dtype=np.uint8)
    store = with_channels(ArrayStore(pixels), 1)
    assert store.shape == (2, 2, 1)
    rows = np.arange(len(pixels))[::-1].copy()
    assert np.array_equal(store.read(rows), grey(pixels)[::-1])
    assert np.array_equal(store.one(4), grey(pixels[4]))


def test_store_that_fits_is_left_alone() -> None:
    store = ArrayStore(np.zeros((1, 2, 2, 3), np.uint8))
    assert with_channels(store, 3) is store
    assert isinstance(with_channels(store, 1), ChannelStore)
