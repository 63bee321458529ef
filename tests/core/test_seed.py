"""Seeds: the same on every machine, independent by name, and per row whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.seed import RowRng, Seed, as_seed

PATHS = st.lists(st.text(alphabet="ab/\\", max_size=3), max_size=4).map(tuple)


def test_golden_integers() -> None:
    """If these change, no plan, trigger or weight of an earlier version comes out again."""
    assert Seed(1).integer == 7060576587572479595
    assert Seed(1).derive("plan").integer == 4807954584922723120
    assert Seed(1).derive("plan", "rows", 0).integer == 5106452915284802705
    assert Seed(-5).derive("train").integer == 514630700199018016
    assert Seed(10**30).integer == 4210995871054328570


def test_golden_numbers() -> None:
    assert Seed(1).derive("plan").rng.integers(0, 1000, 5).tolist() == [724, 345, 69, 276, 107]
    rows = RowRng(Seed(3), np.array([0, 1, 2**40]))
    assert rows.uniform("x").tolist() == [0.041974111373236145, 0.18597183096732128, 0.4824898313626369]


@given(PATHS, PATHS)
def test_different_paths_are_different_streams(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    same = Seed(1).derive(*first).integer == Seed(1).derive(*second).integer
    assert same == (first == second)


@given(st.integers(), PATHS)
def test_integers_fit_63_bits(root: int, path: tuple[str, ...]) -> None:
    assert 0 <= Seed(root).derive(*path).integer < 1 << 63


def test_a_stream_starts_anew_each_time() -> None:
    seed = Seed(4).derive("a")
    assert seed.rng.random() == seed.rng.random()
    assert as_seed(seed) is seed
    assert as_seed(4) == Seed(4)


def test_streams_look_independent() -> None:
    first = Seed(1).derive("a").rng.standard_normal(20_000)
    second = Seed(1).derive("b").rng.standard_normal(20_000)
    assert abs(float(np.corrcoef(first, second)[0, 1])) < 0.03


@given(st.permutations(range(20)), st.integers(1, 20))
def test_a_row_gets_its_numbers_in_any_batch(order: list[int], size: int) -> None:
    whole = RowRng.of(5, 20)
    for start in range(0, 20, size):
        rows = np.array(order[start : start + size])
        part = RowRng(Seed(5), rows)
        np.testing.assert_array_equal(part.uniform("u", -2, 3), whole.uniform("u", -2, 3)[rows])
        np.testing.assert_array_equal(part.integers("i", 7), whole.integers("i", 7)[rows])
        np.testing.assert_array_equal(part.cells("c", 2, 3), whole.cells("c", 2, 3)[rows])
        np.testing.assert_array_equal(whole.take(rows).uniform("u"), part.uniform("u"))


def test_row_numbers_are_uniform() -> None:
    rng = RowRng.of(9, 50_000)
    values = rng.uniform("x")
    assert values.min() >= 0
    assert values.max() < 1
    counts = np.bincount(rng.integers("k", 10), minlength=10)
    assert counts == pytest.approx(np.full(10, 5000), rel=0.06)
    assert abs(float(np.corrcoef(values[:-1], values[1:])[0, 1])) < 0.02
    assert abs(float(np.corrcoef(values, rng.uniform("y"))[0, 1])) < 0.02
    bits = (rng.cells("n", 4) >> np.uint64(63)).mean(axis=0)
    assert bits == pytest.approx(np.full(4, 0.5), abs=0.01)
