"""Study L1: its trials, and its rows from made-up results."""

from __future__ import annotations

from pathlib import Path

from badnets.core.rate import Rate
from badnets.records.blocks import Curve, Table
from badnets.records.certificate import Standing
from badnets.studies.rain2020_finepruning import study
from badnets.studies.study import Settings, TrialResult


def rate(value: float) -> Rate:
    return Rate(round(100 * value), 100)


def attack(asr: float, pruned: float, tuned: float) -> study.Attacked:
    def standing(success: float) -> Standing:
        return Standing(clean_accuracy=rate(0.97), asr=rate(success), robust_accuracy=rate(1 - success))

    left = {"prune": pruned, "fine-tune": tuned, "fine-prune": tuned}
    return study.Attacked(
        before=standing(asr),
        reference=standing(0.0),
        curve=tuple(study.Step(channels=n, asr=rate(asr), test=rate(0.97), select=rate(0.96)) for n in range(3)),
        repairs={name: study.Cured(after=standing(value), chosen="so", seconds=1.0) for name, value in left.items()},
    )


def test_all_widths_and_the_nine_classes_are_there() -> None:
    trials = study.trials(Settings(quick=False, seeds=3))
    assert [trial.name for trial in trials] == [
        "width-1.0-s1", "width-1.0-s2", "width-1.0-s3", "width-0.5-s1", "width-2.0-s1",
    ]  # fmt: skip
    assert trials[0].spec["data"]["options"]["classes"].count(",") == 8


def test_rows_judge_the_pruning_aware_attack_at_the_main_width_only() -> None:
    fight = study.Fight(standard=attack(1.0, 0.4, 0.1), aware=attack(1.0, 0.95, 0.3))
    results = {
        f"width-{width}-s{seed}": TrialResult(spec={}, seed=seed, results=fight, timings_s={})
        for width, seed in (("1.0", 1), ("1.0", 2), ("2.0", 1))
    }
    made = study.assemble(Settings(quick=False, seeds=2), results, Path())
    by_name = {row.what: row for row in made.rows}
    stays = by_name["pruning-aware attack: attack success after pruning to a drop of 5 points"]
    assert (stays.verified, stays.n_seeds, stays.ours) == (True, 2, 0.95)
    half = by_name["pruning-aware attack: attack success after fine-pruning, as a share of that after pruning"]
    assert half.verified
    assert half.ours is not None
    assert abs(half.ours - 0.3 / 0.95) < 1e-9
    assert half.high is not None
    assert half.high > half.ours, "two equal seeds are no certainty"
    pruned = by_name["standard attack: attack success after pruning to a drop of 5 points"]
    assert (pruned.state, pruned.why) == (
        "not run as published",
        "4 passes over the pictures instead of 100; the report: pruning takes a lot of it",
    )
    wide = by_name["width x2, pruning-aware attack: attack success after pruning to a drop of 5 points"]
    assert wide.verified is None
    *curves, table = made.blocks
    attacks = ("standard attack", "pruning-aware attack")
    assert [block.title for block in curves] == [f"{a}, width x{w}" for w in (1, 2) for a in attacks]
    assert isinstance(curves[1], Curve)
    assert [point.x for point in curves[1].series[0].points] == [0, 1, 2]
    assert isinstance(table, Table)
    assert [line.name for line in table.lines[:2]] == ["no repair", "pruning to a drop of 5 points"]


def test_trials_are_read_back_as_they_were_written() -> None:
    fight = study.Fight(standard=attack(1.0, 0.4, 0.1), aware=attack(1.0, 0.95, 0.3))
    assert study.Fight.model_validate(fight.to_json()) == fight
