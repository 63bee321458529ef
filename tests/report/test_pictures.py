"""Pictures become PNGs at whole-number scale."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from badnets.core.errors import BadInput
from badnets.report.pages.pictures import difference, gain, pair, picture, under_mask


@pytest.mark.parametrize("channels", [1, 3])
def test_png_holds_the_same_pixels(channels: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 7, channels), dtype=np.uint8)
    uri = picture(pixels, "x", wide=9, narrow=9).uri
    back = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))
    assert np.array_equal(back.reshape(pixels.shape), pixels)


@pytest.mark.parametrize(
    ("side", "wide", "narrow", "smooth"), [(28, 6, 3, False), (32, 6, 3, False), (150, 1, 0.69, True)]
)
def test_small_pictures_grow_by_whole_numbers(side: int, wide: int, narrow: float, smooth: bool) -> None:
    shown = picture(np.zeros((side, side, 3), np.uint8), "x", wide=192, narrow=104)
    assert (shown.wide, round(shown.narrow, 2), shown.smooth) == (wide, narrow, smooth)


def test_large_pictures_are_shrunk() -> None:
    shown = picture(np.zeros((600, 300, 3), np.uint8), "x", wide=192, narrow=104)
    assert (shown.width, shown.height, shown.wide) == (96, 192, 1)


def test_difference_is_grey_where_nothing_changed() -> None:
    clean = np.full((2, 2, 1), 100, np.uint8)
    triggered = clean.copy()
    triggered[0, 0] = 110
    strength = gain(clean, triggered)
    assert difference(clean, triggered, strength)[:, :, 0].tolist() == [[255, 128], [128, 128]]
    assert gain(clean, clean) == 1
    assert under_mask(triggered, np.array([[9, 0], [0, 0]], np.uint8))[:, :, 0].tolist() == [[110, 128], [128, 128]]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(BadInput, match="one shape"):
        difference(np.zeros((2, 2, 1), np.uint8), np.zeros((2, 3, 1), np.uint8), 1)
    with pytest.raises(BadInput, match="mask"):
        under_mask(np.zeros((2, 2, 1), np.uint8), np.zeros((3, 2), np.uint8))


def test_pictures_that_are_not_there() -> None:
    clean = np.zeros((2, 4, 4, 3), np.uint8)
    assert pair({"clean": clean}, 0) is None
    assert pair({"clean": clean, "triggered": clean}, 2) is None
    assert pair({"clean": clean, "triggered": clean}, 1) is not None
