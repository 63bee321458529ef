"""What every engine promises; and studies and references on each."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import closing
from pathlib import Path

import pytest
from tests.engines import acts

import badnets as bn
from badnets.core.errors import BadInput, CannotTell
from badnets.core.progress import Watcher
from badnets.engines.engine import Late, Start
from badnets.engines.on import On
from badnets.referee.references import train_references
from badnets.studies.study import Trial
from badnets.studies.trials import run_trials

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
Started = Callable[[float | None], Start]


def test_each_end_is_told(started: Started, tmp_path: Path) -> None:
    """A result, an error of the same kind and sentence, one that does not travel, a killed process, a limit; and one is
    cancelled while it runs."""
    with closing(started(30.0)(acts.become, count=6, folder=tmp_path)) as engine:
        usual, refused, odd, killed = (engine.submit(what) for what in ("usual", "refused", "odd", "killed"))
        assert usual.result(120) == "usual"
        with pytest.raises(BadInput, match=r"^expected something else, got this$"):
            refused.result(120)
        with pytest.raises(RuntimeError, match="OddError: odd 1 2"):
            odd.result(120)
        with pytest.raises(CannotTell, match="a process ended before its work was done"):
            killed.result(120)
        hangs, cancelled, last = (engine.submit(what) for what in ("hangs", "hangs", "last"))
        engine.cancel(cancelled)
        with pytest.raises(CancelledError):
            cancelled.result(120)
        assert last.result(120) == "last"
        assert isinstance(hangs.exception(120), Late)


def test_trials_of_a_study(started: Started, tmp_path: Path) -> None:
    """Their results, and the files that they leave in the study's folder."""
    data = {"data": {"name": "digits"}}
    trials = [Trial(name=f"s{seed}", spec=data, seed=seed, keep=True, work=acts.trial) for seed in (1, 2, 3)]
    results = run_trials(trials, tmp_path / "study", Watcher(), start=started(None))
    assert {name: one.results.figures.clean_accuracy.hits for name, one in results.items()} == {
        "s1": 1,
        "s2": 2,
        "s3": 3,
    }
    assert (tmp_path / "study" / "s3.safetensors").read_text() == "3"
    assert run_trials(trials, tmp_path / "study", Watcher(), start=None).keys() == results.keys()


def test_references(started: Started, tmp_path: Path) -> None:
    """The same files as from processes of this machine."""
    digits, recipe = bn.load("digits"), bn.Recipe(epochs=1, precision="fp32")
    suspect = bn.train("resnet9:width=2", digits.train, recipe=recipe, seed=3)
    of = (suspect, digits.train, digits.test, 2)
    told = {"epochs": 1, "precision": "fp32"}
    there = train_references(*of, folder=tmp_path / "there", recipe=told, start=started(None))
    here = train_references(*of, folder=tmp_path / "here", recipe=told, start=On(jobs=1))
    assert [one.accuracy for one in there.made] == [one.accuracy for one in here.made]
    assert [one.path.read_bytes() for one in there.made] == [one.path.read_bytes() for one in here.made]
    assert {path.suffix for path in (tmp_path / "here").iterdir()} == {".safetensors", ".json"}
