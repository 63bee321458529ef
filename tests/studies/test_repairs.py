"""The comparison of repairs: one small trial from end to end, and how its rows are judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from badnets.core.files import read_json
from badnets.studies.old_study import Settings, Trial
from badnets.studies.repairs import study as repairs


def test_every_badnet_meets_every_method_with_every_seed() -> None:
    found = repairs.trials(Settings(quick=False, seeds=5))
    assert len(found) == len({trial.name for trial in found}) == 20
    assert "unlearn" not in found[0].spec["repairs"], "it must be told the trigger"
    assert {"prune", "fine-tune", "fine-prune", "clp"} <= set(found[0].spec["repairs"])
    assert [trial.name for trial in repairs.trials(Settings(quick=True, seeds=1))] == ["mnist-pattern-s1"]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    spec = {
        "data": {"name": "digits"},
        "network": "resnet9:width=4",
        "recipe": {"epochs": 2},
        "backdoor": {
            "trigger": {"kind": "pattern"},
            "rule": {"kind": "all-to-one", "target": 0},
            "poison": {"rate": 0.1},
        },
        "repairs": ["prune", "clp"],
        "abstainers": ["agreement"],
        "share": 0.2,
    }
    own = tmp_path_factory.mktemp("trial")
    trial = Trial(name="mnist-pattern-s1", spec=spec, seed=1, work=repairs._one)
    return {trial.name: {"spec": spec, "seed": 1, **repairs._one(trial, own)}}, own


def test_a_trial_measures_both_networks_and_keeps_each_method(outcome: tuple[dict[str, Any], Path]) -> None:
    results, own = outcome
    found = results["mnist-pattern-s1"]["results"]
    for method, entry in found["repairs"].items():
        assert read_json(own / f"repairs-{method}.json") == entry
        for network in ("bad", "clean"):
            assert entry[network]["after"]["clean_accuracy"]["total"] == 359
        assert entry["reactivation"]["poisoned_pictures"] == 10
        assert entry["bad"]["before"]["asr"] == found["trained"]["asr"], "the same network, measured in the same way"


def test_rows_say_who_cures_and_who_does_not(outcome: tuple[dict[str, Any], Path]) -> None:
    results, _ = outcome
    made = repairs.assemble(Settings(quick=True, seeds=1), results, Path())
    what = [row.what for row in made.rows]
    assert what[0] == "mnist-pattern: attack success before any repair"
    assert "mnist-pattern, clp: attack success afterwards" in what
    assert any("abstainer agreement" in name for name in what)
    assert all(row.verified in (True, False) for row in made.rows[1:])


def _entry(asr: float, lost: float, robust: float) -> dict[str, Any]:
    def rate(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.01, "high": value + 0.01}

    after = {"clean_accuracy": rate(0.99 - lost), "asr": rate(asr), "robust_accuracy": rate(robust)}
    side = {"after": after, "difference": {"clean_accuracy": rate(-lost)}, "seconds": 1.0}
    return {"bad": side, "clean": side, "reactivation": None}


@pytest.mark.parametrize(
    ("asr", "lost", "robust", "cured"),
    [
        (0.019, 0.009, 0.95, True),
        (0.021, 0.0, 0.98, False),
        (0.0, 0.011, 0.97, False),
        (0.0, 0.0, 0.93, False),  # a low attack success with a low robust accuracy is no cure
    ],
)
def test_a_cure_needs_all_three(asr: float, lost: float, robust: float, cured: bool) -> None:
    row, figures = repairs._repair_line("x", "y", [_entry(asr, lost, robust)], "corrected")
    assert row.verified is figures["cured"] is cured
    assert (row.low, row.high) == (asr - 0.01, asr + 0.01), "of one seed, its own interval"


def test_a_method_that_does_not_fit_is_a_row_without_a_figure() -> None:
    row, _ = repairs._repair_line("x", "ibd", [{"refused": "expected a network with batch norm, got none"}], "quick")
    assert (row.ours, row.verified, row.n_seeds) == (None, None, 0)
    assert "batch norm" in row.why
