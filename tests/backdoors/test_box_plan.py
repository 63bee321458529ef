"""Plans on pictures with boxes: objects, pictures and spots; what changes and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from badnets.backdoors.backdoor import Backdoor, poison
from badnets.backdoors.plan import Mode, Part, Plan, make_plan
from badnets.backdoors.rules import (
    NOTHING,
    AllToOne,
    Appear,
    CleanLabel,
    Global,
    LabelRule,
    RandomWrong,
    Regional,
    SourceToTarget,
    Vanish,
)
from badnets.backdoors.triggers import Picture, Square
from badnets.core.errors import BadInput
from badnets.data.images import ArrayStore, ImageData
from badnets.data.targets import Boxes
from badnets.referee.run import describe, summary

NAMES = ("stop", "go", "left")
MODES: tuple[Mode, ...] = ("replace", "add")
N = 24
RED = Square(size=0.3, color="#ff0000", place="region:center")


def scenes(n: int = N, *, empty: Sequence[int] = (5,)) -> ImageData:
    """Pictures of noise, 32x32, each with three objects of 8x8 that stand apart, or none."""
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 200, (n, 32, 32, 3), np.uint8)
    full = np.setdiff1d(np.arange(n), empty)
    corner = np.tile([[1, 1], [12, 3], [22, 20]], (len(full), 1)) + rng.integers(0, 2, (3 * len(full), 2))
    boxes = np.concatenate([corner, corner + 8], 1).astype(np.float32)
    labels = np.arange(3 * len(full)) % 3
    targets = Boxes.of(boxes, labels, np.repeat(full, 3), n)
    return ImageData(ArrayStore(pixels), targets, NAMES, groups=np.arange(n) // 2, name="made")


def part(rule: LabelRule, **amount: Any) -> Part:
    return Part(trigger=RED, rule=rule, **amount)


def red(pictures: np.ndarray) -> np.ndarray:
    """How much of each picture is the trigger's color, in pixels."""
    return np.asarray((pictures == [255, 0, 0]).all(-1).sum((1, 2)))


def test_objects_in_place() -> None:
    data = scenes()
    poisoned = poison(data, [part(SourceToTarget(source="stop", target="go"), count=9)], seed=1)
    plan, before, after = poisoned.plan, data.boxes, poisoned.data.boxes
    assert len(plan) == 9
    assert (before.labels[plan.rows] == 0).all()
    assert (after.labels[plan.rows] == 1).all()
    others = np.setdiff1d(np.arange(len(before.labels)), plan.rows)
    np.testing.assert_array_equal(after.labels[others], before.labels[others])
    np.testing.assert_array_equal(after.xyxy, before.xyxy)
    np.testing.assert_array_equal(after.image, before.image)
    changed = np.unique(before.image[plan.rows])
    np.testing.assert_array_equal(poisoned.position, changed)
    assert np.flatnonzero(poisoned.is_poisoned).tolist() == changed.tolist()
    assert red(poisoned.data.images()).tolist() == [4 if row in changed else 0 for row in range(N)]
    # Only pixels under a trigger change: 2x2 in the middle of 8x8.
    pixels, clean = poisoned.data.images(), data.images()
    for number in plan.rows:
        x0, y0 = before.xyxy[number, :2].astype(int) + 3
        assert (pixels[before.image[number], y0 : y0 + 2, x0 : x0 + 2] == [255, 0, 0]).all()
        pixels[before.image[number], y0 : y0 + 2, x0 : x0 + 2] = clean[before.image[number], y0 : y0 + 2, x0 : x0 + 2]
    np.testing.assert_array_equal(pixels, clean)
    assert len(poisoned) == N
    np.testing.assert_array_equal(poisoned.pictures, before.image[plan.rows])


