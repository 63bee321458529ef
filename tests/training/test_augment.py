"""Changes of training pictures keep type and shape, and do what they say."""

from __future__ import annotations

import pytest
import torch

from badnets.training.augment import AUGMENTS, apply_augments, flip, light, move_boxes, shift


def _images(n: int = 40, h: int = 16, w: int = 12, c: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (n, h, w, c), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", list(AUGMENTS))
@pytest.mark.parametrize("shape", [(7, 16, 12, 3), (1, 5, 4, 1), (0, 8, 8, 3)])
def test_type_and_shape_stay(name: str, shape: tuple[int, int, int, int]) -> None:
    images = _images(*shape)
    before = images.clone()
    first, _ = AUGMENTS[name](images, torch.Generator().manual_seed(1))  # type: ignore[index]
    again, _ = AUGMENTS[name](images, torch.Generator().manual_seed(1))  # type: ignore[index]
    assert (first.dtype, first.shape) == (torch.uint8, images.shape)
    assert torch.equal(first, again)
    assert torch.equal(images, before)
    if shape[0] > 1:
        assert not torch.equal(first, images)


def test_a_shifted_picture_is_a_part_of_the_old_one() -> None:
    images = _images(1, 16, 16, 1)
    seen = set()
    for seed in range(60):
        moved = shift(images, torch.Generator().manual_seed(seed))[0][0, :, :, 0]
        inner = moved[2:14, 2:14]
        place = [(y, x) for y in range(5) for x in range(5) if torch.equal(images[0, y : y + 12, x : x + 12, 0], inner)]
        assert len(place) == 1
        seen.add(place[0])
    assert len(seen) > 15  # of 25


def test_half_are_flipped() -> None:
    images = _images(200)
    flipped, _ = flip(images, torch.Generator().manual_seed(0))
    same = (flipped == images).flatten(1).all(1)
    mirrored = (flipped == images.flip(2)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 70 < int(same.sum()) < 130


def test_light_scales_and_never_wraps() -> None:
    images = torch.full((100, 2, 2, 1), 250, dtype=torch.uint8)
    bright = light(images, torch.Generator().manual_seed(0))[0].flatten(1)[:, 0].int()
    assert bright.min() >= 187  # 250 * 0.75
    assert bright.max() == 255


def test_several_in_turn() -> None:
    images = _images()
    generator = torch.Generator().manual_seed(3)
    changed, moves = apply_augments(["shift", "light", "flip"], images, torch.Generator().manual_seed(3))
    assert torch.equal(changed, flip(light(shift(images, generator)[0], generator)[0], generator)[0])
    assert len(moves) == 2  # light moves nothing
    assert apply_augments([], images, generator)[0] is images


@pytest.mark.parametrize("name", ["shift", "flip", "rotate", "zoom"])
def test_boxes_go_where_their_pixels_go(name: str) -> None:
    images = torch.zeros(30, 48, 64, 1, dtype=torch.uint8)
    images[:, 18:30, 20:36] = 200
    moved, moves = apply_augments([name], images, torch.Generator().manual_seed(5))  # type: ignore[list-item]
    before = torch.tensor([[20.0, 18.0, 36.0, 30.0]]).repeat(30, 1)
    boxes, seen = move_boxes(before, torch.arange(30), moves, (48, 64))
    assert seen.all()
    for picture, box in zip(moved[..., 0], boxes, strict=True):
        rows, columns = (picture > 100).any(1).nonzero(), (picture > 100).any(0).nonzero()
        tight = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
        assert (tight - box).abs().max() <= (3.5 if name == "rotate" else 1.0)


def test_a_box_that_left_the_picture_is_no_longer_seen() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 10.0]])
    left = torch.tensor([[[1.0, 0.0, -8.0], [0.0, 1.0, 0.0]]])
    moved, seen = move_boxes(boxes, torch.zeros(2, dtype=torch.int64), [left], (20, 20))
    assert moved.tolist() == [[0.0, 0.0, 2.0, 10.0]] * 2
    assert not seen.any()  # a fifth is left
    assert move_boxes(boxes, torch.zeros(2, dtype=torch.int64), [], (5, 20))[1].all()  # a half is left
