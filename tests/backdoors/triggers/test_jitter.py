from __future__ import annotations

import numpy as np
import pytest

from badnets.backdoors.triggers import At, Jitter, Pattern, Picture, Sinusoid, Square, takes_jitter, with_jitter
from badnets.backdoors.triggers.color import filled
from badnets.backdoors.triggers.jitter import lit, rotated
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng

STILL = Jitter(size=0, rotation=0, light=0)


def test_no_turn_changes_nothing() -> None:
    stamp = Picture().art(7, 10)
    turned = rotated(stamp, np.zeros(2))
    y, x = (turned.shape[1] - 7) // 2, (turned.shape[2] - 10) // 2
    inner = turned[:, y : y + 7, x : x + 10]
    opaque = stamp[..., 3] > 0
    assert np.array_equal(inner[0][opaque], stamp[opaque])
    assert np.array_equal(inner[..., 3], np.stack([stamp[..., 3]] * 2))
    assert int(turned[..., 3].astype(int).sum()) == 2 * int(stamp[..., 3].astype(int).sum())


def test_a_quarter_turn_is_clockwise() -> None:
    stamp = Pattern().art(3, 3)
    stamp[0, 1, 3] = 255  # breaks the symmetry
    turned = rotated(stamp, np.array([np.pi / 2]))[0]
    edge = (turned.shape[0] - 3) // 2
    assert np.array_equal(turned[edge : edge + 3, edge : edge + 3, 3], np.rot90(stamp[..., 3], -1))


def test_an_edge_takes_no_color_from_outside() -> None:
    turned = rotated(filled(8, 8, (200, 100, 50)), np.array([0.5]))[0]
    seen = turned[turned[..., 3] > 8][:, :3].astype(int)
    assert np.abs(seen - [200, 100, 50]).max() <= 1


def test_light_changes_colors_not_alpha() -> None:
    stamp = filled(2, 2, (200, 100, 50))
    out = lit(stamp[None], np.array([0.5, 2.0]))
    assert out[0, 0, 0].tolist() == [100, 50, 25, 255]
    assert out[1, 0, 0].tolist() == [255, 200, 100, 255]
    assert stamp[0, 0].tolist() == [200, 100, 50, 255]


def test_zero_jitter_is_no_jitter() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 24, 24, 3), dtype=np.uint8)
    square = Square(size=5, place="bottom-right")  # type: ignore[arg-type]
    assert np.array_equal(with_jitter(square, STILL).apply(images, None, RowRng.of(1, 5)), square.apply(images))


def test_sizes_spread_over_the_range() -> None:
    square = Square(size=20, place=At(), jitter=Jitter(size=0.5, rotation=0, light=0))
    mask = square.mask(np.zeros((400, 64, 64, 1), np.uint8), None, RowRng.of(1, 400))
    sides = np.sqrt(mask.sum(axis=(1, 2)))
    assert (sides == np.rint(sides)).all()
    assert sides.min() == 10
    assert sides.max() == 30
    assert 19 < sides.mean() < 21


def test_a_stamp_that_grows_over_the_edge_is_clipped_not_refused() -> None:
    square = Square(size=20, place="top-left", jitter=Jitter(size=0.9, rotation=180, light=0))  # type: ignore[arg-type]
    out = square.apply(np.zeros((50, 22, 22, 1), np.uint8), None, RowRng.of(1, 50))
    assert out.any(axis=(1, 2, 3)).all()


def test_jitter_needs_random_numbers() -> None:
    with pytest.raises(BadInput, match="random numbers for jitter"):
        Square(jitter=Jitter()).apply(np.zeros((2, 32, 32, 3), np.uint8))


def test_with_jitter() -> None:
    assert with_jitter(Square(), Jitter()) == Square(jitter=Jitter())
    assert with_jitter(Square(jitter=Jitter()), None) == Square()
    assert takes_jitter(Picture())
    assert not takes_jitter(Sinusoid())
    with pytest.raises(BadInput, match="'sinusoid', which fills the picture"):
        with_jitter(Sinusoid(), Jitter())