def test_added_pictures_bring_all_their_objects() -> None:
    data = scenes()
    poisoned = poison(data, [part(AllToOne(target="left"), count=7)], mode="add", seed=2)
    plan, before, after = poisoned.plan, data.boxes, poisoned.data.boxes
    changed = np.unique(before.image[plan.rows])
    assert len(poisoned) == N + len(changed)
    assert poisoned.position.tolist() == list(range(N, N + len(changed)))
    np.testing.assert_array_equal(poisoned.data.images(slice(0, N)), data.images())
    old = len(before.labels)
    np.testing.assert_array_equal(after.labels[:old], before.labels)
    rows, position = before.rows_of(changed)
    np.testing.assert_array_equal(after.image[old:], N + position)
    np.testing.assert_array_equal(after.xyxy[old:], before.xyxy[rows])
    np.testing.assert_array_equal(after.labels[old:], np.where(np.isin(rows, plan.rows), 2, before.labels[rows]))
    assert red(poisoned.data.images(slice(N, None))).sum() == 4 * 7
    assert poisoned.data.groups is not None
    assert data.groups is not None
    np.testing.assert_array_equal(poisoned.data.groups[N:], data.groups[changed])


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_a_rate_is_of_the_rules_units(rate: float) -> None:
    data = scenes()
    counts = {
        rule.kind: len(make_plan(data, (part(rule, rate=rate),), mode="replace", seed=1))
        for rule in (RandomWrong(), Regional(), Global(), Appear(), Vanish())
    }
    objects, pictures = round(rate * len(data.objects)), round(rate * N)
    wanted = {"random-wrong": objects, "regional": objects, "vanish": objects, "global": pictures, "appear": pictures}
    assert counts == wanted
    with pytest.raises(BadInput, match="expected at most 46 poisoned rows for rule regional, got 69"):
        make_plan(data, (part(Regional(), rate=1.0),), mode="replace", seed=1)
    with pytest.raises(BadInput, match="expected at most 23 poisoned rows for rule global, got 24"):
        make_plan(data, (part(Global(), rate=1.0),), mode="replace", seed=1)


def test_added_rates() -> None:
    data = scenes()
    assert len(make_plan(data, (part(Appear(), rate=0.5),), mode="add", seed=1)) == N
    assert len(make_plan(data, (part(RandomWrong(), rate=0.5),), mode="add", seed=1)) == len(data.objects)


def test_vanish_takes_boxes_out() -> None:
    data = scenes()
    for mode in MODES:
        poisoned = poison(data, [part(Vanish(source="go"), count=6)], mode=mode, seed=3)
        plan, after = poisoned.plan, poisoned.data.boxes
        assert (plan.labels == NOTHING).all()
        changed = np.unique(data.boxes.image[plan.rows])
        kept = np.setdiff1d(np.arange(len(data.objects)), plan.rows)
        if mode == "replace":
            np.testing.assert_array_equal(after.xyxy, data.boxes.xyxy[kept])
            np.testing.assert_array_equal(after.labels, data.boxes.labels[kept])
        else:
            assert len(after.labels) == len(data.objects) + 3 * len(changed) - 6
            np.testing.assert_array_equal(after.labels[: len(data.objects)], data.boxes.labels)
        assert red(poisoned.data.images()).sum() == 4 * 6


def test_every_box_may_vanish() -> None:
    data = scenes()
    poisoned = poison(data, [part(Vanish(), rate=1.0)], seed=3)
    assert len(poisoned.data.objects) == 0
    assert poisoned.data.boxes.counts().tolist() == [0] * N
    assert (summary(poisoned).rows, summary(poisoned).of, summary(poisoned).share) == (69, 69, 1.0)


