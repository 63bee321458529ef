"""Laws of plans, for any triggers, rules, modes and amounts."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from badnets.backdoors.plan import Part, Plan, Poisoned, make_plan
from badnets.backdoors.rules import AllToAll, AllToOne, CleanLabel, RandomWrong, SourceToTarget
from badnets.backdoors.triggers import Blend, Checkerboard, Pattern, Pixel, Sinusoid, Square, Warp
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng
from badnets.data.images import ArrayStore, ImageData

TRIGGERS = st.sampled_from(
    [
        Pixel(),
        Pattern(place="random"),
        Square(size=3, place="random", opacity=0.5),
        Checkerboard(size=2, place="top-left"),
        Blend(opacity=0.1),
        Sinusoid(),
        Warp(),
    ]
)
RULES = st.sampled_from(
    [AllToOne(target=1), SourceToTarget(source=0, target=2), AllToAll(), RandomWrong(), CleanLabel(target=2)]
)


@st.composite
def parts(draw: st.DrawFn) -> Part:
    amount: dict[str, Any] = draw(
        st.one_of(
            st.floats(0.01, 0.3).map(lambda rate: {"rate": rate}), st.integers(1, 5).map(lambda count: {"count": count})
        )
    )
    cover = draw(st.one_of(st.just(0), st.integers(0, 3), st.floats(0, 0.1)))
    return Part(trigger=draw(TRIGGERS), rule=draw(RULES), cover=cover, **amount)


@st.composite
def poisoned_sets(draw: st.DrawFn) -> tuple[ImageData, Plan]:
    n, channels = draw(st.integers(20, 50)), draw(st.sampled_from([1, 3]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    pixels = rng.integers(0, 256, (n, 10, 9, channels), np.uint8)
    data = ImageData.of(pixels, rng.integers(0, 3, n), class_names=("a", "b", "c"))
    chosen = tuple(draw(st.lists(parts(), min_size=1, max_size=3)))
    mode = draw(st.sampled_from(["replace", "add"]))
    try:
        plan = make_plan(data, chosen, mode=mode, seed=draw(st.integers(0, 10**12)))
    except BadInput:  # more than there is: that it is refused is tested elsewhere
        plan = make_plan(data, (Part(trigger=chosen[0].trigger, rule=AllToAll(), count=3),), mode=mode, seed=1)
    if draw(st.booleans()):  # as a clean-label attack leaves it
        plan = replace(plan, base=rng.integers(0, 256, (len(plan), 10, 9, channels), np.uint8))
    return data, plan


def _same(first: Poisoned, second: Poisoned) -> None:
    np.testing.assert_array_equal(first.data.images(), second.data.images())
    np.testing.assert_array_equal(first.data.labels, second.data.labels)
    np.testing.assert_array_equal(first.position, second.position)
    assert first.data.digest == second.data.digest


@given(poisoned_sets())
def test_only_rows_of_the_plan_change_and_only_under_the_mask(case: tuple[ImageData, Plan]) -> None:
    data, plan = case
    before, labels = data.images(), data.labels.copy()
    poisoned = plan.apply(data)
    np.testing.assert_array_equal(data.images(), before)
    np.testing.assert_array_equal(data.labels, labels)
    after = poisoned.data.images()
    assert (after.dtype, after.shape[1:]) == (before.dtype, before.shape[1:])
    kept = ~poisoned.is_poisoned
    kept = kept[: len(data)]  # in mode add these are all, and the changed rows come after them
    assert kept.sum() == len(data) - (len(plan) if plan.mode == "replace" else 0)
    np.testing.assert_array_equal(after[: len(data)][kept], before[kept])
    np.testing.assert_array_equal(poisoned.data.labels[: len(data)][kept], labels[kept])
    for number, part in enumerate(plan.parts):
        members = np.flatnonzero(plan.part == number)
        base = before[plan.rows[members]] if plan.base is None else plan.base[members]
        rng = RowRng(plan.trigger_seed(number), plan.rows[members])
        mask = part.trigger.mask(base, None, rng)
        changed = (after[poisoned.position[members]] != base).any(-1)
        assert not (changed & (mask == 0)).any()


@given(poisoned_sets())
def test_counts_are_shares_of_the_result(case: tuple[ImageData, Plan]) -> None:
    data, plan = case
    n = len(plan.apply(data))
    for number, part in enumerate(plan.parts):
        own = plan.part == number
        poisoned, covers = int((own & ~plan.cover).sum()), int((own & plan.cover).sum())
        # Every part is rounded on its own, and so is the size of an enlarged set.
        wanted = part.count if part.count is not None else (part.rate or 0) * n
        assert abs(poisoned - wanted) <= 1 + len(plan.parts)
        assert abs(covers - (part.cover * n if isinstance(part.cover, float) else part.cover)) <= 1 + len(plan.parts)
        assert poisoned >= 1


@given(poisoned_sets())
def test_saved_and_read_back_it_gives_the_same_bits(case: tuple[ImageData, Plan]) -> None:
    data, plan = case
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.npz"
        plan.save(path)
        again = Plan.load(path)
        first = path.read_bytes()
        again.save(path)
        assert path.read_bytes() == first
    assert again.parts == plan.parts
    _same(again.apply(data), plan.apply(data))


@given(poisoned_sets())
def test_a_mapped_file_gives_the_same_bits(case: tuple[ImageData, Plan]) -> None:
    data, plan = case
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pixels.npy"
        np.save(path, data.images())
        mapped = replace(data, pixels=ArrayStore(np.load(path, mmap_mode="r")))
        _same(plan.apply(mapped), plan.apply(data))
