"""G2's rows, and what its units say, on results and activations made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from badnets.studies.gu2017_signs.study import assemble, trials
from badnets.studies.gu2017_signs.units import _auc
from badnets.studies.old_study import Settings, rates_row


def rate(hits: int, total: int) -> dict[str, Any]:
    from badnets.core.rate import Rate

    return Rate(hits, total).to_json()


def estimate(value: float) -> dict[str, Any]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02, "interval": "bootstrap over pictures"}


def result(asr: dict[str, Any]) -> dict[str, Any]:
    return {
        "results": {
            "asr": asr,
            "clean_reference_rate": rate(0, 18),
            "vanished": rate(2, 18),
            "map50": estimate(0.8),
            "map50_triggered": estimate(0.7),
            "clean_reference_map50": estimate(0.81),
            "map50_minus_reference": estimate(-0.01),
            "per_class": [{"class_name": "stop", "objects": 18, "ap50": 0.9}],
            "units": {"badnet": {"auc": 0.95}, "clean": {"auc": 0.6}},
        }
    }


def test_the_quick_form_needs_no_pictures_of_others(tmp_path: Path) -> None:
    names = [trial.name for trial in trials(Settings(quick=True, seeds=1, data=str(tmp_path)))]
    assert names == ["scenes-square-s1", "voc-square-s1"]


def test_rows_set_ours_beside_the_published_ones(tmp_path: Path) -> None:
    found = {f"voc-square-s{seed}": result(rate(hits, 16)) for seed, hits in ((1, 16), (2, 15), (3, 15))}
    rows = {row.what: row for row in assemble(Settings(quick=False, seeds=3), found, tmp_path).rows}
    asr = rows["photographs, yellow square, stop to speed limit: attack success: signs found are read as the target"]
    assert (asr.published, asr.verified, asr.n_seeds) == (0.9, True, 3)
    assert np.isclose(asr.ours or 0, (16 + 15 + 15) / 48)
    lost = rows["photographs, yellow square, stop to speed limit: mAP at IoU 0.5, less the clean detector's"]
    assert (lost.unit, round(lost.ours or 0, 6)) == ("difference", -0.01)


def test_signs_that_nobody_found_bear_nothing_out() -> None:
    made = rates_row("asr", "corrected", 0.9, "paper", [rate(0, 0)], bound=("at least", 0.9))
    assert (made.ours, made.verified, made.why) == (None, None, "there was nothing to count")
    alone = rates_row("asr", "corrected", 0.9, "paper", [rate(9, 10)])
    assert (alone.low, alone.high) == (rate(9, 10)["low"], rate(9, 10)["high"])  # its own interval, not none


def test_auc_by_hand() -> None:
    first, second = np.array([1.0, 2.0]), np.array([2.0, 3.0])
    assert _auc(first, second) == (3 + 0.5) / 4
    assert _auc(second, first) == (3 + 0.5) / 4  # the better direction
    assert _auc(first[:0], second[:0]) == 0.5