def test_appear_adds_boxes() -> None:
    data = scenes()
    rule = Appear(target="left", size=0.25)
    poisoned = poison(data, [part(rule, count=8, cover=5)], seed=4)
    plan, before, after = poisoned.plan, data.boxes, poisoned.data.boxes
    assert len(after.labels) == len(before.labels) + 8
    new = after.counts() - before.counts()
    np.testing.assert_array_equal(np.flatnonzero(new), np.sort(plan.rows[~plan.cover]))
    assert (np.diff(after.image) >= 0).all()
    old = {tuple(box) for box in before.xyxy.tolist()}
    added = [number for number, box in enumerate(after.xyxy.tolist()) if tuple(box) not in old]
    assert len(added) == 8
    assert (after.labels[added] == 2).all()
    assert (after.xyxy[added][:, 2:] - after.xyxy[added][:, :2] == 8).all()
    # The trigger (30 % of 8 pixels: 2x2) lies in the middle of the new box; cover rows have one without a box.
    pixels = poisoned.data.images()
    for number in added:
        x0, y0 = after.xyxy[number, :2].astype(int) + 3
        assert (pixels[after.image[number], y0 : y0 + 2, x0 : x0 + 2] == [255, 0, 0]).all()
    assert red(pixels).tolist() == [4 if row in plan.rows else 0 for row in range(N)]


def test_global_relabels_all_objects_of_a_picture() -> None:
    data = scenes()
    poisoned = poison(data, [part(Global(target="stop"), count=6, cover=4)], seed=5)
    plan, before, after = poisoned.plan, data.boxes, poisoned.data.boxes
    chosen = np.isin(before.image, plan.rows[~plan.cover])
    assert chosen.sum() == 18
    assert (after.labels[chosen] == 0).all()
    np.testing.assert_array_equal(after.labels[~chosen], before.labels[~chosen])
    # One trigger a picture, in the middle of it: 30 % of 32 pixels.
    assert red(poisoned.data.images()).tolist() == [100 if row in plan.rows else 0 for row in range(N)]


def test_covers_carry_the_trigger_and_keep_their_label() -> None:
    data = scenes()
    poisoned = poison(data, [part(SourceToTarget(source=0, target=1), count=5, cover=11)], seed=6)
    plan, before, after = poisoned.plan, data.boxes, poisoned.data.boxes
    covers = plan.rows[plan.cover]
    assert len(covers) == 11
    assert (before.labels[covers] != 0).all()
    np.testing.assert_array_equal(after.labels[covers], before.labels[covers])
    assert red(poisoned.data.images()).sum() == 4 * 16
    assert describe(poisoned) == "poisoned 5 of 69 objects and 11 cover rows: square -> go for stop"


def test_two_parts_with_different_units() -> None:
    data = scenes()
    parts = [
        part(SourceToTarget(source="stop", target="go"), count=10),
        Part(trigger=Square(size=0.1, color="#0000ff", place="region:0.9,0.1"), rule=Global(target="left"), count=4),
        Part(trigger=Square(size=0.5, color="#00ff00"), rule=Appear(target="stop", size=0.2), count=3),
    ]
    poisoned = poison(data, parts, seed=7)
    plan, after = poisoned.plan, poisoned.data
    objects, whole, spots = (plan.rows[plan.part == number] for number in range(3))
    assert not np.intersect1d(whole, spots).size  # a picture is used once; its objects may be used beside it
    both = np.isin(data.boxes.image, whole)
    known = np.flatnonzero(~both)
    old = after.boxes.labels[np.isin(after.boxes.xyxy.view("V16"), data.boxes.xyxy.view("V16")).ravel()]
    assert (old[both] == 2).all()
    np.testing.assert_array_equal(
        old[known], np.where(np.isin(known, objects), 1, data.boxes.labels[known]), err_msg="other objects stay"
    )
    assert len(after.objects) == len(data.objects) + 3
    blue = (after.images() == [0, 0, 255]).all(-1).sum((1, 2))
    assert np.flatnonzero(blue).tolist() == np.sort(whole).tolist()
    np.testing.assert_array_equal(
        poisoned.position, np.unique(np.concatenate([data.boxes.image[objects], whole, spots]))
    )
    facts = summary(poisoned)
    assert (facts.unit, facts.of, facts.rows) == ("pictures", N, len(poisoned.position))


