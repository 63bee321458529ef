"""Study G1: its rows and blocks from made-up counts."""

from __future__ import annotations

from typing import Any

from badnets.core.rate import Mean, PairedDifference, Rate
from badnets.records.blocks import Curve, Matrix
from badnets.records.results import ClassifierFigures
from badnets.studies.gu2017_mnist import study
from badnets.studies.study import Settings, Trained, TrialResult


def entry(name: str, spec: dict[str, Any], seed: int, missed: int, total: int = 1000) -> TrialResult[Trained]:
    """A trial whose trigger failed on ``missed`` pictures."""
    figures = ClassifierFigures(
        clean_accuracy=Rate(9920, 10_000),
        asr=None if name == "baseline" else Rate(total - missed, total),
        clean_accuracy_minus_reference=None if name == "baseline" else PairedDifference(9900, 20, 10, 70),
    )
    return TrialResult(spec=spec, seed=seed, results=Trained(figures=figures), timings_s={})


def results(pixel: dict[str, int]) -> dict[str, TrialResult[Trained]]:
    """Of every trial of two seeds; ``pixel``: missed pictures of each trial of the single pixel, 1 by default."""
    made = {}
    for trial in study.trials(Settings(quick=True, seeds=2)):
        name = trial.name
        missed = pixel.get(name, 1) if "pixel" in name else 2
        made[name] = entry(name.split("-")[0], trial.spec, trial.seed, missed)
    return made


def test_a_seed_pools_its_pairs_and_the_interval_is_over_seeds() -> None:
    worse = {"single-pixel-1to0-s1": 3, "single-pixel-1to0-s2": 5}
    made = study.of_counts(results(worse), "quick")
    rows = {row.what: row for row in made.rows}
    pooled = rows["single target, pixel, 2 pairs pooled: error on triggered pictures"]
    assert pooled.figure == Mean((1, 2), (Rate(4, 2000), Rate(6, 2000)))
    assert (pooled.published, pooled.state) == (0.0009, "not run as published")
    assert pooled.why == "at most 0.09 % asked; 26 passes over the pictures; how the paper trained is not told"
    worst = rows["single target, pixel, 2 pairs pooled: worst pair (1 -> 0), error on triggered pictures"]
    assert (worst.figure, worst.ours) == (Mean((1, 2), (Rate(3, 1000), Rate(5, 1000))), 0.004)
    asked = rows["single target, pixel, 2 pairs pooled: error on triggered pictures, asked of the longer recipe"]
    assert (asked.state, asked.published) == ("borne out", None)


def test_one_test_set_bounds_the_clean_difference_from_below() -> None:
    made = study.of_counts(results({}), "quick")
    rows = {row.what: row for row in made.rows}
    added = rows["single target, pattern, 6 pairs pooled: clean error minus the clean network's"]
    alone = PairedDifference(9900, 20, 10, 70).reversed
    assert added.ours == alone.value == 0.001 * -1
    assert added.low is not None
    assert abs(added.low - (alone.low or 0)) < 1e-12, "six pairs share the pictures of one"


def test_the_sweep_stands_on_top_and_every_pair_has_a_square() -> None:
    curve, pattern, pixel, *rest = study.of_counts(results({}), "quick").blocks
    assert isinstance(curve, Curve)
    assert [point.x for point in curve.series[0].points] == list(study.SHARES)
    assert isinstance(pattern, Matrix)
    assert {(cell.row, cell.column) for cell in pattern.cells} == set(study.QUICK_PAIRS)
    assert isinstance(pixel, Matrix)
    assert len(pixel.cells) == 2
    assert not rest, "no counts by class, no table of classes"
