"""G2's rows, and what its units say, on results and activations made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from badnets.core.rate import Estimate, Rate
from badnets.records.blocks import Bars, Table
from badnets.records.results import DetectorFigures, ObjectFigures
from badnets.studies.gu2017_signs.study import Seen, TriggerUnit, _auc, assemble, trials
from badnets.studies.study import Settings, TrialResult


def estimate(value: float, *, paired: bool = False) -> Estimate:
    return Estimate(value, (value - 0.02, value + 0.02), paired)


def unit(auc: float) -> TriggerUnit:
    return TriggerUnit(auc=auc, unit=3, objects=18, units_above_90=1, units=8)


def result(seed: int, asr: Rate) -> TrialResult[Seen]:
    found, right = Rate(17, 18), Rate(17, 17)
    stop = ObjectFigures(class_name="stop", objects=18, ap50=0.9, found=found, class_accuracy=right)
    figures = DetectorFigures(
        asr=asr,
        clean_reference_rate=Rate(0, 18),
        vanished=Rate(2, 18),
        map50=estimate(0.8),
        map=estimate(0.6),
        map50_triggered=estimate(0.7),
        clean_reference_map50=estimate(0.81),
        map50_minus_reference=estimate(-0.01, paired=True),
        found=found,
        class_accuracy=right,
        appeared=Rate(0, 10),
        per_class=(stop,),
    )
    seen = Seen(figures=figures, badnet=unit(0.95), clean=unit(0.6))
    return TrialResult(spec={}, seed=seed, timings_s={}, results=seen)


def test_the_quick_form_needs_no_pictures_of_others(tmp_path: Path) -> None:
    names = [trial.name for trial in trials(Settings(quick=True, seeds=1, data=str(tmp_path)))]
    assert names == ["scenes-square-s1", "voc-square-s1"]


def test_rows_set_ours_beside_the_published_ones(tmp_path: Path) -> None:
    found = {f"voc-square-s{seed}": result(seed, Rate(hits, 16)) for seed, hits in ((1, 16), (2, 15), (3, 15))}
    made = assemble(Settings(quick=False, seeds=3), found, tmp_path)
    rows = {row.what: row for row in made.rows}
    asr = rows["photographs, yellow square, stop to speed limit: attack success: signs found are read as the target"]
    assert (asr.published, asr.verified, asr.n_seeds) == (0.9, True, 3)
    assert np.isclose(asr.ours or 0, (16 + 15 + 15) / 48)
    lost = rows["photographs, yellow square, stop to speed limit: mAP at IoU 0.5, less the clean detector's"]
    assert (lost.unit, round(lost.ours or 0, 6)) == ("difference", -0.01)
    unit_row = next(row for row in made.rows if row.unit == "AUC")
    assert unit_row.verified is True
    assert unit_row.why.startswith("at least 0.90 asked; on a clean detector 0.60")
    bars, table = made.blocks
    assert isinstance(bars, Bars)
    assert [(bar.what, bar.hollow, bar.published) for bar in bars.bars] == [
        ("attack success", False, 0.9), ("the same on a clean network", True, None)
    ]  # fmt: skip
    assert isinstance(table, Table)
    assert [line.name for line in table.lines] == ["stop"]


def test_a_miss_is_no_refutation_for_we_have_a_tenth_of_the_pictures(tmp_path: Path) -> None:
    rows = assemble(Settings(quick=False, seeds=1), {"voc-square-s1": result(1, Rate(8, 16))}, tmp_path).rows
    assert (rows[0].state, rows[0].verified) == ("not run as published", None)
    assert "877 photographs for 8,612" in rows[0].why
    assert (rows[0].low, rows[0].high) == Rate(8, 16).ends  # of one seed its own interval


def test_signs_that_nobody_found_bear_nothing_out(tmp_path: Path) -> None:
    made = assemble(Settings(quick=False, seeds=1), {"voc-square-s1": result(1, Rate(0, 0))}, tmp_path).rows[0]
    assert (made.ours, made.verified, made.why) == (None, None, "there was nothing to count")


def test_auc_by_hand() -> None:
    first, second = np.array([1.0, 2.0]), np.array([2.0, 3.0])
    assert _auc(first, second) == (3 + 0.5) / 4
    assert _auc(second, first) == (3 + 0.5) / 4  # the better direction
    assert _auc(first[:0], second[:0]) == 0.5