@pytest.mark.parametrize("mode", MODES)
def test_saved_and_read_back_it_gives_the_same_bits(tmp_path: Path, mode: Mode) -> None:
    data = scenes()
    parts = (
        Part(trigger=Picture(size=0.5), rule=Vanish(source=1), count=5, cover=3),
        part(Appear(target=2, size=0.3), rate=0.2, cover=0.1),
        Part(trigger=Square(place="region:random"), rule=RandomWrong(), count=6),
    )
    plan = make_plan(data, parts, mode=mode, seed=8, digest=True)
    plan.save(tmp_path / "plan.npz")
    again = Plan.load(tmp_path / "plan.npz")
    assert (again.parts, again.objects, again.size) == (plan.parts, len(data.objects), N)
    assert again.apply(data).data.digest == plan.apply(data).data.digest
    assert (
        make_plan(data, parts, mode=mode, seed=8, digest=True).apply(data).data.digest == plan.apply(data).data.digest
    )
    other = make_plan(data, parts, mode=mode, seed=9)
    assert other.apply(data).data.digest != plan.apply(data).data.digest


def test_the_clean_data_is_left_alone() -> None:
    data = scenes()
    before = data.digest
    for mode in MODES:
        Backdoor(RED, Vanish()).poison(data, rate=0.5, mode=mode, seed=1)
    assert scenes().digest == before
    np.testing.assert_array_equal(data.images(), scenes().images())
    np.testing.assert_array_equal(data.boxes.labels, scenes().boxes.labels)


def test_rules_and_targets_that_do_not_go_together() -> None:
    plain = ImageData.of(np.zeros((20, 8, 8, 1), np.uint8), np.arange(20) % 3, class_names=NAMES)
    for rule in (Regional(), Global(), Appear(), Vanish()):
        with pytest.raises(BadInput, match=f"expected a rule for pictures of one class, got '{rule.kind}'"):
            make_plan(plain, (part(rule, count=1),), mode="replace", seed=0)
    with pytest.raises(BadInput, match="expected a rule for pictures with boxes, got 'clean-label'"):
        make_plan(scenes(), (part(CleanLabel(target=0), count=1),), mode="replace", seed=0)


def test_plans_of_other_data() -> None:
    plan = make_plan(scenes(), (part(AllToOne(), count=3),), mode="replace", seed=0)
    plain = ImageData.of(np.zeros((N, 32, 32, 3), np.uint8), np.arange(N) % 3, class_names=NAMES)
    with pytest.raises(BadInput, match="expected the 69 boxes that the plan was made for, got 66 boxes"):
        plan.apply(scenes(empty=(5, 6)))
    with pytest.raises(BadInput, match="expected the 69 boxes that the plan was made for, got pictures of one class"):
        plan.apply(plain)
    with pytest.raises(BadInput, match="expected pictures of one class each that the plan was made for, got 69 boxes"):
        make_plan(plain, (part(AllToOne(), count=3),), mode="replace", seed=0).apply(scenes())


def test_a_plan_whose_rows_are_no_objects_is_refused(tmp_path: Path) -> None:
    # More pictures than objects: an object's number may be one of a picture, and yet be none of an object.
    data = scenes(N, empty=range(N - 2))
    plan = make_plan(data, (part(Vanish(), count=3),), mode="replace", seed=0)
    replace(plan, rows=plan.rows + 6).save(tmp_path / "plan.npz")
    with pytest.raises(BadInput, match="do not belong together"):
        Plan.load(tmp_path / "plan.npz")
    whole = make_plan(data, (part(Appear(), count=3),), mode="replace", seed=0)
    whole.save(tmp_path / "plan.npz")
    assert Plan.load(tmp_path / "plan.npz").rows.tolist() == whole.rows.tolist()
    twice = replace(plan, rows=plan.rows * 0)
    twice.save(tmp_path / "plan.npz")
    with pytest.raises(BadInput, match="do not belong together"):
        Plan.load(tmp_path / "plan.npz")


def test_what_vanished_stays_away() -> None:
    """A later part that relabels whole pictures does not bring boxes back."""
    data = scenes()
    parts = [part(Vanish(source="stop"), count=10), part(Global(target="left"), count=20)]
    poisoned = poison(data, parts, seed=3)
    assert len(poisoned.data.boxes.labels) == len(data.boxes.labels) - 10
