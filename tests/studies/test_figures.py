"""Figures over seeds, what bears a published figure out, and rows and blocks made of a study.toml."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.rate import Interval, Mean, Number, PairedDifference, Rate, over_seeds
from badnets.records.blocks import Column
from badnets.records.results import ClassifierFigures
from badnets.records.study import State, StudyRow
from badnets.studies.figures import (
    Bound,
    claim_rows,
    figure_curve,
    figure_table,
    parts_at,
    rates,
    row,
    seed_mean,
    table_line,
    value_at,
)
from badnets.studies.study import Refused, Trained, TrialResult


def trial(seed: int, hits: int, total: int = 10) -> TrialResult[Trained]:
    figures = ClassifierFigures(clean_accuracy=Rate(9, 10), asr=Rate(hits, total))
    return TrialResult(spec={}, seed=seed, results=Trained(figures=figures), timings_s={})


def test_a_row_has_the_value_and_the_interval_of_its_figure() -> None:
    figure = Mean((1, 2, 3), (Rate(98, 100), Rate(99, 100), Rate(100, 100)))
    made = row("w", figure, variant="published", published=0.99, source="paper", bound=("at least", 0.98))
    assert (made.ours, made.low, made.high) == (figure.value, figure.low, figure.high)
    assert made.high is not None
    assert made.high <= 1.0  # a rate's interval ends at 1
    assert (made.n_seeds, made.state, made.verified, made.why) == (3, "borne out", True, "at least 98.00 % asked")
    written = json.loads(json.dumps(made.to_json()))
    assert written["published_source"] == "paper"
    assert StudyRow.model_validate(written) == made


def test_a_difference_may_be_below_0_and_is_asked_for_in_points() -> None:
    figure = over_seeds((1, 2), (PairedDifference(900, 0, 1, 99), PairedDifference(900, 2, 0, 98)))
    made = row("w", figure, variant="quick", bound=("at most", 0.0017))
    assert made.unit == "difference"
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
    assert row("w", Number(value), variant="published", published=0.9, bound=bound).verified is held


@pytest.mark.parametrize(
    ("hits", "bound", "shorter", "state", "why"),
    [
        (90, ("at least", 0.8), "", "borne out", "at least 80.00 % asked"),
        (90, ("at least", 0.8), "4 passes", "borne out", "at least 80.00 % asked; 4 passes"),
        (70, ("at least", 0.8), "", "not borne out", "at least 80.00 % asked"),
        (70, ("at least", 0.8), "4 passes", "not run as published", "at least 80.00 % asked; 4 passes"),
        (70, None, "4 passes", "not run as published", "4 passes"),
        (70, None, "", "not judged", ""),
    ],
)
def test_a_no_is_earned(hits: int, bound: Bound | None, shorter: str, state: State, why: str) -> None:
    """What was not run as published does not refute it."""
    made = row("w", Rate(hits, 100), variant="published", published=0.8, bound=bound, not_as_published=shorter)
    assert (made.state, made.why) == (state, why)


def test_a_reason_of_its_own_stays() -> None:
    def why(figure: Interval, bound: Bound | None, why: str = "") -> str:
        return row("w", figure, variant="published", published=0.9, bound=bound, why=why).why

    assert why(Rate(9, 10), ("at least", 0.8), "doubtful") == "doubtful"
    assert why(Rate(9, 10), ("about", 0.995)) == "within 0.5 points of 99.50 % asked"
    assert why(Rate(9, 10), None) == ""


def test_a_count_of_nothing_bears_nothing_out() -> None:
    for figure in (None, Rate(0, 0)):
        made = row("w", figure, variant="published", published=0.0009, source="paper", bound=("at most", 0.0009))
        assert (made.ours, made.low, made.high, made.verified) == (None, None, None, None)
        assert made.state == "not judged"
        assert made.why == "there was nothing to count"


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6))
def test_intervals_of_rates_hold_their_mean_and_stay_in_range(hits: list[int]) -> None:
    made = row(
        "w", seed_mean([trial(seed, one, 50) for seed, one in enumerate(hits)], "figures.asr"), variant="published"
    )
    assert made.ours is not None
    assert made.low is not None
    assert made.high is not None
    assert -1e-12 <= made.low <= made.ours + 1e-12 <= made.high + 2e-12 <= 1 + 3e-12
    assert made.low < made.high, "no certainty from a few pictures"


def test_a_figure_that_a_seed_lacks_is_no_figure() -> None:
    assert seed_mean([trial(1, 3), trial(2, 4)], "figures.leak") is None
    assert seed_mean([], "figures.asr") is None
    assert seed_mean([trial(3, 4)], "figures.asr") == Rate(4, 10)
    assert seed_mean([trial(3, 4)], lambda results: results.figures.asr.misses) == Rate(6, 10)


def test_a_path_leads_through_fields_entries_and_parts() -> None:
    results = {
        "repairs": {"clp": Refused(refused="no batch norm"), "prune": trial(1, 3).results},
        "strengths": {20: (7, 8)},
    }
    assert value_at(results, "repairs.prune.figures.asr.misses") == Rate(7, 10)
    assert value_at(results, "strengths.20.1") == 8
    assert value_at(results, "repairs.anp.figures") is None
    assert value_at(results, "repairs.clp.figures") is None, "what was refused has no figures"


def test_a_method_that_one_trial_refuses_has_no_figures() -> None:
    trials = [TrialResult(spec={}, seed=1, results={"a": trial(1, 3).results}, timings_s={})] * 2
    refused = TrialResult(spec={}, seed=3, results={"a": Refused(refused="no batch norm")}, timings_s={})
    assert seed_mean(parts_at(trials, "a"), "figures.asr").counts == (6, 20)
    assert parts_at([*trials, refused], "a") == Refused(refused="no batch norm")
    assert parts_at(trials, "b") == Refused(refused=""), "it is not there"


def test_rows_of_shares_and_what_is_said_of_them() -> None:
    words = {"clean_accuracy": "clean accuracy", "asr": "attack success"}
    claims = {"asr": {"source": "paper", "published": 1.0, "bound": ("at least", 0.3)}}
    clean, asr = rates([trial(1, 3), trial(2, 5)], "w", words, variant="corrected", claims=claims, source="other")
    assert (clean.what, clean.published_source, clean.state) == ("w: clean accuracy", "other", "not judged")
    assert (asr.what, asr.published_source, asr.ours, asr.state) == ("w: attack success", "paper", 0.4, "borne out")
    assert rates([], "w", words, variant="corrected") == []


def test_plain_numbers_have_the_interval_of_their_spread() -> None:
    one = row("w", 3, variant="corrected", unit="units of 8")
    assert (one.ours, one.low, one.high, one.unit) == (3.0, None, None, "units of 8")
    trials = [TrialResult(spec={}, seed=s, results={"units": 2 * s + 1}, timings_s={}) for s in (1, 2)]
    two = row("w", seed_mean(trials, "units"), variant="corrected")
    assert (two.ours, two.n_seeds) == (4.0, 2)
    assert two.low is not None
    assert two.low < 3


def test_claims_tables_and_curves_of_a_study_toml() -> None:
    trials = [trial(1, 3), trial(2, 5)]
    claim = {"figure": "figures.asr.misses", "words": "error", "published": 0.5, "bound": ["at most", 0.7]}
    (one,) = claim_rows("w: ", [claim], trials, variant="quick", source="paper")
    assert (one.what, one.ours, one.state, one.published_source) == ("w: error", 0.6, "borne out", "paper")
    (none,) = claim_rows("w: ", [claim], {"figures.asr.misses": None}, variant="quick")
    assert (none.ours, none.why) == (None, "there was nothing to count")
    table = {"title": "t", "rows": "r", "columns": [{"name": "asr", "better": "low", "figure": "figures.asr"}]}
    made = figure_table(table, [table_line(table, "x", trials), table_line(table, "y", Refused(refused="no"), "g")])
    assert made.columns == (Column(name="asr", better="low"),)
    assert [(line.name, line.group, line.note) for line in made.lines] == [("x", "", ""), ("y", "g", "no")]
    assert [float(cell) for cell in made.lines[0].cells] == [0.4]
    lines = [{"name": "attack success", "role": "triggered", "figure": "figures.asr"}]
    curve = figure_curve({"title": "t", "axis": "a", "series": lines}, {0.1: trials, 0.2: []})
    assert [(point.x, float(point.figure)) for point in curve.series[0].points] == [(0.1, 0.4)]
