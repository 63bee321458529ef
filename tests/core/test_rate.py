"""Rates and their intervals: against published figures, by hand, and as laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from badnets.core.errors import BadInput
from badnets.core.rate import (
    Contrast,
    Estimate,
    Interval,
    Mean,
    Number,
    PairedDifference,
    Rate,
    over_seeds,
    parts_of,
    spread,
    wilson,
    within,
)
from badnets.core.text import percent, points

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
    assert PairedDifference(*cells).ends == pytest.approx(limits, abs=1e-4)


@given(CELLS)
def test_a_paired_difference_lies_in_its_interval(cells: tuple[int, int, int, int]) -> None:
    difference = PairedDifference(*cells)
    low, high = difference.ends
    assert -1 <= low <= high <= 1
    if difference.value is not None:
        assert low - 1e-12 <= difference.value <= high + 1e-12


@given(CELLS)
def test_turned_round_the_difference_changes_its_sign(cells: tuple[int, int, int, int]) -> None:
    both, first, second, neither = cells
    low, high = PairedDifference(*cells).ends
    assert PairedDifference(both, second, first, neither).ends == pytest.approx((-high, -low), abs=1e-12)


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


def test_the_spread_between_seeds_by_hand() -> None:
    # Deviation sqrt(2.5), t(0.975, 4) = 2.776445: half width 2.776445 * sqrt(2.5 / 5) = 1.963243.
    assert spread([1, 2, 3, 4, 5]) == pytest.approx(1.963243, abs=1e-5)
    # Two values: t(0.975, 1) = 12.7062, half width 12.7062 * 0.5.
    assert spread([0.0, 1.0]) == pytest.approx(6.3531, abs=1e-3)
    assert spread([0.25]) == 0


def test_numbers_have_only_the_spread() -> None:
    mean = Mean((1, 2, 3, 4, 5), tuple(map(Number, (1.0, 2.0, 3.0, 4.0, 5.0))))
    assert mean.unit == "number"
    assert mean.ends == pytest.approx((1.036757, 4.963243), abs=1e-5)
    assert Mean((1,), (Number(0.25),)).ends == (None, None)  # of the error of a single one nothing is known


def test_a_mean_of_one_seed_has_the_figures_own_interval() -> None:
    assert Mean((7,), (Rate(3, 4),)).ends == Rate(3, 4).ends
    assert over_seeds([7], [Rate(3, 4)]) == Rate(3, 4)
    assert parts_of(Rate(3, 4)) == (Rate(3, 4),)
    assert parts_of(over_seeds([1, 2], [Rate(3, 4), Rate(1, 4)])) == (Rate(3, 4), Rate(1, 4))


def test_a_mean_by_hand() -> None:
    # 12 and 18 of 60: values 0.2 and 0.3; Wilson's ends of 0.2 are 0.1183 and 0.3178, of 0.3 are 0.1988 and 0.4251.
    # Down 0.0914, up 0.1215; between the seeds 12.7062 * 0.05 = 0.6353.
    mean = Mean((1, 2), (Rate(12, 60), Rate(18, 60)))
    assert mean.value == pytest.approx(0.25)
    assert mean.ends == pytest.approx((0.0, 0.25 + math.hypot(0.1215, 0.6353)), abs=1e-4)


def test_a_mean_of_seeds_keeps_each() -> None:
    value = Mean((1, 2), (Rate(1, 2), Rate(9, 10))).to_json()
    assert (value["hits"], value["total"]) == (10, 12)
    assert value["value"] == pytest.approx(0.7)  # of the seeds' values, not 10 / 12
    assert value["low"] == 0
    assert value["high"] == 1  # the interval reaches beyond, a rate does not
    assert value["seeds"] == [{"seed": 1, **Rate(1, 2).to_json()}, {"seed": 2, **Rate(9, 10).to_json()}]


def test_seeds_without_inputs_are_kept_but_not_averaged() -> None:
    value = Mean((1, 2), (Rate(0, 0), Rate(9, 10))).to_json()
    assert value["value"] == pytest.approx(0.9)
    assert (value["low"], value["high"]) == Rate(9, 10).ends
    nothing = Mean((1, 2), (Rate(0, 0), Rate(0, 0)))
    assert (nothing.value, nothing.ends) == (None, (0, 1))
    with pytest.raises(BadInput, match="one figure for each seed"):
        Mean((1, 2), (Rate(0, 0),))


def test_mean_differences() -> None:
    a, b = PairedDifference(5, 3, 1, 1), PairedDifference(5, 1, 1, 3)
    pooled = over_seeds([1, 2], [a, b]).to_json()
    assert pooled["value"] == pytest.approx(0.1)
    assert [s["seed"] for s in pooled["seeds"]] == [1, 2]
    assert (pooled["low"], pooled["high"]) == (-1, 1)  # two seeds, 0.2 apart: nothing is known


def test_no_interval_reaches_beyond_what_a_figure_can_be() -> None:
    """Whatever its ends were made by: a share lies in 0..1, a difference of shares in -1..1, a count anywhere."""
    wide = {"value": 0.9, "low": -5.3, "high": 6.4}
    assert Estimate.from_json({**wide, "interval": "spread between 2 seeds, paired"}).ends == (-1, 1)
    assert Estimate.from_json({**wide, "interval": "over 2 seeds"}).ends == (0, 1)
    assert Estimate(0.9, (None, 1.2)).ends == (None, 1)
    apart = [Estimate(value, (value - 0.3, value + 0.3), paired=True) for value in (0.9, -0.9)]
    assert [one.ends for one in apart] == [pytest.approx((0.6, 1)), pytest.approx((-1, -0.6))]
    assert Mean((1, 2), tuple(apart)).ends == (-1, 1)
    assert Mean((1, 2), (Contrast(Rate(9, 10), Rate(0, 10)), Contrast(Rate(0, 10), Rate(9, 10)))).ends == (-1, 1)
    assert [within(end, "share") for end in (-5.0, None, 5.0)] == [-5, None, 5]
    assert Mean((1, 2), (Number(0.0), Number(9.0))).high > 9


# ------------------------------------------------------------------------------------ the interval over several seeds


def test_no_hit_in_three_seeds_is_as_wide_as_one_test_set() -> None:
    mean = Mean((1, 2, 3), (Rate(0, 60),) * 3)
    assert mean.ends == pytest.approx((0, 0.0602), abs=5e-5)
    assert str(mean) == "0.00 % (0.00 to 6.02; 0 of 180 in 3 seeds)"


def test_three_perfect_seeds_do_not_prove_perfection() -> None:
    low, high = Mean((1, 2, 3), (Rate(100, 100),) * 3).ends
    assert low == pytest.approx(0.9630, abs=5e-5)
    assert high == 1


MEANS = st.lists(st.integers(1, 1000).flatmap(lambda n: st.builds(Rate, st.integers(0, n), st.just(n))), min_size=2)


@given(MEANS)
def test_the_interval_of_a_mean_is_never_narrower_than_either_reason(rates: list[Rate]) -> None:
    mean = Mean(tuple(range(len(rates))), tuple(rates))
    low, high = mean.ends
    value, between = float(mean), spread([float(rate) for rate in rates])
    assert 0 <= low <= value <= high <= 1
    own_low, own_high = (math.fsum(ends) / len(rates) for ends in zip(*(rate.ends for rate in rates), strict=True))
    assert low <= own_low + 1e-12
    assert high >= own_high - 1e-12
    assert low <= max(0, value - between) + 1e-12
    assert high >= min(1, value + between) - 1e-12


@given(st.lists(st.builds(PairedDifference, *[st.integers(0, 300)] * 4), min_size=1, max_size=6))
def test_a_mean_difference_lies_in_its_interval(differences: list[PairedDifference]) -> None:
    mean = Mean(tuple(range(len(differences))), tuple(differences))
    low, high = mean.ends
    assert -1 <= low <= high <= 1
    if mean.value is not None:
        assert low - 1e-12 <= mean.value <= high + 1e-12


SPREADS = {0.0: (0.0,), 0.01: (0.0, 0.005), 0.5: (0.0, 0.05), 0.99: (0.0, 0.005), 1.0: (0.0,)}
"""Standard deviations between seeds, by the true rate."""
REPEATS = 500


def _rates(truth: float, deviation: float, seeds: int) -> np.ndarray:
    """The seeds' own true rates (repeats, seeds), from a beta distribution."""
    if not deviation:
        return np.full((REPEATS, seeds), truth)
    weight = truth * (1 - truth) / deviation**2 - 1
    return np.random.default_rng(7).beta(truth * weight, (1 - truth) * weight, (REPEATS, seeds))


