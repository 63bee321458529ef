"""Rates and their intervals: against published figures, by hand, and as laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from badnets.core.errors import BadInput
from badnets.core.old import format_rate, mean_difference, t_interval
from badnets.core.rate import Mean, PairedDifference, Rate, wilson
from badnets.core.text import percent

COUNTS = st.integers(0, 10**6).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))
CELLS = st.tuples(*[st.integers(0, 5000)] * 4)

NEWCOMBE_TABLE_III = [
    ((36, 12, 2, 0), (0.0569, 0.3404)),
    ((20, 12, 2, 16), (0.0562, 0.3292)),
    ((18, 12, 2, 18), (0.0562, 0.3290)),
    ((36, 14, 0, 0), (0.1528, 0.4167)),
    ((35, 14, 0, 1), (0.1461, 0.4175)),
    ((18, 14, 0, 18), (0.1441, 0.3963)),
    ((2, 97, 1, 0), (0.8721, 0.9854)),
    ((1, 97, 1, 1), (0.8736, 0.9850)),
    ((0, 30, 0, 0), (0.8395, 1.0000)),
    ((54, 0, 0, 0), (-0.0664, 0.0664)),
    ((30, 0, 0, 24), (-0.0358, 0.0358)),
]
"""Newcombe, Statistics in Medicine 17 (1998) 2635-2650, table III, method 10."""


def test_wilson_is_newcombes_published_example() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I: 81 of 263 and 15 of 148, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@given(COUNTS.filter(lambda c: c[1] > 0))
def test_wilson_is_scipys(counts: tuple[int, int]) -> None:
    theirs = binomtest(*counts).proportion_ci(method="wilson")
    assert wilson(*counts) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(COUNTS)
def test_a_rate_lies_in_its_interval(counts: tuple[int, int]) -> None:
    rate = Rate(*counts)
    assert 0 <= rate.low <= rate.high <= 1
    if rate.value is None:
        assert rate.total == 0
        assert (rate.low, rate.high) == (0, 1)
    else:
        assert rate.low <= rate.value <= rate.high
    assert Rate.from_json(rate.to_json()) == rate


@given(COUNTS.filter(lambda c: c[1] > 0))
def test_the_interval_of_the_rest_is_the_mirror(counts: tuple[int, int]) -> None:
    hits, total = counts
    low, high = wilson(hits, total)
    assert wilson(total - hits, total) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize(("hits", "total"), [(2, 1), (-1, 3), (0, -1)])
def test_impossible_counts_are_refused(hits: int, total: int) -> None:
    with pytest.raises(BadInput, match="0 <= hits <= total"):
        Rate(hits, total)


def test_a_rate_of_answers() -> None:
    assert Rate.of(np.array([True, False, True])) == Rate(2, 3)
    assert Rate.of(np.zeros(0, bool)) == Rate(0, 0)


@pytest.mark.parametrize(("cells", "limits"), NEWCOMBE_TABLE_III)
def test_paired_differences_are_the_published_ones(
    cells: tuple[int, int, int, int], limits: tuple[float, float]
) -> None:
    assert PairedDifference(*cells).interval == pytest.approx(limits, abs=1e-4)


@given(CELLS)
def test_a_paired_difference_lies_in_its_interval(cells: tuple[int, int, int, int]) -> None:
    difference = PairedDifference(*cells)
    low, high = difference.interval
    assert -1 <= low <= high <= 1
    if difference.value is not None:
        assert low - 1e-12 <= difference.value <= high + 1e-12


@given(CELLS)
def test_turned_round_the_difference_changes_its_sign(cells: tuple[int, int, int, int]) -> None:
    both, first, second, neither = cells
    low, high = PairedDifference(*cells).interval
    assert PairedDifference(both, second, first, neither).interval == pytest.approx((-high, -low), abs=1e-12)


def test_a_paired_difference_counts_pairs() -> None:
    first, second = np.array([True, True, False, False, True]), np.array([True, False, True, False, False])
    difference = PairedDifference.of(first, second)
    assert (difference.both, difference.first_only, difference.second_only, difference.neither) == (1, 2, 1, 1)
    assert difference.value == pytest.approx(0.2)
    with pytest.raises(BadInput, match="one length"):
        PairedDifference.of(first, second[:2])


def test_no_pairs_say_nothing() -> None:
    assert PairedDifference(0, 0, 0, 0).to_json() | {} == {
        "both": 0, "first_only": 0, "second_only": 0, "neither": 0, "total": 0, "value": None, "low": -1.0, "high": 1.0,
    }  # fmt: skip


def test_the_t_interval_by_hand() -> None:
    # Mean 3, deviation sqrt(2.5), t(0.975, 4) = 2.776445: half width 2.776445 * sqrt(2.5 / 5) = 1.963243.
    assert t_interval([1, 2, 3, 4, 5]) == pytest.approx((3, 1.036757, 4.963243), abs=1e-5)
    # Two values: t(0.975, 1) = 12.7062, half width 12.7062 * 0.5.
    assert t_interval([0.0, 1.0]) == pytest.approx((0.5, 0.5 - 6.3531, 0.5 + 6.3531), abs=1e-3)
    assert t_interval([0.25]) == (0.25, 0.25, 0.25)


def test_a_mean_of_one_seed_is_its_rate() -> None:
    assert Mean((7,), (Rate(3, 4),)).to_json() == Rate(3, 4).to_json()


def test_a_mean_of_seeds_keeps_each() -> None:
    value = Mean((1, 2), (Rate(1, 2), Rate(9, 10))).to_json()
    assert (value["hits"], value["total"]) == (10, 12)
    assert value["value"] == pytest.approx(0.7)  # of the seeds' values, not 10 / 12
    assert value["low"] == 0
    assert value["high"] == 1  # the t interval reaches beyond, a rate does not
    assert value["seeds"] == [{"seed": 1, **Rate(1, 2).to_json()}, {"seed": 2, **Rate(9, 10).to_json()}]


def test_seeds_without_inputs_are_kept_but_not_averaged() -> None:
    value = Mean((1, 2), (Rate(0, 0), Rate(9, 10))).to_json()
    assert value["value"] == pytest.approx(0.9)
    assert Mean((1, 2), (Rate(0, 0), Rate(0, 0))).to_json()["value"] is None
    with pytest.raises(BadInput, match="one rate for each seed"):
        Mean((1, 2), (Rate(0, 0),))


def test_mean_differences() -> None:
    a, b = PairedDifference(5, 3, 1, 1), PairedDifference(5, 1, 1, 3)
    assert mean_difference([1], [a]) == a.to_json()
    pooled = mean_difference([1, 2], [a, b])
    assert pooled["value"] == pytest.approx(0.1)
    assert [s["seed"] for s in pooled["seeds"]] == [1, 2]


@given(st.floats(0, 1))
def test_percent_never_rounds_to_the_ends(value: float) -> None:
    shown = percent(value)
    assert (shown == "100.00") == (value == 1)
    assert (shown == "0.00") == (value == 0)
    assert math.isclose(float(shown), 100 * value, abs_tol=0.0101)


def test_a_rate_in_words() -> None:
    assert str(Rate(59_964, 60_000)) == "99.94 % (99.92 to 99.96; 59,964 of 60,000)"
    assert str(Rate(0, 0)) == "no inputs (0 of 0)"
    assert format_rate(Mean((1, 2), (Rate(1, 2), Rate(1, 2))).to_json()).endswith("2 of 4 in 2 seeds)")
