from __future__ import annotations

import pytest
import torch

from badnets.defenses.patches import Patches, rectangles, stamp


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_rectangles_have_the_sides_they_should() -> None:
    masks = rectangles(400, 20, 40, 0.3, generator())
    assert masks.shape == (400, 1, 20, 40)
    assert set(masks.flatten().tolist()) == {0.0, 1.0}
    high, wide = masks.amax(3).sum(2).flatten(), masks.amax(2).sum(2).flatten()
    assert torch.equal(masks.sum((1, 2, 3)), high * wide), "not a rectangle"
    short = torch.minimum(high / 20, wide / 40)
    assert float(short.max()) <= 0.3 + 1 / 40
    assert float(short.min()) >= 0.15 - 1 / 40
    assert float((high / 20).max()) > 0.9
    assert float((wide / 40).max()) > 0.9
    assert torch.equal(masks, rectangles(400, 20, 40, 0.3, generator()))


def test_a_stamp_by_hand() -> None:
    image, pattern = torch.full((1, 1, 1, 3), 0.5), torch.ones(1, 1, 1, 3)
    mask = torch.tensor([0.0, 1.0, 0.5]).view(1, 1, 1, 3)
    assert stamp(image, mask, pattern).flatten().tolist() == [0.5, 1.0, 0.75]


def test_a_pattern_is_smooth_between_its_points() -> None:
    patches = Patches(1, (1, 3, 3), generator(), short=0.4, faint=0)
    corners = torch.tensor([[0.0, 2.0], [0.0, 2.0]]).view(1, 1, 2, 2)
    expected = torch.tensor([0.0, 1.0, 2.0]).sigmoid().tolist()
    for row in patches.patterns([corners])[0, 0]:
        assert row.tolist() == pytest.approx(expected)


def test_a_climb_is_a_sign_step_within_the_reach() -> None:
    patches = Patches(1, (1, 3, 3), generator(), short=0.4, faint=0)
    patches.points[0] = torch.tensor([0.0, 3.9, -3.9, 1.0]).view(1, 1, 2, 2)
    patches.climb(0, torch.tensor([5.0, 0.1, -2.0, 0.0]).view(1, 1, 2, 2), 0.5)
    assert patches.points[0].flatten().tolist() == pytest.approx([0.5, 4.0, -4.0, 1.0])


def test_faint_patches_cover_everything() -> None:
    faint = Patches(10, (3, 6, 6), generator(), short=0.4, faint=1).masks
    assert torch.equal(faint.amin((1, 2, 3)), faint.amax((1, 2, 3)))
    assert 0.1 <= float(faint.min()) <= float(faint.max()) <= 0.3
    assert set(Patches(10, (3, 6, 6), generator(), short=0.4, faint=0).masks.flatten().tolist()) == {0.0, 1.0}


def test_chosen_patches_are_different_ones() -> None:
    patches = Patches(6, (1, 4, 4), generator(), short=0.4, faint=0)
    assert sorted(patches.choose(6)) == list(range(6))
    assert len(patches.choose(9)) == 6
