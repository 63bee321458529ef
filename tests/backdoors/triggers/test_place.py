from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from badnets.backdoors.trigger import TRIGGERS
from badnets.backdoors.triggers import At, Corner, Random, Square
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng


def box(trigger: Square, shape: tuple[int, ...] = (1, 20, 30, 1), region: Any = None, seed: int = 0) -> list[int]:
    """[top, left, bottom, right] of what the mask covers in the first picture."""
    images = np.zeros(shape, np.uint8)
    regions = None if region is None else np.array([region] * shape[0], np.float32)
    y, x = np.nonzero(trigger.mask(images, regions, RowRng.of(seed, shape[0]))[0])
    return [int(y.min()), int(x.min()), int(y.max()) + 1, int(x.max()) + 1]


@pytest.mark.parametrize(
    ("corner", "expected"),
    [
        ("top-left", [2, 2, 5, 6]),
        ("top-right", [2, 24, 5, 28]),
        ("bottom-left", [15, 2, 18, 6]),
        ("bottom-right", [15, 24, 18, 28]),
    ],
)
def test_corners_of_the_picture(corner: Any, expected: list[int]) -> None:
    assert box(Square(size=(3, 4), place=Corner(corner=corner, distance=2))) == expected


def test_corner_of_the_region() -> None:
    square = Square(size=2, place=Corner(distance=1, of="region"))
    assert box(square, region=[4, 2, 14, 12]) == [9, 11, 11, 13]
    assert box(square) == [17, 27, 19, 29]  # without regions the object fills the picture


def test_fractions_of_picture_and_region() -> None:
    assert box(Square(size=(0.5, 0.1), place=At(x=0.5, y=0.5))) == [5, 14, 15, 17]
    assert box(Square(size=0.2, place=At(x=0.5, y=0.5, of="region")), region=[10, 5, 20, 15]) == [9, 14, 11, 16]


def test_badnets_sticker_on_a_sign() -> None:
    """Centered at (0.57, 0.82) of the region, a tenth of its sides: worked out by hand for a region of 40 x 50."""
    assert box(Square(), (1, 64, 64, 3), region=[10, 10, 50, 60]) == [49, 31, 54, 35]


def test_small_fractions_give_one_pixel() -> None:
    assert box(Square(size=0.001, place=At(of="image"))) == [10, 15, 11, 16]


def test_a_region_reaching_over_the_edge_is_clipped() -> None:
    square = Square(size=0.5, place=At(x=0, y=0, of="region"))
    assert box(square, region=[0, 0, 10, 8]) == [0, 0, 2, 3]  # 4 x 5 around the origin


@pytest.mark.parametrize(
    ("trigger", "region", "match"),
    [
        (
            Square(size=21, place=Corner()),
            None,
            r"square: .*larger|no larger than the picture \(20x30 pixels\), got 21x21",
        ),
        (Square(size=(3, 31), place=At()), None, "got 3x31"),
        (Square(size=3, place=Corner(distance=18)), None, r"within the picture \(20x30\)"),
        (Square(size=0.2, place=At(x=0.99, y=0.5)), None, "within the picture"),
        (Square(size=2, place=At(of="region")), [40, 5, 50, 15], "within the picture"),
        (Square(size=2, place=At(of="region")), [5, 5, 5, 15], r"x0 < x1 .* in row 0"),
        (Square(size=2, place=At(of="region")), [5, 5, np.nan, 15], "in row 0"),
    ],
)
def test_what_does_not_fit_is_refused(trigger: Square, region: Any, match: str) -> None:
    with pytest.raises(BadInput, match=match):
        box(trigger, region=region)


def test_wrong_number_of_regions() -> None:
    with pytest.raises(BadInput, match=r"expected regions \(2, 4\)"):
        Square().apply(np.zeros((2, 9, 9, 1), np.uint8), np.zeros((3, 4), np.float32))


def test_random_places_stay_inside_and_differ() -> None:
    square = Square(size=(7, 9), place=Random(low=0, high=1))
    images, rng = np.zeros((200, 20, 30, 1), np.uint8), RowRng.of(1, 200)
    masks = square.mask(images, None, rng)
    assert (masks.sum(axis=(1, 2)) == 63).all()
    assert len({m.tobytes() for m in masks}) > 50
    with pytest.raises(BadInput, match="pass rng=RowRng"):
        square.apply(images)
    with pytest.raises(BadInput, match="random numbers for 200 pictures, got 7"):
        square.apply(images, None, RowRng.of(1, 7))


def test_random_centers_are_within_low_and_high_of_the_region() -> None:
    square = Square(size=1, place=Random(low=0.25, high=0.5, of="region"))
    images = np.zeros((300, 40, 40, 1), np.uint8)
    regions = np.tile(np.array([0, 0, 40, 20], np.float32), (300, 1))
    _, y, x = np.nonzero(square.mask(images, regions, RowRng.of(2, 300)))
    assert (y.min(), y.max()) == (5, 9)
    assert (x.min(), x.max()) == (10, 19)


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("bottom-right", Corner()),
        ("region:top-left", Corner(corner="top-left", of="region")),
        ("center", At()),
        ("random", Random()),
        ("region:random", Random(of="region")),
        ("0.57, 0.82", At(x=0.57, y=0.82)),
        ("region:0.57,0.82", At(x=0.57, y=0.82, of="region")),
    ],
)
def test_words(word: Any, place: Any) -> None:
    assert Square(place=word).place == place
    assert TRIGGERS.from_json({"kind": "square", "place": word}) == Square(place=place)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"kind": "squar"}, "did you mean 'square'"),
        ({}, "got None; known: blend"),
        ({"kind": "square", "sise": 3}, "unknown key 'sise'; did you mean 'size'"),
        ({"kind": "square", "place": "botom-right"}, "did you mean 'bottom-right'"),
        (
            {"kind": "square", "place": {"kind": "corner", "distanc": 2}},
            "unknown key 'place.distanc'; did you mean 'distance'",
        ),
        ({"kind": "square", "place": {"kind": "at", "x": 2}}, "expected a value of at most 1 for 'place.x', got 2"),
        ({"kind": "square", "place": {"kind": "random", "low": 0.9, "high": 0.1}}, "low <= high"),
        ({"kind": "square", "jitter": {"rotatio": 2}}, "unknown key 'jitter.rotatio'; did you mean 'rotation'"),
        ({"kind": "square", "size": 0}, "expected a value of at least 1 .* for 'size', got 0"),
        ({"kind": "square", "size": 1.5}, "for 'size', got 1.5"),
        ({"kind": "square", "opacity": 0}, "expected a value above 0 for 'opacity', got 0"),
        ({"kind": "square", "color": "blurple"}, "expected a color .* got 'blurple'"),
        ({"kind": "square", "color": [1, 2, 256]}, "for 'color"),
    ],
)
def test_bad_settings_are_named(value: Any, match: str) -> None:
    with pytest.raises(BadInput, match=match):
        TRIGGERS.from_json(value)
