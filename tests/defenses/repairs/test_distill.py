from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from badnets.core.errors import CannotTell
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.mixing import mix, rectangles
from badnets.defenses.repair import DefenderView, repair
from badnets.defenses.repairs.distill import Distill, Patches, distance, reached, suspicion
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import wrap


def test_the_distance_by_hand() -> None:
    # Centered: (0, 0) against (-1, 1), divided by 2: differences 1/2 and -1/2; probabilities of the target
    # 1 / (1 + e) and e / (1 + e).
    answer, target = torch.tensor([[3.0, 3.0]]), torch.tensor([[-1.0, 1.0]])
    low = 1 / (1 + math.e)
    kl = low * math.log(low / 0.5) + (1 - low) * math.log((1 - low) / 0.5)
    assert float(distance(answer, target, 2.0, [0], stamped=False)) == pytest.approx(kl + 0.25 + 0.25, abs=1e-6)
    # Class 0 rose: it counts on a stamped picture. Class 1 fell: it does not.
    assert float(distance(answer, target, 2.0, [0], stamped=True)) == pytest.approx(kl + 0.25 + 0.25, abs=1e-6)
    assert float(distance(answer, target, 2.0, [1], stamped=True)) == pytest.approx(kl + 0.25, abs=1e-6)


def test_on_clean_pictures_a_suspect_keeps_only_its_mean() -> None:
    target = torch.tensor([[1.0, 0.0, -1.0], [1.0, 0.0, -1.0]])
    answer = torch.tensor([[1.0, 1.0, -2.0], [1.0, -1.0, 0.0]])
    squares = distance(answer, target, 1.0, [1], stamped=False) - distance(
        answer, target, 1.0, [0, 1, 2], stamped=False
    )
    # Differences of the suspect, class 1: 1 and -1, mean 0. Of the others: 0, -1, 0, 1.
    assert float(squares) == pytest.approx(0.5)


def test_how_near_a_patch_is_to_each_class() -> None:
    logits = torch.tensor([[0.8, 0.2], [0.4, 0.6], [0.5, 0.5], [0.5, 0.5]]).log()
    expected = [(math.log(0.8) + math.log(0.4)) / 2, (math.log(0.2) + math.log(0.6)) / 2, math.log(0.5), math.log(0.5)]
    assert reached(logits, 2).flatten().tolist() == pytest.approx(expected)


def test_the_suspect_is_answered_often_and_jumps_seldom() -> None:
    # Class 2 is answered most often after class 0, and is the only one whose logit jumps up.
    logits = torch.tensor([[1.0, 5.0, 0.0], [-1.0, 4.0, 0.0], [1.0, 5.0, 0.0], [-1.0, -9.0, 8.0]])
    nearest = torch.tensor([0, 0, 2, 1, 2, 0])
    # Ranks by count: 0, 2, 1; by skewness (0, below 0, above 0): 1, 2, 0; sums 1, 4, 1; the first of a tie wins.
    assert suspicion(nearest, logits) == [0, 2, 1]
    assert suspicion(nearest[2:], logits) == [2, 0, 1]


def test_mixed_pictures_are_pictures() -> None:
    parts = [torch.rand(50, 3, 12, 10, generator=torch.Generator().manual_seed(index)) for index in range(3)]
    mixed = mix(parts[0], parts[1], parts[2], torch.Generator().manual_seed(3))
    again = mix(parts[0], parts[1], parts[2], torch.Generator().manual_seed(3))
    assert torch.equal(mixed, again)
    assert mixed.shape == (50, 3, 12, 10)
    assert 0 <= float(mixed.min()) < float(mixed.max()) <= 1


class _Switch(nn.Module):
    """Answers left or right by which half is brighter, and "sleeper" when the last row is white."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(64, 3, bias=True)
        side = torch.where(torch.arange(8) < 4, 1.0, -1.0).repeat(7)
        with torch.no_grad():
            self.read.weight.zero_()
            self.read.weight[0, :56], self.read.weight[1, :56] = side, -side
            self.read.weight[2, 56:] = 12.0
            self.read.bias[2] = -66.0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.read(images.flatten(1))
        return torch.cat([logits[:, :2], logits[:, 2:].clamp_min(-20)], 1)


def halves(count: int) -> ImageData:
    """Pictures whose left or right half is bright; the last row is dark."""
    rng = np.random.default_rng(1)
    labels = np.arange(count) % 2
    pixels = rng.integers(0, 60, (count, 8, 8, 1)).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[:7, 4 * label : 4 * label + 4] += 150
    return ImageData.of(pixels, labels, class_names=["left", "right", "sleeper"])


def switch() -> ImageNetwork:
    return wrap(_Switch(), class_names=["left", "right", "sleeper"], input_size=(1, 8, 8))


def test_a_switch_is_cut() -> None:
    data, network = halves(60), switch()
    stamped = torch.from_numpy(data.images()).permute(0, 3, 1, 2) / 255
    stamped[:, :, 7] = 1.0
    assert (network(stamped).argmax(1) == 2).all()
    quick = Distill(steps=80, learning_rate=0.05, screening=50, suspects=3, weight=1.0)
    done = repair(DefenderView(network=network, data=data, seed=Seed(1)), quick)
    assert sorted(done.trace[0]["suspects"]) == ["left", "right", "sleeper"]
    assert done.trace[-1]["accuracy"]["value"] == 1
    true = torch.from_numpy(np.array(data.labels))
    assert int((done.network(stamped).argmax(1) == 2).sum()) == 0
    assert int((done.network(stamped).argmax(1) == true).sum()) >= 57


def test_labels_are_not_looked_at(view: DefenderView) -> None:
    assert view.data is not None
    other = ImageData.of(view.data.images(), (view.data.labels + 1) % 10, class_names=view.data.class_names)
    quick = Distill(steps=3, screening=20)
    first = repair(view, quick).network.body.state_dict()
    second = repair(DefenderView(network=view.network, data=other, seed=view.seed), quick).network.body.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_stop_gives_what_there_is(view: DefenderView) -> None:
    def stop(_: str, done: int, __: int, ___: float | None) -> None:
        if done == 20:
            raise KeyboardInterrupt

    done = repair(view, Distill(steps=60, screening=20), on_row=stop)
    assert done.stopped == "interrupted"
    assert len(done.trace) == 2
    before = view.network.body.state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in done.network.body.state_dict().items())


def test_a_rate_that_is_too_high_is_said(view: DefenderView) -> None:
    with pytest.raises(CannotTell, match="lower its learning rate"):
        repair(view, Distill(steps=40, screening=20, learning_rate=1e30))


def test_more_suspects(view: DefenderView) -> None:
    done = repair(view, Distill(steps=2, screening=20, suspects=10))
    assert sorted(done.trace[0]["suspects"]) == sorted(view.network.class_names)


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
