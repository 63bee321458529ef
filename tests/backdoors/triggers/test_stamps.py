"""Pixel, pattern, square, checkerboard: where they put what, worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from badnets.backdoors.triggers import At, Checkerboard, Pattern, Pixel, Square
from badnets.backdoors.triggers.color import to_channels

BLACK = np.zeros((2, 28, 28, 1), np.uint8)


def bright(images: Any) -> list[tuple[int, int]]:
    return [(int(y), int(x)) for y, x in np.argwhere(images[0, ..., 0] > 0)]


def test_one_pixel_lies_one_pixel_from_the_edge() -> None:
    out = Pixel().apply(BLACK)
    assert bright(out) == [(26, 26)]
    assert out[1, 26, 26, 0] == 255


def test_the_pattern_of_badnets() -> None:
    """At (h-2, w-2), (h-2, w-4), (h-3, w-3), (h-4, w-2), as the Adversarial Robustness Toolbox has it."""
    assert bright(Pattern().apply(BLACK)) == [(24, 26), (25, 25), (26, 24), (26, 26)]
    grey = np.full((1, 28, 28, 1), 7, np.uint8)
    assert int((Pattern().apply(grey) != grey).sum()) == 4  # the picture shows between the pixels


def test_a_larger_pattern_has_blocks() -> None:
    out = Pattern(size=6).apply(BLACK)
    assert len(bright(out)) == 16
    assert np.array_equal(out[0, 21:27, 21:27, 0], np.kron(Pattern().art(3, 3)[..., 3], np.ones((2, 2))))
    assert len(bright(Pattern(size=1).apply(BLACK))) == 4  # never smaller than three pixels


def test_checkerboard() -> None:
    out = Checkerboard(size=(2, 3), color=200, dark=9).apply(BLACK)
    assert out[0, 25:27, 24:27, 0].tolist() == [[9, 200, 9], [200, 9, 200]]
    wide = Checkerboard(size=4, cell=2).apply(BLACK)[0, 23:27, 23:27, 0]
    assert wide.tolist() == [[255, 255, 0, 0]] * 2 + [[0, 0, 255, 255]] * 2


def test_square_on_color_and_grey() -> None:
    square = Square(size=2, color=(255, 0, 10), place=At())
    color = square.apply(np.zeros((1, 8, 8, 3), np.uint8))
    assert color[0, 3, 3].tolist() == [255, 0, 10]
    assert square.apply(np.zeros((1, 8, 8, 1), np.uint8))[0, 3, 3].tolist() == [77]  # 0.299 * 255 + 0.114 * 10 = 77.4
    half = square.apply(np.full((1, 8, 8, 3), 0.5, np.float32))
    assert np.allclose(half[0, 3, 3], [1, 0, 10 / 255])
    assert half[0, 2, 2, 0] == np.float32(0.5)


def test_opacity() -> None:
    square = Square(size=2, color=200, opacity=0.4, place=At())
    out = square.apply(np.full((1, 8, 8, 1), 100, np.uint8))
    assert out[0, 3, 3, 0] == 140
    assert square.mask(out)[0, 3, 3] == np.float32(0.4)
    faint = Square(size=2, color=255, opacity=0.0001, place=At()).mask(out)
    assert faint.max() == np.float32(1 / 255)


@pytest.mark.parametrize(
    ("given", "levels"), [("yellow", (255, 255, 0)), ("#746432", (116, 100, 50)), ("12", 12), (9, 9)]
)
def test_colors_by_name(given: Any, levels: Any) -> None:
    assert Square(color=given).color == levels


def test_luminance_agrees_with_pillow() -> None:
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    ours = to_channels(picture, 1)[..., 0].astype(int)
    assert np.abs(ours - np.asarray(Image.fromarray(picture).convert("L")).astype(int)).max() <= 1
