"""The comparison of repairs: one small trial from end to end, and how its rows are judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from badnets.core.files import read_json
from badnets.core.rate import PairedDifference, Rate
from badnets.records.blocks import Line, Table
from badnets.records.certificate import Change, Standing
from badnets.records.results import ClassifierFigures
from badnets.studies.figures import parts_at, table_line
from badnets.studies.repairs import study as repairs
from badnets.studies.repairs.study import Abstained, Compared, Side, Tried
from badnets.studies.study import Refused, Settings, Trial, TrialResult


def test_every_badnet_meets_every_method_with_every_seed() -> None:
    found = repairs.trials(Settings(quick=False, seeds=5))
    assert len(found) == len({trial.name for trial in found}) == 20
    assert "unlearn" not in found[0].spec["repairs"], "it must be told the trigger"
    assert {"prune", "fine-tune", "fine-prune", "clp"} <= set(found[0].spec["repairs"])
    assert [trial.name for trial in repairs.trials(Settings(quick=True, seeds=1))] == ["mnist-pattern-s1"]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, TrialResult[Compared]], Path]:
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
    trial = Trial(name="mnist-pattern-s1", spec=spec, seed=1, work=repairs._one, result=Compared)
    done = repairs._one(trial, own)
    return {trial.name: TrialResult(spec=spec, seed=1, results=done.results, timings_s=done.timings_s)}, own


def test_a_trial_measures_both_networks_and_keeps_each_method(
    outcome: tuple[dict[str, TrialResult[Compared]], Path],
) -> None:
    results, own = outcome
    found = results["mnist-pattern-s1"].results
    for method, entry in found.repairs.items():
        assert isinstance(entry, Tried)
        assert Tried.model_validate(read_json(own / f"repairs-{method}.json")) == entry
        for side in (entry.bad, entry.clean):
            assert (side.after.clean_accuracy.counts or (0, 0))[1] == 359
        assert entry.reactivation is not None
        assert entry.reactivation.poisoned_pictures == 10
        assert entry.bad.before.asr == found.trained.asr, "the same network, measured in the same way"
    assert Compared.model_validate(found.to_json()) == found, "what is written is read back"


def test_rows_say_who_cures_and_who_does_not(outcome: tuple[dict[str, TrialResult[Compared]], Path]) -> None:
    results, _ = outcome
    made = repairs.assemble(Settings(quick=True, seeds=1), results, Path())
    what = [row.what for row in made.rows]
    assert what[0] == "mnist-pattern: attack success before any repair"
    assert "mnist-pattern, clp: attack success afterwards" in what
    assert any("abstainer agreement" in name for name in what)
    assert all(row.verified in (True, False) for row in made.rows[1:])
    table, abstainers = made.blocks
    assert isinstance(table, Table)
    assert [(line.group, line.name) for line in table.lines] == [("mnist-pattern", "prune"), ("mnist-pattern", "clp")]
    assert all(len(line.cells) == len(table.columns) for line in table.lines)
    assert isinstance(abstainers, Table)
    assert [line.name for line in abstainers.lines] == ["agreement"]


def line(family: str, method: str, trials: list[TrialResult[Compared]]) -> Line:
    return table_line(repairs.FACTS["tables"][family], method, parts_at(trials, f"{family}.{method}"), "x")


def trials(*entries: Tried | Refused) -> list[TrialResult[Compared]]:
    trained = ClassifierFigures(clean_accuracy=Rate(990, 1000), asr=Rate(1000, 1000))
    return [
        TrialResult(
            spec={}, seed=seed, timings_s={}, results=Compared(trained=trained, repairs={"y": entry}, abstainers={})
        )
        for seed, entry in enumerate(entries, 1)
    ]


def tried(asr: int, lost: int, robust: int) -> Tried:
    """Of a thousand pictures."""
    before = Standing(clean_accuracy=Rate(990, 1000))
    after = Standing(clean_accuracy=Rate(990 - lost, 1000), asr=Rate(asr, 1000), robust_accuracy=Rate(robust, 1000))
    change = Change(clean_accuracy=PairedDifference(990 - lost, 0, lost, 10))
    side = Side(before=before, after=after, difference=change, chosen="", seconds=1.0, steps=1)
    return Tried(bad=side, clean=side, reactivation=None)


@pytest.mark.parametrize(
    ("asr", "lost", "robust", "cured"),
    [
        (19, 9, 950, True),
        (21, 0, 980, False),
        (0, 11, 970, False),
        (0, 0, 930, False),  # a low attack success with a low robust accuracy is no cure
    ],
)
def test_a_cure_needs_all_three(asr: int, lost: int, robust: int, cured: bool) -> None:
    shown = line("repairs", "y", trials(tried(asr, lost, robust)))
    row = repairs.repair_row(shown, "corrected")
    assert row.verified is cured
    assert (row.low, row.high) == Rate(asr, 1000).ends, "of one seed, its own interval"
    assert f"clean accuracy lost {lost / 10:.2f} points, at most 1 asked" in row.why
    assert shown.cells[1] == PairedDifference(990 - lost, lost, 0, 10), "what is lost, not what is gained"
    assert shown.cells[4:6] == (None, None), "it could not be re-tuned"


def test_three_zeros_in_three_seeds_are_no_proof_of_nothing() -> None:
    row = repairs.repair_row(line("repairs", "y", trials(*[tried(0, 0, 980)] * 3)), "corrected")
    assert (row.ours, row.n_seeds) == (0.0, 3)
    assert row.high == pytest.approx(Rate(0, 1000).ends[1])


def test_a_method_that_does_not_fit_is_a_row_without_a_figure() -> None:
    refused = Refused(refused="expected a network with batch norm, got none")
    shown = line("repairs", "y", trials(tried(0, 0, 980), refused))
    row = repairs.repair_row(shown, "quick")
    assert (row.ours, row.verified, row.n_seeds) == (None, None, 0)
    assert "batch norm" in row.why
    assert shown == Line(group="x", name="y", note=refused.refused)


def test_an_abstainers_row_says_what_it_refuses() -> None:
    after = Standing(clean_accuracy=Rate(980, 1000), asr=Rate(5, 1000), refused=Rate(8, 1000),
                     refused_triggered=Rate(900, 1000), refused_or_right=Rate(950, 1000))  # fmt: skip
    trained = ClassifierFigures(clean_accuracy=Rate(990, 1000))
    abstained = {"strip": Abstained(after=after, chosen="", seconds=1.0)}
    results = Compared(trained=trained, repairs={}, abstainers=abstained)
    shown = line("abstainers", "strip", [TrialResult(spec={}, seed=1, timings_s={}, results=results)])
    row = repairs.abstainer_row(shown, "corrected")
    assert (row.ours, row.verified) == (0.95, True)
    assert "clean pictures refused 0.80 %" in row.why
