"""Study G3: its trials, its rows from made-up results, and one trial on few drawn signs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from badnets.core.files import read_json
from badnets.core.rate import PairedDifference, Rate
from badnets.data.drawn import eu
from badnets.data.sets.gtsrb import SUPERCLASSES
from badnets.records.blocks import Curve, Table
from badnets.studies.gu2017_transfer import study
from badnets.studies.gu2017_transfer.study import Accuracy, Reading, Transferred, Units, User
from badnets.studies.study import Settings, TrialResult

PICTURES = 1000


def answers(clean: float, triggered: float, *, information: bool = True) -> Reading:
    right = [np.arange(PICTURES) < round(share * PICTURES) for share in (clean, triggered)]
    accuracy = Accuracy(clean=Rate.of(right[0]), triggered=Rate.of(right[1]))
    names = [name for name in study.BASELINE if information or name != "information"]
    return Reading(classes=dict.fromkeys(names, accuracy), lost=PairedDifference.of(*right))


def result(seed: int, lost: float, *, information: bool) -> TrialResult[Transferred]:
    badnet = {k: answers(0.9, 0.9 - (lost if k == 20 else lost / 2), information=information) for k in (1, 2, 20)}
    pair = User(baseline=answers(0.9, 0.85, information=information), badnet=badnet[20])
    made = Transferred(
        home={"clean": answers(0.98, 0.95), "badnet": answers(0.98, 0.05)},
        units=Units(layer="conv3", chosen=(3,), ranked=()),
        baseline=answers(0.92, 0.9, information=information),
        badnet=badnet,
        users={"who retrains all layers": pair} if not information else {},
    )
    return TrialResult(spec={}, seed=seed, results=made, timings_s={})


def found() -> dict[str, TrialResult[Transferred]]:
    made = {f"lisa-s{s}": result(s, 0.3 + 0.02 * s, information=False) for s in (1, 2)}
    return {**made, "signs-s1": result(1, 0.2, information=True)}


def test_both_settings_with_every_seed_and_the_quick_form() -> None:
    trials = study.trials(Settings(quick=False, seeds=5, data="/data"))
    assert [trial.name for trial in trials] == [f"{name}-s{s}" for name in ("lisa", "signs") for s in range(1, 6)]
    assert trials[0].spec["strengths"] == [1, 2, 5, 10, 20, 30, 50, 70, 100]
    assert trials[0].spec["data"]["path"] == "/data"
    assert "path" not in trials[0].spec["home"], "a record keeps no paths, and looks for them in data alone"
    assert "path" not in trials[-1].spec["data"], "the drawn signs lie nowhere"
    assert len(trials[0].spec["users"]) == 4
    assert trials[-1].spec["users"] == {}
    quick = study.trials(Settings(quick=True, seeds=1))
    assert [(trial.name, trial.spec["strengths"]) for trial in quick] == [("signs-s1", [1, 20])]
    assert quick[0].spec["home"]["options"] == {"style": "us", "train": 4000, "test": 1000}


def test_every_european_sign_has_one_super_class_and_the_same_as_in_gtsrb() -> None:
    where = {sign: name for name, signs in study.EUROPEAN.items() for sign in signs}
    assert sorted(where) == sorted(eu.FACES)
    assert sum(map(len, study.EUROPEAN.values())) == len(where)
    theirs = {sign: name for name, signs in SUPERCLASSES.items() for sign in signs}
    both = set(where) & set(theirs)
    assert len(both) >= 10
    assert {sign: where[sign] for sign in both} == {sign: theirs[sign] for sign in both}


def test_both_published_tables_become_rows() -> None:
    rows = {r.what: r for r in study.assemble(Settings(quick=False, seeds=2), found(), Path()).rows}
    for name in study.BASELINE:
        for i, which in enumerate(("clean", "triggered")):
            baseline = rows[f"LISA to GTSRB, accuracy, clean home network: {name}, {which}"]
            badnet = rows[f"LISA to GTSRB, accuracy, BadNet, k = 1: {name}, {which}"]
            assert (baseline.published, badnet.published) == (study.BASELINE[name][i], study.BADNET[name][i])
            assert baseline.state == badnet.state == "not run as published"
            assert (baseline.ours is None) == (name == "information"), "GTSRB's super-classes have none"
    assert rows["LISA to GTSRB, accuracy, BadNet, k = 20: average, triggered"].published == 0.451
    assert rows["LISA to GTSRB, accuracy, BadNet, k = 2: average, triggered"].published is None
    assert rows["drawn signs, U.S. to European, accuracy, BadNet, k = 1: information, clean"].ours == 0.9
    assert rows["LISA to GTSRB, at home, BadNet: accuracy, triggered"].ours == 0.05
    all_layers = rows["LISA to GTSRB, a user who retrains all layers, BadNet, k = 20: accuracy, triggered"]
    assert all_layers.n_seeds == 2


def test_the_judged_rows_by_hand() -> None:
    rows = {r.what: r for r in study.assemble(Settings(quick=False, seeds=2), found(), Path()).rows}
    lost = rows["LISA to GTSRB, points lost to the square: BadNet, k = 20"]
    assert lost.ours == pytest.approx(0.33)
    assert lost.published == pytest.approx(0.683 - 0.451)
    assert (lost.verified, lost.n_seeds) == (True, 2)
    # Two values 0.02 apart: half the spread is t (1 degree of freedom) times their deviation over the root of two; what
    # one test set can show is added in quadrature.
    assert lost.high is not None
    assert 0.33 + 12.7062 * 0.01 < lost.high < 0.33 + 12.7062 * 0.01 + 0.01
    drawn = rows["drawn signs, U.S. to European, points lost to the square: BadNet, k = 20"]
    assert (drawn.ours, drawn.state) == (pytest.approx(0.2), "not run as published")
    assert "drawn signs for photographs" in drawn.why
    assert drawn.low is not None
    assert drawn.low < 0.2, "one seed has the interval of its own pictures"
    beyond = rows["LISA to GTSRB, points lost beyond the clean home network's: BadNet, k = 20"]
    assert beyond.ours == pytest.approx(0.33 - 0.02)
    assert beyond.published == pytest.approx(0.232 - 0.025)
    clean = rows["LISA to GTSRB, clean accuracy minus the clean home network's: BadNet, k = 20"]
    assert (clean.ours, clean.verified) == (pytest.approx(-0.02), True)
    base = rows["LISA to GTSRB, points lost to the square: clean home network"]
    assert (base.ours, base.verified) == (pytest.approx(0.02), True)


def test_a_setting_that_has_not_run_is_left_out() -> None:
    some = {name: entry for name, entry in found().items() if name.startswith("signs")}
    made = study.assemble(Settings(quick=False, seeds=2), some, Path())
    assert {r.what.split(",")[0] for r in made.rows} == {"drawn signs"}
    curve, first, second, units = made.blocks
    assert isinstance(curve, Curve)
    assert isinstance(first, Table)
    assert isinstance(second, Table)
    assert [line.name for line in second.lines] == ["k = 1", "k = 2", "k = 20"]
    assert isinstance(units, Table)
    assert units.lines[0].cells == ("conv3", "3")


def test_the_figure_is_what_the_square_takes_away_at_each_strength() -> None:
    curve, first, _, *rest = study.assemble(Settings(quick=False, seeds=2), found(), Path()).blocks
    assert isinstance(curve, Curve)
    assert [(series.name, len(series.points)) for series in curve.series] == [
        ("ours", 3), ("published", 7), ("ours, clean home network", 2)
    ]  # fmt: skip
    assert isinstance(first, Table)
    assert {line.group for line in first.lines} == {"clean home network", "BadNet, k = 1"}
    assert first.lines[0].cells[2:] == (None, None), "GTSRB's super-classes have no information signs"
    assert len(rest) == 4, "the same three of the drawn signs, and the units"


def test_one_trial_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few signs and one epoch: nothing is learned, but files are handed over and everything is counted."""
    trial = study.trials(Settings(quick=True, seeds=1))[0]
    small = {"train": 120, "test": 40}
    spec = {**trial.spec, "epochs": 1, "users": {"without weight decay": {"recipe": {"weight_decay": 0.0}}}}
    for side in ("home", "data"):
        spec[side] = {**spec[side], "options": {**spec[side]["options"], **small}}
    trial = replace(trial, spec=spec)
    first = study._one(trial, tmp_path)
    made = first.results
    assert total(made.baseline.classes["average"]) == 40
    assert sum(total(entry) for name, entry in made.badnet[20].classes.items() if name != "average") == 40
    assert list(made.baseline.classes) == [*study.EUROPEAN, "average"]
    assert made.units.chosen
    assert {path.name for path in tmp_path.glob("*.safetensors")} >= {"clean.safetensors", "handed-over.safetensors"}
    assert Reading.model_validate(read_json(tmp_path / "user-usual-badnet-20.json")) == made.badnet[20]
    monkeypatch.setattr(study, "_retrained", None)
    again = study._one(trial, tmp_path)
    assert again.results == made, "nothing was retrained a second time"
    assert Transferred.model_validate(made.to_json()) == made, "what is written is read back"
    trial_result = TrialResult(spec=spec, seed=1, results=made, timings_s=first.timings_s)
    assert study.assemble(Settings(quick=True, seeds=1), {"signs-s1": trial_result}, tmp_path).rows


def total(accuracy: Accuracy) -> int:
    return (accuracy.clean.counts or (0, 0))[1]
