"""Study L1: its trials, and its rows from made-up results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from badnets.studies.old_study import Settings
from badnets.studies.rain2020_finepruning import study


def rate(value: float) -> dict[str, float]:
    return {"value": value}


def attack(asr: float, pruned: float, tuned: float) -> dict[str, Any]:
    def answers(success: float) -> dict[str, Any]:
        return {"clean_accuracy": rate(0.97), "asr": rate(success), "robust_accuracy": rate(1 - success)}

    curve = [{"channels": n, "asr": rate(asr), "test": rate(0.97), "select": rate(0.96)} for n in range(3)]
    repaired = {"prune": pruned, "fine-tune": tuned, "fine-prune": tuned}
    return {
        "before": answers(asr),
        "reference": answers(0.0),
        "curve": curve,
        **{name: {"after": answers(value), "chosen": "so", "seconds": 1.0} for name, value in repaired.items()},
    }


def test_all_widths_and_the_nine_classes_are_there() -> None:
    trials = study.trials(Settings(quick=False, seeds=3))
    assert [trial.name for trial in trials] == [
        "width-1.0-s1", "width-1.0-s2", "width-1.0-s3", "width-0.5-s1", "width-2.0-s1",
    ]  # fmt: skip
    assert trials[0].spec["data"]["options"]["classes"].count(",") == 8


def test_rows_judge_the_pruning_aware_attack_at_the_main_width_only() -> None:
    found = {
        f"width-{width}-s{seed}": {"results": {"standard": attack(1.0, 0.4, 0.1), "aware": attack(1.0, 0.95, 0.3)}}
        for width, seed in (("1.0", 1), ("1.0", 2), ("2.0", 1))
    }
    made = study.assemble(Settings(quick=False, seeds=2), found, Path())
    by_name = {row.what: row for row in made.rows}
    stays = by_name["pruning-aware attack: attack success after pruning to a drop of 5 points"]
    assert (stays.verified, stays.n_seeds, stays.ours) == (True, 2, 0.95)
    half = by_name["pruning-aware attack: attack success after fine-pruning, as a share of that after pruning"]
    assert half.verified
    assert half.ours is not None
    assert abs(half.ours - 0.3 / 0.95) < 1e-9
    wide = by_name["width x2, pruning-aware attack: attack success after pruning to a drop of 5 points"]
    assert wide.verified is None
    assert set(made.figures["pruning"]) == {f"{a}, width x{w}" for a in ("standard", "aware") for w in (1, 2)}
    assert [point["channels"] for point in made.figures["pruning"]["aware, width x1"]] == [0, 1, 2]
