"""From sizes to a verdict: laws, and numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.audits.grounds import matched, numbers_of, taught, within
from badnets.audits.statistic import excess, fused, named, rank_p, spacing_p, summaries, surprise, within_numbers

CLASSES = 8


def clean(seed: int, classes: int = CLASSES, spread: float = 0.1) -> np.ndarray:
    """Sizes of a clean network: sources and targets differ, pairs too, and all networks have the same ones."""
    kind = np.random.default_rng(0)
    sizes = -2 + 0.3 * kind.normal(size=(classes, 1)) + 0.3 * kind.normal(size=classes)
    sizes = sizes + spread * np.random.default_rng(seed + 1).normal(size=(classes, classes))
    np.fill_diagonal(sizes, np.nan)
    return np.asarray(sizes)


def planted(form: str, by: float = 1.2) -> np.ndarray:
    """The same with a backdoor of a form: sizes that are ``by`` smaller, as logarithms."""
    sizes = clean(999)
    if form == "all-to-one":
        sizes[:, 3] -= by
    elif form == "one-source":
        sizes[5, 2] -= by
    else:
        for source in range(CLASSES):
            sizes[source, (source + 1) % CLASSES] -= by
    return sizes


@pytest.mark.parametrize(
    ("form", "target", "source"), [("all-to-one", 3, None), ("one-source", 2, 5), ("all-to-all", None, None)]
)
def test_what_is_planted_is_named_against_references(form: str, target: int | None, source: int | None) -> None:
    judged = matched({"one": planted(form)}, [{"one": clean(seed)} for seed in range(19)])
    assert judged.p == pytest.approx(0.05)
    assert (judged.named.form, judged.named.target, judged.named.source) == (form, target, source)


@pytest.mark.parametrize(("form", "target"), [("all-to-one", 3), ("one-source", 2), ("all-to-all", None)])
def test_what_is_planted_is_named_against_copies(form: str, target: int | None) -> None:
    copies = [{"one": clean(seed)} for seed in (101, 102)]
    null = np.stack([numbers_of({"one": clean(seed)}, copies) for seed in range(20)])
    judged = taught({"one": planted(form)}, copies, null)
    assert judged.p == pytest.approx(1 / 21)
    assert (judged.named.form, judged.named.target) == (form, target)


def test_a_target_stands_out_within_its_own_network() -> None:
    null = np.stack([numbers_of({"one": clean(seed)}) for seed in range(20)])
    judged = within({"one": planted("all-to-one", 2.0)}, null)
    assert judged.p == pytest.approx(1 / 21)
    assert judged.named.target == 3


def test_a_clean_network_is_one_among_its_references() -> None:
    ps = [
        matched({"one": clean(seed)}, [{"one": clean(100 * seed + k)} for k in range(1, 20)]).p
        for seed in range(200, 240)
    ]
    assert 0.3 < np.mean(ps) < 0.7  # uniform
    assert sum(p <= 0.05 for p in ps) <= 7  # of 40, two are expected


def test_more_robust_everywhere_is_no_surprise() -> None:
    references = [{"one": clean(seed)} for seed in range(19)]
    suspect = clean(50)
    same = matched({"one": suspect}, references)
    moved = matched({"one": suspect - 0.7}, references)
    assert moved.p > 0.05
    assert moved.spread > 5 > same.spread


def test_surprise_by_hand() -> None:
    """Three networks, 1 x 2 sizes: the first's target 1 is one below the others' mean of 0 and 0, whose deviation is
    the floor."""
    sizes = np.array([[[0.0, -1.0]], [[0.0, 0.0]], [[0.0, 0.0]]])
    assert surprise(sizes)[0, 0, 0] == pytest.approx(0)
    assert surprise(sizes)[0, 0, 1] == pytest.approx(1 / 0.05)


def test_two_classes_are_compared() -> None:
    def of(seed: int) -> dict[str, np.ndarray]:
        return {"one": clean(seed, classes=2)}

    small = of(77)
    small["one"][0, 1] -= 3
    judged = matched(small, [of(seed) for seed in range(19)])
    assert judged.p == pytest.approx(0.05)
    assert judged.named.target == 1


def test_excess_takes_rows_out_and_leaves_columns() -> None:
    rows, columns = np.array([[1.0], [2.0], [4.0]]), np.array([[0.0, 0.0, -1.0]])
    left = excess((rows + columns)[None])[0]
    assert left == pytest.approx(np.array([[0, 0, 1.0]] * 3))


def test_summaries_by_hand() -> None:
    scores = np.array([[[np.nan, 1.0, 5.0], [2.0, np.nan, 7.0], [9.0, 4.0, np.nan]]])
    # the largest pair; the largest of the medians of 2 and 9, 1 and 4, 5 and 7; and each source with a target of its
    # own sums to the most as 1, 7, 9: the lower quartile of these
    assert summaries(scores)[0].tolist() == [9.0, 6.0, 4.0]


def test_a_target_of_all_does_not_look_like_all_to_all() -> None:
    scores = np.zeros((6, 6))
    scores[:, 2] = 9.0
    np.fill_diagonal(scores, np.nan)
    assert summaries(scores[None])[0].tolist() == [9.0, 9.0, 0.0]


def test_classes_without_pictures_are_left_out() -> None:
    scores = np.full((4, 4), np.nan)
    scores[1] = [3.0, np.nan, 1.0, 2.0]
    numbers = within_numbers(scores)
    assert np.isfinite(numbers).all()
    usual = np.zeros((5, 3))
    assert named(scores, numbers, usual).target == 0


def test_fused_is_the_number_that_stands_out_most() -> None:
    numbers = np.array([[5.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.5, 0.5]])
    assert fused(numbers).argmax() == 0
    assert len(fused(numbers)) == 4


@given(st.floats(-5, 5), st.lists(st.floats(-5, 5), min_size=1, max_size=30))
def test_p_is_the_share_that_is_at_least_as_large(suspect: float, others: list[float]) -> None:
    p = rank_p(suspect, np.array(others))
    assert 1 / (len(others) + 1) <= p <= 1
    assert p == pytest.approx((1 + sum(one >= suspect for one in others)) / (len(others) + 1))


@pytest.mark.parametrize("tail", ["exponential", "normal", "gumbel"])
def test_a_class_among_many_is_called_seldom_where_tails_are_light(tail: str) -> None:
    rng = np.random.default_rng(0)
    draws = {"exponential": rng.exponential, "normal": rng.normal, "gumbel": rng.gumbel}[tail](size=(2000, 300))
    below = np.mean([spacing_p(one) <= 0.05 for one in draws])
    assert below < 0.07  # 0.05 is exact for the exponential; the others' distances shrink more


def test_spacing_by_hand() -> None:
    """Distances times ranks are 6, 1, 1: the first is six times the usual, and (1 + 6 / 2) ** -2 is 1 / 16."""
    values = np.array([6 + 1 / 2 + 1 / 3, 1 / 2 + 1 / 3, 1 / 3, 0.0])
    assert spacing_p(values) == pytest.approx(1 / 16)


@pytest.mark.parametrize(
    ("scores", "step"), [([5.0, 1, 0, 0, 0], 4.0), ([5.0, 4.5, 1, 0, 0], 3.5), ([4.0, 3, 2, 1, 0], 1.0)]
)
def test_the_widest_step_below_the_first_targets(scores: list[float], step: float) -> None:
    """One target, two targets, and classes that differ evenly."""
    assert within_numbers(np.array([scores]))[1] == pytest.approx(step)
