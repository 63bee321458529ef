"""A study's figures as text."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.records.study import State, StudyRow
from badnets.report.words.values import interval_ends, show_ours, show_value, verdict_word


def row(**changes: Any) -> StudyRow:
    plain = {"what": "x", "variant": "corrected", "published": None, "published_source": "", "state": "borne out",
             "why": "", "unit": "rate", "ours": 0.9952, "low": 0.9941, "high": 0.996, "n_seeds": 5}  # fmt: skip
    return StudyRow(**{**plain, **changes})


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.9952, "rate", "99.52 %"),
        (0.00001, "rate", "0.01 %"),  # never rounded down to none
        (0.0017, "difference", "+0.17 points"),
        (-0.0003, "difference", "\N{MINUS SIGN}0.03 points"),
        (-1e-9, "difference", "0.00 points"),
        (1.0, "yes or no", "yes"),
        (0.0, "yes or no", "no"),
        (4.0, "filters of 16", "4"),
        (None, "rate", "-"),
    ],
)
def test_values(value: float | None, unit: str, shown: str) -> None:
    assert show_value(value, unit) == shown


def test_ours_has_its_interval() -> None:
    assert show_ours(row()) == "99.52 % (99.41 to 99.60)"
    difference = row(unit="difference", ours=0.0002, low=-0.0004, high=0.0008)
    assert show_ours(difference) == "+0.02 points (\N{MINUS SIGN}0.04 to +0.08)"


def test_one_value_of_one_seed_shows_no_interval() -> None:
    assert show_ours(row(low=0.9952, high=0.9952, n_seeds=1)) == "99.52 %"
    assert show_ours(row(ours=1.0, low=1.0, high=1.0)) == "100.00 % (100.00 to 100.00)"  # five seeds that agree
    assert show_ours(row(n_seeds=1)) == "99.52 % (99.41 to 99.60)"  # one count has Wilson's
    assert interval_ends(row(unit="yes or no")) is None
    assert show_ours(row(ours=None)) == "-"


def test_verdicts() -> None:
    words = [verdict_word(row(state=s, published=0.9)) for s in get_args(State)]
    assert words == ["yes", "no", "not run as published", "not judged"]
    assert verdict_word(row(state="not judged")) == "nothing published"


@given(st.floats(0, 1))
def test_a_rate_is_certain_only_where_it_is(value: float) -> None:
    shown = show_value(value, "rate")
    assert (shown == "100.00 %") == (value == 1)
    assert (shown == "0.00 %") == (value == 0)
