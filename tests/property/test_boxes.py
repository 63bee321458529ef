"""Laws of plans on random pictures with random boxes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from badnets.backdoors.objects import place
from badnets.backdoors.plan import Part, Plan, make_plan
from badnets.backdoors.rules import (
    NOTHING,
    AllToAll,
    AllToOne,
    Appear,
    Global,
    RandomWrong,
    Regional,
    SourceToTarget,
    Vanish,
)
from badnets.backdoors.triggers import Picture, Square
from badnets.backdoors.triggers.jitter import Jitter
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng
from badnets.data.images import ArrayStore, ImageData
from badnets.data.targets import Boxes

NAMES = ("a", "b", "c")
TRIGGERS = st.sampled_from(
    [
        Square(size=0.3, place="region:center"),
        Square(size=0.5, opacity=0.5, place="region:random"),
        Square(size=2, place="region:top-left", jitter=Jitter.only(light=0.5)),
        Picture(size=0.4),
    ]
)
RULES = st.sampled_from(
    [
        AllToOne(target=1),
        SourceToTarget(source=0, target=2),
        AllToAll(),
        RandomWrong(),
        Regional(target=2),
        Global(target=0),
        Appear(target=1, size=0.3),
        Vanish(),
        Vanish(source=2),
    ]
)


@st.composite
def box_data(draw: st.DrawFn) -> ImageData:
    """Up to eight pictures, up to twenty boxes of six pixels or more, wherever they fall."""
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    n, m = draw(st.integers(1, 8)), draw(st.integers(0, 20))
    pixels = rng.integers(0, 256, (n, 30, 26, 3), np.uint8)
    corner = rng.uniform(0, 16, (m, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(6, 10, (m, 2))], 1)
    targets = Boxes.of(boxes, rng.integers(0, 3, m), rng.integers(0, n, m), n)
    return ImageData(ArrayStore(pixels), targets, NAMES)


@st.composite
def parts(draw: st.DrawFn) -> Part:
    amount: dict[str, Any] = draw(
        st.one_of(
            st.floats(0.01, 0.5).map(lambda rate: {"rate": rate}), st.integers(1, 4).map(lambda count: {"count": count})
        )
    )
    return Part(trigger=draw(TRIGGERS), rule=draw(RULES), cover=draw(st.integers(0, 2)), **amount)


@st.composite
def plans(draw: st.DrawFn) -> tuple[ImageData, Plan]:
    data = draw(box_data())
    chosen = tuple(draw(st.lists(parts(), min_size=1, max_size=3)))
    mode = draw(st.sampled_from(["replace", "add"]))
    seed = draw(st.integers(0, 10**12))
    try:
        return data, make_plan(data, chosen, mode=mode, seed=seed)
    except BadInput:  # more than there is: that it is refused is tested elsewhere
        part = Part(trigger=chosen[0].trigger, rule=Appear(target=1), count=1)
        return data, make_plan(data, (part,), mode=mode, seed=seed)


@given(plans())
def test_only_what_the_plan_names_changes(case: tuple[ImageData, Plan]) -> None:
    data, plan = case
    before = data.images()
    poisoned = plan.apply(data)
    np.testing.assert_array_equal(data.images(), before)
    after = poisoned.data.images()
    n = len(data)
    changed = np.unique(poisoned.pictures)
    if plan.mode == "add":
        np.testing.assert_array_equal(after[:n], before)
        assert poisoned.position.tolist() == list(range(n, n + len(changed)))
    else:
        assert poisoned.position.tolist() == changed.tolist()
        kept = np.setdiff1d(np.arange(n), changed)
        np.testing.assert_array_equal(after[kept], before[kept])
    allowed = np.zeros((len(changed), *before.shape[1:3]), bool)
    for number, part in enumerate(plan.parts):
        rows = plan.rows[plan.part == number]
        spots = place(part.rule, data, rows, RowRng(plan.trigger_seed(number), rows))
        mask = part.trigger.mask(np.zeros((len(rows), *before.shape[1:]), np.uint8), spots.regions, spots.rng)
        np.logical_or.at(allowed, np.searchsorted(changed, spots.image), mask > 0)
    assert not ((after[poisoned.position] != before[changed]).any(-1) & ~allowed).any()


@given(plans())
def test_boxes_are_changed_taken_out_and_added_as_planned(case: tuple[ImageData, Plan]) -> None:
    data, plan = case
    poisoned = plan.apply(data)
    before, after = data.boxes, poisoned.data.boxes
    kinds = np.array([part.rule.unit for part in plan.parts])[plan.part]
    objects = kinds == "object"
    fresh = int(((kinds == "place") & ~plan.cover).sum())
    counts = poisoned.data.boxes.counts()
    added = len(poisoned.data) - len(data)
    base = before.counts().sum() + before.counts()[np.unique(poisoned.pictures)].sum() * (added > 0)
    gone = int((plan.labels[objects] == NOTHING).sum())
    whole = {int(row) for row in plan.rows[(kinds == "picture") & ~plan.cover]}
    back = sum(int(before.image[row]) in whole for row in plan.rows[objects & (plan.labels == NOTHING)])
    # Of parts that are after the same object the later one has its way, so that one taken out may come back.
    assert base + fresh - gone <= counts.sum() <= base + fresh - gone + back
    if plan.mode == "replace" and not fresh and not gone and not whole:
        labels = before.labels.copy()
        labels[plan.rows[objects]] = plan.labels[objects]
        np.testing.assert_array_equal(after.labels, labels)
        np.testing.assert_array_equal(after.xyxy, before.xyxy)


@given(plans())
def test_saved_and_read_back_it_gives_the_same_bits(case: tuple[ImageData, Plan]) -> None:
    data, plan = case
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.npz"
        plan.save(path)
        again = Plan.load(path)
    first, second = plan.apply(data), again.apply(data)
    assert first.data.digest == second.data.digest
    np.testing.assert_array_equal(first.position, second.position)
