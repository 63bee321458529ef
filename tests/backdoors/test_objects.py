"""Triggers on objects: where they go, and several in one picture."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from badnets.backdoors.objects import Placed, place, stamp, unit_pool
from badnets.backdoors.rules import AllToAll, Appear, Global, Regional, SourceToTarget, Vanish
from badnets.backdoors.trigger import Trigger
from badnets.backdoors.triggers import Blend, Checkerboard, Picture, Square
from badnets.backdoors.triggers.jitter import Jitter
from badnets.backdoors.triggers.stamp import meeting, turn_in_picture
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng
from badnets.data.images import ArrayStore, ImageData
from badnets.data.targets import Boxes

NAMES = ("stop", "go", "left")
MIDDLE: dict[str, Any] = {"place": "region:center"}
TRIGGERS: list[Trigger] = [
    Square(),
    Square(size=0.5, opacity=0.4, **MIDDLE),
    Square(size=0.3, jitter=Jitter(), **MIDDLE),
    Picture(size=0.4),
    Checkerboard(size=4, place="region:top-left"),
    Square(size=0.3, place="region:random"),
]


def scene(boxes: list[list[float]], labels: list[int], image: list[int], pictures: int = 3) -> ImageData:
    """Pictures of noise, 64x48."""
    pixels = np.random.default_rng(1).integers(0, 256, (pictures, 64, 48, 3), np.uint8)
    targets = Boxes.of(np.array(boxes, np.float32), np.array(labels), np.array(image), pictures)
    return ImageData(ArrayStore(pixels), targets, NAMES, name="made")


FOUR = scene([[0, 0, 20, 20], [22, 24, 44, 60], [4, 30, 20, 50], [10, 10, 40, 40]], [0, 1, 0, 2], [0, 0, 0, 2])


def placed(data: ImageData, numbers: list[int] | NDArray[np.int64], seed: int = 1) -> Placed:
    """Objects by number."""
    rows = np.asarray(numbers, np.int64)
    return place(AllToAll(), data, rows, RowRng(RowRng.of(seed, 1).seed, rows))


def test_units_and_who_may_be_poisoned() -> None:
    rules = (Regional(target=9), Vanish(), Global(target=9), Appear())
    assert [len(unit_pool(rule, FOUR, cover=False)) for rule in rules] == [4, 4, 3, 3]
    rule = SourceToTarget(source=0, target=1)
    assert unit_pool(rule, FOUR, cover=False).tolist() == [True, False, True, False]
    assert unit_pool(rule, FOUR, cover=True).tolist() == [False, True, False, True]
    # A picture without an object that could be changed is none for "global".
    assert unit_pool(Global(target=2), FOUR, cover=False).tolist() == [True, False, False]
    assert unit_pool(Global(target=1), FOUR, cover=False).tolist() == [True, False, True]
    assert unit_pool(Global(target=1), FOUR, cover=True).tolist() == [True, False, True]
    assert unit_pool(Appear(), FOUR, cover=False).all()


def test_where_triggers_go() -> None:
    rows = np.array([1, 3])
    spots = place(Regional(), FOUR, rows, RowRng.of(1, 2))
    assert spots.image.tolist() == [0, 2]
    assert spots.regions.tolist() == [[22, 24, 44, 60], [10, 10, 40, 40]]
    whole = place(Global(), FOUR, np.array([2]), RowRng.of(1, 1))
    assert (whole.image.tolist(), whole.regions.tolist()) == ([2], [[0, 0, 48, 64]])
    plain = ImageData.of(np.zeros((2, 8, 6, 1), np.uint8), [0, 1])
    assert place(AllToAll(), plain, np.array([1]), RowRng.of(1, 1)).regions.tolist() == [[0, 0, 6, 8]]


def test_each_object_gets_its_trigger_in_place() -> None:
    trigger = Square(size=0.5, color="#ff0000", **MIDDLE)
    pictures = FOUR.images()
    spots = placed(FOUR, np.arange(4))
    stamp(pictures, spots.image, spots, trigger)
    red = (pictures == [255, 0, 0]).all(-1)
    wanted = np.zeros((3, 64, 48), bool)
    for picture, x0, y0, x1, y1 in [(0, 5, 5, 15, 15), (0, 28, 33, 39, 51), (0, 8, 35, 16, 45), (2, 18, 18, 33, 33)]:
        wanted[picture, y0:y1, x0:x1] = True
    np.testing.assert_array_equal(red, wanted)
    np.testing.assert_array_equal(pictures[~wanted], FOUR.images()[~wanted])


@pytest.mark.parametrize("trigger", TRIGGERS, ids=repr)
def test_as_one_after_the_other(trigger: Trigger) -> None:
    """The definition: each trigger on its own, in the order of the objects."""
    rng = np.random.default_rng(5)
    count = 40
    corner = rng.integers(0, 24, (count, 2))
    boxes = np.concatenate([corner, corner + rng.integers(8, 24, (count, 2))], 1)
    data = scene(boxes.tolist(), [0] * count, rng.integers(0, 6, count).tolist(), 6)
    spots = placed(data, rng.permutation(count))
    together, slowly = data.images(), data.images()
    stamp(together, spots.image, spots, trigger)
    for number in range(count):
        one = spots.take(np.array([number]))
        slowly[one.image] = trigger.apply(slowly[one.image], one.regions, one.rng)
    np.testing.assert_array_equal(together, slowly)
    assert (together != data.images()).any()


@pytest.mark.parametrize("trigger", [trigger for trigger in TRIGGERS if getattr(trigger, "jitter", None) is None])
@given(order=st.permutations(range(4)))
def test_order_does_not_matter_for_objects_apart(trigger: Trigger, order: list[int]) -> None:
    if getattr(trigger, "place", None) == Square(place="region:random").place:
        return  # these may hang over into another object
    first, second = FOUR.images(), FOUR.images()
    straight, shuffled = placed(FOUR, np.arange(4)), placed(FOUR, np.array(order))
    stamp(first, straight.image, straight, trigger)
    stamp(second, shuffled.image, shuffled, trigger)
    np.testing.assert_array_equal(first, second)


def test_positions_need_not_be_the_pictures_numbers() -> None:
    spots = placed(FOUR, [0, 3])
    pictures = FOUR.images(np.array([2, 0]))
    stamp(pictures, np.array([1, 0]), spots, Square())
    straight = FOUR.images()
    stamp(straight, spots.image, spots, Square())
    np.testing.assert_array_equal(pictures, straight[[2, 0]])


def test_nothing_to_stamp() -> None:
    pictures = FOUR.images()
    for trigger in (Square(), Blend(), Square(place="random")):
        stamp(pictures, np.zeros(0, np.int64), placed(FOUR, []), trigger)
    np.testing.assert_array_equal(pictures, FOUR.images())


@pytest.mark.parametrize("trigger", [Blend(opacity=0.2), Square(size=9, opacity=0.5, place="bottom-right")], ids=repr)
def test_what_lies_in_the_picture_comes_once(trigger: Trigger) -> None:
    pictures = FOUR.images()
    spots = placed(FOUR, [0, 1, 2])
    stamp(pictures, spots.image, spots, trigger)
    np.testing.assert_array_equal(pictures[0], trigger.apply(FOUR.images(), None, RowRng.of(1, 3))[0])
    np.testing.assert_array_equal(pictures[1:], FOUR.images()[1:])


@dataclasses.dataclass(frozen=True)
class _OfAnother:
    """A trigger of another package that has a place but is no stamp of ours: it darkens its region."""

    kind: str = "dark"
    place: Any = dataclasses.field(default_factory=lambda: Square(**MIDDLE).place)

    def apply(self, images: Any, regions: Any = None, rng: Any = None, *, high: float | None = None) -> Any:
        out = images.copy()
        for picture, (x0, y0, x1, y1) in zip(out, regions.astype(int), strict=True):
            picture[y0:y1, x0:x1] //= 2
        return out

    def mask(self, images: Any, regions: Any = None, rng: Any = None) -> Any:
        raise NotImplementedError


def test_a_trigger_that_is_no_stamp() -> None:
    data = scene([[0, 0, 20, 20], [10, 10, 40, 40]], [0, 0], [1, 1])
    spots = placed(data, [0, 1])
    pictures = data.images()
    stamp(pictures, spots.image, spots, _OfAnother())
    before = data.images()
    np.testing.assert_array_equal(pictures[1, :10, :20], before[1, :10, :20] // 2)
    np.testing.assert_array_equal(pictures[1, 10:20, 10:20], before[1, 10:20, 10:20] // 2 // 2)
    np.testing.assert_array_equal(pictures[2], before[2])


@pytest.mark.parametrize(
    ("trigger", "box", "got"),
    [
        (Square(size=1.0, **MIDDLE), [2, 2, 22, 22], "30x30 pixels.*got 30x30"),
        (Square(size=0.96, **MIDDLE), [2, 2, 12, 12], "10x10 pixels.*got 10x10"),  # by rounding to whole pixels
        (Square(size=12, **MIDDLE), [2, 2, 12, 14], "12x10 pixels.*got 12x12"),
    ],
)
def test_a_trigger_that_would_cover_the_object(trigger: Trigger, box: list[float], got: str) -> None:
    data = scene([[10, 10, 40, 40], box], [0, 0], [0, 1])
    pictures = data.images()
    spots = placed(data, [0, 1])
    with pytest.raises(BadInput, match=f"square: expected a trigger smaller than its object .{got}; choose a smaller"):
        stamp(pictures, spots.image, spots, trigger)
    np.testing.assert_array_equal(pictures, data.images())


def test_an_object_of_a_pixel() -> None:
    data = scene([[4, 5, 5, 6]], [0], [0])
    pictures = data.images()
    stamp(pictures, np.array([0]), placed(data, [0]), Square(color="#ff0000", **MIDDLE))
    assert (pictures[0, 5, 4] == [255, 0, 0]).all()
    assert (pictures != data.images()).any(-1).sum() <= 1


def test_a_jittered_trigger_that_would_cover_the_object() -> None:
    data = scene([[10, 10, 20, 20]] * 30, [0] * 30, [0] * 30)
    spots = placed(data, np.arange(30))
    with pytest.raises(BadInput, match="smaller than its object"):
        stamp(data.images(), spots.image, spots, Square(size=0.9, jitter=Jitter.only(size=0.3), **MIDDLE))


def test_a_long_trigger_or_one_beside_the_object_covers_nothing() -> None:
    data = scene([[10, 10, 20, 14]], [0], [0])
    spots = placed(data, [0])
    for trigger in (Square(size=(4, 9), **MIDDLE), Square(size=16, place="bottom-right")):
        pictures = data.images()
        stamp(pictures, spots.image, spots, trigger)
        assert (pictures != data.images()).any()


def test_free_spots_are_free_where_there_is_room() -> None:
    count = 60
    rng = np.random.default_rng(3)
    corner = np.stack([rng.integers(0, 24, count), rng.integers(0, 36, count)], 1)
    boxes = np.concatenate([corner, corner + 24], 1)
    data = scene(boxes.tolist(), [0] * count, list(range(count)), count)
    rows = np.arange(count)
    spots = place(Appear(size=0.25), data, rows, RowRng.of(1, count))
    assert (spots.regions[:, 2:] - spots.regions[:, :2] == [12, 16]).all()
    assert (spots.regions >= 0).all()
    assert (spots.regions <= [48, 64, 48, 64]).all()
    apart = (spots.regions[:, :2] >= boxes[:, 2:]).any(1) | (spots.regions[:, 2:] <= boxes[:, :2]).any(1)
    assert apart.all()
    assert len(np.unique(spots.regions, axis=0)) > 40
    # A row is the same spot in any batch.
    some = np.array([41, 7])
    again = place(Appear(size=0.25), data, some, RowRng(RowRng.of(1, 1).seed, some))
    np.testing.assert_array_equal(again.regions, spots.regions[some])


def test_a_spot_without_room_covers_least() -> None:
    data = scene([[0, 0, 48, 40]], [0], [0])
    spots = place(Appear(size=0.5), data, np.array([0]), RowRng.of(2, 1))
    x0, y0, x1, y1 = spots.regions[0]
    assert (x1 - x0, y1 - y0) == (24, 32)
    assert y0 >= 28  # 32 is the best of all
    whole = place(Appear(size=1.0), data, np.array([1]), RowRng.of(2, 1))
    assert whole.regions.tolist() == [[0, 0, 48, 64]]


def test_turns_and_meetings() -> None:
    position = np.array([3, 1, 3, 3, 1])
    assert turn_in_picture(position).tolist() == [0, 0, 1, 2, 1]
    assert turn_in_picture(np.zeros(0, np.int64)).tolist() == []
    top, left = np.array([0, 0, 5, 20, 0]), np.array([0, 0, 4, 20, 5])
    size = np.full(5, 5)
    # Of picture 3 the first two share no pixel: one ends in row 4, the other begins in row 5.
    assert meeting(position, (top, left, size, size)).tolist() == [False] * 5
    assert meeting(position, (top, left, size + 1, size)).tolist() == [True, False, True, True, False]
    assert meeting(position, (top, left, size, size + 1)).tolist() == [False, True, False, False, True]
    assert meeting(position[:0], (top[:0], left[:0], size[:0], size[:0])).tolist() == []