@pytest.mark.parametrize("shared", [True, False], ids=["shared pictures", "own pictures"])
@pytest.mark.parametrize("pictures", [200, 1000])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_over_seeds_covers_the_truth(seeds: int, pictures: int, shared: bool) -> None:
    # Nominal 95 %; at least 93 % of 500 experiments, whose seed is fixed. Seeds that share the test pictures find the
    # same ones hard: a picture of difficulty u is a hit of every seed whose true rate is above u.
    rng = np.random.default_rng(1)
    for truth, deviations in SPREADS.items():
        for deviation in deviations:
            rates = _rates(truth, deviation, seeds)
            if shared:
                difficulty = rng.random((REPEATS, pictures))
                hits = np.count_nonzero(difficulty[:, None] < rates[..., None], axis=2)
            else:
                hits = rng.binomial(pictures, rates)
            covered = 0
            for row in hits.tolist():
                low, high = Mean(tuple(range(seeds)), tuple(Rate(h, pictures) for h in row)).ends
                covered += low <= truth <= high
            assert covered >= 0.93 * REPEATS, (truth, deviation, covered)


# --------------------------------------------------------------------------------------------- other kinds of figures


def test_contrasts_are_the_published_ones() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 873-890, table II, method 10.
    assert Contrast(Rate(56, 70), Rate(48, 80)).ends == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert Contrast(Rate(9, 10), Rate(3, 10)).ends == pytest.approx((0.1705, 0.8090), abs=5e-5)
    assert Contrast(Rate(0, 10), Rate(0, 20)).ends == pytest.approx((-0.1611, 0.2775), abs=5e-5)
    assert Contrast(Rate(10, 10), Rate(0, 10)).ends == pytest.approx((0.6075, 1.0), abs=5e-5)
    nothing = Contrast(Rate(0, 0), Rate(1, 2))
    assert (nothing.value, nothing.ends) == (None, (-1, 1))


