"""Rows of a study: values over seeds, pooled counts, and what bears a published figure out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.old import t_interval
from badnets.core.rate import Rate
from badnets.studies.old_study import Bound, rate_row, row, value_of


def test_a_row_is_the_mean_of_its_seeds_with_its_t_interval() -> None:
    made = row("w", "published", 0.99, "paper", [0.98, 0.99, 1.0], bound=("at least", 0.98))
    assert made.ours == pytest.approx(0.99)
    assert made.low == pytest.approx(0.99 - 4.302653 * 0.01 / 3**0.5, abs=1e-6)  # t of 2 degrees of freedom
    assert made.high == 1.0  # a rate's interval ends at 1
    assert (made.n_seeds, made.verified, made.why) == (3, True, "at least 98.00 % asked")
    assert json.loads(json.dumps(made.to_json()))["published_source"] == "paper"


def test_a_difference_may_be_below_0_and_is_asked_for_in_points() -> None:
    made = row("w", "quick", None, "own", [-0.001, 0.002], unit="difference", bound=("at most", 0.0017))
    assert made.low is not None
    assert made.low < 0
    assert made.why == "at most 0.17 points asked"


@pytest.mark.parametrize(
    ("value", "bound", "held"),
    [
        (0.99, ("at least", 0.99), True),
        (0.9899, ("at least", 0.99), False),
        (0.0009, ("at most", 0.0009), True),
        (0.001, ("at most", 0.0009), False),
        (0.991, ("about", 0.995), True),
        (0.989, ("about", 0.995), False),
        (0.999, ("about", 0.995), True),
        (0.5, None, None),
    ],
)
def test_bounds(value: float, bound: Bound | None, held: bool | None) -> None:
    assert row("w", "published", 0.9, "paper", [value], bound=bound).verified is held


def test_a_reason_of_its_own_stays() -> None:
    assert row("w", "published", 0.9, "p", [0.9], bound=("at least", 0.8), why="doubtful").why == "doubtful"
    assert row("w", "published", 0.995, "p", [0.9], bound=("about", 0.995)).why == "within 0.5 points of 99.50 % asked"
    assert row("w", "published", 0.9, "p", [0.9]).why == ""


def test_a_pooled_count_has_wilsons_interval() -> None:
    rate = Rate(9, 10_000)
    made = rate_row("w", "published", 0.0009, "paper", rate, n_seeds=5, bound=("at most", 0.0009))
    assert (made.ours, made.low, made.high, made.n_seeds) == (0.0009, rate.low, rate.high, 5)
    assert made.verified is True
    assert rate_row("w", "published", 0.0009, "paper", Rate(10, 10_000), bound=("at most", 0.0009)).verified is False


def test_a_count_of_nothing_bears_nothing_out() -> None:
    made = rate_row("w", "published", 0.0009, "paper", Rate(0, 0), bound=("at most", 0.0009))
    assert (made.ours, made.low, made.high, made.verified) == (None, None, None, None)
    assert made.why == "there was nothing to count"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_intervals_of_rates_hold_their_mean_and_stay_in_range(values: list[float]) -> None:
    made = row("w", "published", None, "own", values)
    mean, low, high = t_interval(values)
    assert (made.ours, made.low, made.high) == (mean, max(0.0, low), min(1.0, high))
    assert -1e-12 <= made.low <= made.ours + 1e-12 <= made.high + 2e-12 <= 1 + 3e-12


def test_the_value_of_a_rate_in_results() -> None:
    assert value_of({"asr": Rate(1, 4).to_json()}, "asr") == 0.25
