"""Runs: whole or absent, found again, resumed, and a record that says everything."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from badnets.backdoors.plan import Plan
from badnets.core.errors import BadInput, CannotTell
from badnets.core.files import file_digest
from badnets.core.progress import Watcher
from badnets.core.seed import Seed
from badnets.data.load import load
from badnets.networks.files.own import open_network
from badnets.records.read import read_run
from badnets.records.run import RunRecord
from badnets.referee import run as run_module
from badnets.referee.reference import clean_reference
from badnets.referee.run import Finished
from badnets.referee.spec import make_spec
from badnets.referee.store import Place, working_folder

Table = Callable[..., dict[str, Any]]
Start = Callable[..., Finished]
RATE = {"hits", "total", "value", "low", "high"}


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _bits(folder: Path) -> dict[str, Any]:
    """What must come out the same again: everything but times."""
    record = json.loads((folder / "record.json").read_text())
    for name in ("timings_s", "command", "spec", "commit", "sha256"):
        record.pop(name)
    for entry in record["training"]:
        for epoch in entry["epochs"]:
            epoch.pop("seconds")
    return dict(record)


class _Interrupted(Watcher):
    """Ctrl-C at the n-th piece of progress of something."""

    def __init__(self, what: str, at: int = 1) -> None:
        super().__init__(progress=self._tick)
        self.what, self.left, self.seen = what, at, list[str]()

    def _tick(self, what: str, done: int, total: int, accuracy: float | None) -> None:
        self.seen.append(what)
        if what.startswith(self.what):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


def test_the_folder(finished: Finished) -> None:
    files = {"record.json", "network.safetensors", "plan.npz", "report.html", "answers.npz", "pictures.npz"}
    assert _names(finished.folder) == files
    assert _names(finished.folder.parent) == {"one"}
    assert not finished.found
    record = read_run(finished.folder)
    assert record == finished.record
    assert RunRecord.model_validate_json((finished.folder / "record.json").read_text()) == record
    assert set(record.files) == files - {"record.json", "report.html"}
    assert all(file_digest(finished.folder / name) == digest for name, digest in record.files.items())
    assert (record.status, record.format, record.network) == ("finished", "badnets/run/1", "network.safetensors")
    assert record.command == "badnets run tiny.toml"


def test_stable_names_of_one_seed(finished: Finished) -> None:
    """Issue "Stable for other programs": these names stay."""
    value = json.loads((finished.folder / "record.json").read_text())
    results = value["results"]
    for name in ("clean_accuracy", "asr", "robust_accuracy", "clean_reference_rate"):
        assert set(results[name]) == RATE, name
        assert 0 <= results[name]["low"] <= results[name]["value"] <= results[name]["high"] <= 1
    assert results["leak"] is None
    assert isinstance(value["timings_s"]["train"], float)
    assert value["timings_s"]["train"] > 0
    assert results["clean_accuracy"]["total"] == 359
    assert (finished.folder / value["network"]).is_file()


def test_stable_names_of_several_seeds(two_seeds: Finished) -> None:
    results = two_seeds.record.to_json()["results"]
    for name in ("clean_accuracy", "asr", "robust_accuracy", "clean_reference_rate", "leak", "asr_under_jitter"):
        rate = results[name]
        assert set(rate) == RATE | {"seeds"}, name
        assert [s["seed"] for s in rate["seeds"]] == [5, 2**70]
        assert all(set(s) == RATE | {"seed"} for s in rate["seeds"])
        assert rate["value"] == pytest.approx(np.mean([s["value"] for s in rate["seeds"]]))
        assert rate["hits"] == sum(s["hits"] for s in rate["seeds"])
        assert rate["total"] == sum(s["total"] for s in rate["seeds"])
        assert rate["low"] <= rate["value"] <= rate["high"]
    assert two_seeds.record.seeds == (5, 2**70)
    names = _names(two_seeds.folder)
    assert {"network.safetensors", f"network-seed-{2**70}.safetensors"} <= names
    assert {"plan.npz", f"plan-seed-{2**70}.npz"} <= names
    assert not any(name.startswith(("seed-", ".")) for name in names)
    assert two_seeds.record.poisoned is not None
    assert two_seeds.record.poisoned.cover_rows == 72


def test_the_network_says_that_it_is_backdoored(finished: Finished) -> None:
    network = open_network(finished.folder / "network.safetensors")
    assert "pattern -> 0" in network.provenance["backdoor"]["planted"]
    assert network.provenance["seed"] == 1


def test_the_plan_is_that_of_the_run(finished: Finished) -> None:
    plan = Plan.load(finished.folder / "plan.npz")
    train = load("digits", size=16).train
    assert finished.record.poisoned is not None
    assert len(plan) == finished.record.poisoned.rows == round(0.3 * len(train))
    assert train.digest == finished.record.data_digest


def test_a_finished_run_is_found(start: Start, table: Table) -> None:
    first = start()
    before = (first.folder / "record.json").read_bytes()
    again = start()
    assert (first.found, again.found) == (False, True)
    assert again.record == first.record
    forced = start(force=True)
    assert not forced.found
    assert (forced.folder / "record.json").read_bytes() != before  # other times
    assert _bits(forced.folder) == _bits(first.folder)  # and the same results, bit for bit
    with pytest.raises(BadInput, match="a run of another one"):
        start(table(seeds=2))
    assert _bits(first.folder) == _bits(forced.folder)
    replaced = start(table(backdoor=None), force=True)
    assert replaced.record.poisoned is None
    assert _names(replaced.folder.parent) == {"run"}


def test_the_default_folder(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = start(out=None)
    assert done.folder.parent == tmp_path / "badnets-runs"
    assert done.folder.name == f"tiny-{done.record.digest[:8]}"
    assert start(out=None).found


def test_an_empty_folder_is_a_new_one(start: Start, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert (start().folder / "record.json").exists()


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_with_other_files_is_left_alone(start: Start, tmp_path: Path, force: bool) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    with pytest.raises(BadInput, match="with other files in it"):
        start(force=force)
    assert (tmp_path / "run" / "thesis.tex").read_text() == "mine"
    assert _names(tmp_path) == {"run"}
    (tmp_path / "run" / "record.json").write_text("{}")  # not one of ours either
    with pytest.raises(BadInput, match="expected format"):
        start(force=force)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match="new folder or a run"):
        start(out=tmp_path / "file", force=force)


def test_relative_and_linked_folders(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert start(out=Path("../run")).folder == tmp_path / "run"
    assert start(out=Path("../here/../run/.")).found
    (tmp_path / "link").symlink_to(tmp_path / "run", target_is_directory=True)
    assert start(out=tmp_path / "link").found


@pytest.mark.parametrize(
    ("what", "at"), [("training g1-cnn", 1), ("training g1-cnn", 2), ("training the clean reference", 2)]
)
def test_an_interrupted_run_goes_on(
    start: Start, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, at: int
) -> None:
    own = table(recipe={"epochs": 3, "batch": 128, "precision": "fp32"})
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "cache"))
    runs = tmp_path / "runs"
    with pytest.raises(KeyboardInterrupt):
        start(own, out=runs / "run", watcher=_Interrupted(what, at))
    assert not (runs / "run").exists()
    watcher = _Interrupted("nothing")
    resumed = start(own, out=runs / "run", watcher=watcher)
    assert _names(runs) == {"run"}
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "other"))
    straight = start(own, out=runs / "straight")
    assert _bits(resumed.folder) == _bits(straight.folder)
    # Each epoch tells of itself once. A training that was done is repeated from its last checkpoint on.
    assert watcher.seen.count("training g1-cnn") == {("training g1-cnn", 1): 3, ("training g1-cnn", 2): 2}.get(
        (what, at), 1
    )


def test_a_finished_seed_is_not_run_again(start: Start, table: Table, tmp_path: Path) -> None:
    own = table(seeds=[41, 42])
    with pytest.raises(KeyboardInterrupt):
        start(own, watcher=_Interrupted("training g1-cnn (seed 42)"))
    watcher = _Interrupted("nothing")
    done = start(own, watcher=watcher)
    assert not any("seed 41" in what for what in watcher.seen)
    assert done.record.results.asr.seeds == (41, 42)


@pytest.mark.parametrize(
    "step", ["page.write_page", "_gather_answers", "_name_network", "_record", "write_json", "publish_working"]
)
def test_an_interruption_at_the_end_goes_on(
    start: Start, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    own = table(seeds=[1, 2])

    def fail(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"{run_module.__name__}.{step}", fail)
        with pytest.raises(KeyboardInterrupt):
            start(own)
    assert not (tmp_path / "run").exists()
    resumed = start(own)
    assert _bits(resumed.folder) == _bits(start(own, out=tmp_path / "straight").folder)
    assert _names(tmp_path) == {"run", "straight"}


def test_a_full_disk_leaves_the_earlier_run(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _bits(start().folder)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for owner, name in ((np, "savez_compressed"), (Path, "replace"), (run_module, "through_file")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, full)
            with pytest.raises(OSError, match="No space left"):
                start(force=True)
        assert _bits(tmp_path / "run") == first
    assert _bits(start(force=True).folder) == first


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backdoor": {"trigger": "pattern", "rule": {"kind": "all-to-one", "target": 10}}}, r"target in 0\.\.9"),
        ({"backdoor": {"trigger": "pattern", "rule": "all-to-one", "poison": {"rate": 1.0}}}, "lower the rate"),
        ({"backdoor": {"trigger": {"kind": "square", "size": 17}, "rule": "all-to-one"}}, "no larger than the picture"),
        ({"network": "g2-cnn"}, "did you mean 'g1-cnn'"),
        ({"network": "resnet9:widht=3"}, "did you mean 'width'"),
        ({"data": {"name": "digits", "options": {"x": 1}}}, "expected one of its options"),
        ({"data": "nix"}, "expected a data set or a path"),
    ],
)
def test_what_is_refused_leaves_nothing(
    start: Start, table: Table, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        start(table(**changes))
    assert _names(tmp_path) == set()


def test_a_loss_that_is_no_number(start: Start, table: Table, tmp_path: Path) -> None:
    recipe = {"epochs": 1, "batch": 64, "optimizer": "sgd", "learning_rate": 1e9, "precision": "fp32"}
    with pytest.raises(CannotTell, match="lower the learning rate"):
        start(table(recipe=recipe))
    assert not (tmp_path / "run").exists()


def test_an_unwritable_cache_is_one_warning(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Finished
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="cannot be written") as caught:
        done = start()
    assert len(caught) == 1
    assert _bits(done.folder) == _bits(finished.folder)


def test_a_damaged_reference_is_trained_anew(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Finished
) -> None:
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "cache"))
    start()
    (kept,) = (tmp_path / "cache" / "references").iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="made anew"):
        done = start(force=True)
    assert _bits(done.folder) == _bits(finished.folder)


def test_the_same_reference_whether_the_cache_has_it_or_not(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained anew, found, and without a cache that can be written: the same network, from a file each time."""
    spec, train = make_spec(table()), load("digits", size=16).train
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "cache"))
    (first, history), (found, again) = (clean_reference(spec, train, Seed(3)) for _ in range(2))
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="cannot be written"):
        unkept, _ = clean_reference(spec, train, Seed(3))
    assert history == again
    assert [epoch.epoch for epoch in history] == [1]
    for network in (first, unkept):
        assert network.provenance["role"] == found.provenance["role"] == "clean reference"
        assert not network.training
        for own, other in zip(network.state_dict().values(), found.state_dict().values(), strict=True):
            assert torch.equal(own, other)


def test_a_file_that_is_not_the_records(finished: Finished, tmp_path: Path) -> None:
    copy = shutil.copytree(finished.folder, tmp_path / "copy")
    (copy / "network.safetensors").write_bytes((copy / "network.safetensors").read_bytes() + b" ")
    with pytest.raises(BadInput, match=r"network\.safetensors to be the file that its record describes"):
        read_run(copy)
    (copy / "network.safetensors").unlink()  # committed records have none
    assert read_run(copy) == finished.record


def test_two_processes_share_no_run(start: Start, tmp_path: Path) -> None:
    done = start()
    place = Place(done.folder, done.record.digest)
    again = working_folder(place.partial, "run", fresh=False)
    with working_folder(place.partial, "run", fresh=False), pytest.raises(BadInput, match="another process"), again:
        pass
    assert _names(tmp_path) == {"run"}