def test_what_is_left_of_a_rate_and_a_difference_the_other_way() -> None:
    assert Rate(3, 10).misses == Rate(7, 10)
    assert PairedDifference(5, 3, 1, 1).reversed == PairedDifference(5, 1, 3, 1)


def test_figures_are_numbers_where_numbers_are_wanted() -> None:
    figures: list[Interval] = [Rate(1, 4), Estimate(0.5, (0.4, 0.6)), Mean((1, 2), (Rate(3, 4), Rate(3, 4)))]
    assert [float(figure) for figure in figures] == [0.25, 0.5, 0.75]
    assert figures[0] < 0.3 <= figures[1] < figures[2] <= 0.75
    assert figures[2] > figures[1] >= figures[1]
    with pytest.raises(BadInput, match="no inputs"):
        float(Rate(0, 0))


@given(st.floats(0, 1))
def test_percent_never_rounds_to_the_ends(value: float) -> None:
    shown = percent(value)
    assert (shown == "100.00") == (value == 1)
    assert (shown == "0.00") == (value == 0)
    assert math.isclose(float(shown), 100 * value, abs_tol=0.0101)


def test_figures_in_words() -> None:
    assert str(Rate(59_964, 60_000)) == "99.94 % (99.92 to 99.96; 59,964 of 60,000)"
    assert str(Rate(0, 0)) == "no inputs (0 of 0)"
    assert str(Mean((1, 2), (Rate(1, 2), Rate(1, 2)))).endswith("2 of 4 in 2 seeds)")
    assert str(PairedDifference(5, 0, 1, 4)) == "\N{MINUS SIGN}10.00 points (\N{MINUS SIGN}31.99 to +14.34)"
    assert str(Estimate(0.931, (0.912, 0.948))) == "93.10 % (91.20 to 94.80; one seed)"
    assert str(Mean((1, 2), (Estimate(0.9, (0.9, 0.9)),) * 2)) == "90.00 % (90.00 to 90.00; 2 seeds)"
    assert str(Number(0.97)) == "0.97"
    assert str(Mean((1, 2), (Number(3), Number(3)))) == "3 (3 to 3)"
    assert (percent(None), points(None), points(-0.00001), points(0.0005)) == ("none", "none", "0.00", "+0.05")
