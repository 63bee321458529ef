"""A sweep as a whole: finished tasks are kept, a bad one stops no other, and records are those of ``badnets run``."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.sweeps import workers

from badnets.core.errors import BadInput, Busy
from badnets.core.files import dumps
from badnets.core.progress import Watcher
from badnets.engines.on import On
from badnets.networks.device import find_device
from badnets.records.read import read_run
from badnets.records.sweep import SweepRecord
from badnets.referee.run import run
from badnets.referee.spec import SpecFile, make_spec
from badnets.sweeps import task
from badnets.sweeps.plan import Plan, make_plan
from badnets.sweeps.store import BEGUN, ERROR, LOG, RECORD, Store, Work
from badnets.sweeps.sweep import run_sweep, status

BASE = {
    "data": {"name": "signs", "options": {"train": 160, "test": 64, "size": 32}},
    "network": "lenet",
    "recipe": {"epochs": 1},
    "backdoor": {"trigger": "square", "rule": {"kind": "all-to-one", "target": 0}},
}
Do = Callable[[Work], str | None]


def plan_of(**more: Any) -> Plan:
    return make_plan({"base": BASE, **more}, where=Path("small.toml"))


def swept(plan: Plan, store: Store, do: Do, *, limit_s: float | None = None, **more: Any) -> SweepRecord:
    return run_sweep(plan, store, On(jobs=2, limit_s=limit_s), do=do, **more)


@pytest.mark.slow
def test_records_are_those_of_single_runs(tmp_path: Path) -> None:
    plan, store = plan_of(grid={"backdoor.trigger.size": [2, 4]}, seeds=2), Store(str(tmp_path / "store"))
    record = swept(plan, store, workers.carry_out)
    assert record.counts == {"done": 4, "failed": 0, "running": 0, "waiting": 0}
    assert [(cell.done, cell.of) for cell in record.cells] == [(2, 2), (2, 2)]
    assert {part.total for part in record.cells[0].figures["clean_accuracy"].parts} == {64}  # type: ignore[union-attr]
    task = plan.tasks[0]
    alone = run(SpecFile(given=task.spec, spec=make_spec(task.spec)), out=tmp_path / "alone").record
    own = read_run(tmp_path / "store" / task.id)
    assert (own.results, own.digest, own.files["network.safetensors"]) == (
        alone.results, alone.digest, alone.files["network.safetensors"],
    )  # fmt: skip
    assert "training lenet" in (tmp_path / "store" / task.id / LOG).read_text()


def test_what_is_finished_is_never_run_again(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    swept(plan_of(), store, workers.carry_out)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}

    def start(*_: object, **__: object) -> Any:
        raise AssertionError("an engine for nothing")

    assert run_sweep(plan_of(), store, start).counts["done"] == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_a_task_that_fails_stops_no_other(tmp_path: Path) -> None:
    """One raises, one ends its process, one hangs, one fails once; two are as usual."""
    said: list[str] = []
    plan, store = plan_of(grid={"recipe.epochs": [1, 2, 3, 4, 5]}), Store(str(tmp_path))
    record = swept(plan, store, workers.quick, limit_s=60.0, tries=2, watcher=Watcher(say=said.append))
    states = {task.axes["recipe.epochs"]: (task.state, task.error or "") for task in record.tasks}
    assert {epochs: state for epochs, (state, _) in states.items()} == {
        1: "done", 2: "failed", 3: "failed", 4: "failed", 5: "done",
    }  # fmt: skip
    assert "no-such-data" in states[2][1]
    assert "a process ended before its work was done" in states[3][1]
    assert "longer than the limit" in states[4][1]
    assert sum("is tried again" in line for line in said) == 4
    assert sum("is tried again" not in line for line in said) == 3
    assert not (tmp_path / plan.tasks[4].id / ERROR).exists()


@pytest.mark.slow
def test_what_disturbs_changes_nothing(tmp_path: Path) -> None:
    """At its first try one task raises, one hangs, one gives NaN and one is killed in its second epoch: the same
    records in the end, bit for bit."""
    said: list[str] = []
    plan, watcher = plan_of(seeds=5, grid={"recipe.epochs": [2]}), Watcher(say=said.append)
    usual, disturbed = (Store(str(tmp_path / name)) for name in ("usual", "disturbed"))
    assert swept(plan, usual, workers.carry_out).counts["done"] == 5
    record = swept(plan, disturbed, workers.disturbed, limit_s=30.0, watcher=watcher)
    assert record.counts["done"] == 5, said
    causes = ("on purpose", "longer than the limit", "a finite loss, got", "a process ended")
    assert [sum(cause in line for line in said) for cause in causes] == [1, 1, 1, 1], said
    assert same_bits(plan, usual, disturbed)


def test_a_task_that_gives_nan_fails_alone(tmp_path: Path) -> None:
    """By its loss, or by its answers: failed, in a sentence; what is written is JSON, and nothing has NaN in it."""
    (tmp_path / "nan.py").write_text(NAN)
    rates, networks = [3e-3, 1e25, 3e-3], ["lenet", "lenet", f"{tmp_path / 'nan.py'}:Nan"]
    recipe = {"optimizer": "sgd", "schedule": "constant", "epochs": 2, "batch": 160}
    plan = plan_of(specs=[{"recipe": recipe}], zip={"recipe.learning_rate": rates, "network": networks})
    record = run_sweep(plan, Store(str(tmp_path / "store")), Here, tries=1)
    states = [(task.state, task.error or "") for task in record.tasks]
    assert [state for state, _ in states] == ["done", "failed", "failed"]
    assert "expected a finite loss, got nan in epoch 2, step 1; lower the learning rate" in states[1][1]
    assert "expected finite answers of file:Nan, got NaN" in states[2][1]
    for text in (dumps(record.to_json()), *(path.read_text() for path in tmp_path.glob("store/*/*.json"))):
        json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} in JSON"))


NAN = """
from torch import nn
class Nan(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.layer = nn.Linear(3 * 32 * 32, classes)
    def forward(self, x):
        logits = 1e-3 * self.layer(x.flatten(1)).clamp(-1, 1)
        return logits if self.training else logits * float("nan")
"""


def same_bits(plan: Plan, one: Store, other: Store) -> bool:
    """Whether all records of a plan say the same, of files by their SHA-256; pages and seconds are left out."""
    both = [[read_run(Path(store.root) / task.id) for task in plan.tasks] for store in (one, other)]
    return all((a.results, a.digest, a.files) == (b.results, b.digest, b.files) for a, b in zip(*both, strict=True))


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_task_that_needs_a_gpu_where_there_is_none(device: str, tmp_path: Path) -> None:
    try:
        find_device(device)
    except BadInput:
        pass
    else:
        pytest.skip("there is one")
    plan = make_plan({"base": {**BASE, "device": device}}, where=Path("small.toml"))
    record = run_sweep(plan, Store(str(tmp_path)), Here, tries=1)
    assert f"for device {device}, got none" in str(record.tasks[0].error)


def test_a_task_that_cannot_be_run_says_why(tmp_path: Path) -> None:
    plan = plan_of(grid={"data.name": ["no-such-data"]})
    record = swept(plan, Store(str(tmp_path)), workers.carry_out, tries=1)
    assert "no-such-data" in str(record.tasks[0].error)
    assert not (tmp_path / plan.tasks[0].id / BEGUN).exists()


def test_what_a_store_says_of_tasks(tmp_path: Path) -> None:
    """The record is written last; a task without one was begun, or failed."""
    store, folder = Store(f"memory://{tmp_path}"), tmp_path / "run"
    folder.mkdir()
    for name in (RECORD, "a.png", "network.safetensors"):
        (folder / name).write_text("{}")
    put: list[str] = []
    write = store._put

    def noted(name: str, content: bytes) -> None:
        put.append(name)
        write(name, content)

    store._put = noted  # type: ignore[method-assign]
    store.begin("one")
    assert store.states() == (set(), set(), {"one"})
    store.fail("one", "no reason", "a log")
    store.end("one")
    assert store.states() == (set(), {"one"}, set())
    assert store.error("one") == "no reason"
    store.put("one", folder)
    assert put[-1] == "one/record.json"
    assert store.states() == ({"one"}, set(), set())
    assert store.place("one").startswith("memory://")


def test_stores_that_are_no_use(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (str(tmp_path / "file"), *(["/proc/sweep"] if sys.platform == "linux" else [])):
        with pytest.raises(BadInput, match=f"expected a store that can be written at {place}, got"):
            run_sweep(plan_of(), Store(place), Here)
    assert not Store(str(tmp_path / "newer")).states()[0]
    assert not (tmp_path / "newer").exists()
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "store.json").write_text('{"format": "badnets/store/2"}')
    with pytest.raises(BadInput, match="a newer version wrote it"):
        Store(str(tmp_path / "newer"))
    with pytest.raises(BadInput, match="a folder or a URL"):
        Store("nosuch://bucket/a")


class Here:
    """An engine that does each task at once, in this process."""

    width = room = 1

    def __init__(self, do: Do, **_: object) -> None:
        self.do = do

    def submit(self, work: Work) -> Future[str | None]:
        job: Future[str | None] = Future()
        try:
            job.set_result(self.do(work))
        except OSError as error:
            job.set_exception(error)
        return job

    def cancel(self, job: Future[str | None]) -> None:
        """It is done."""

    def close(self) -> None:
        """Nothing to stop."""


@pytest.mark.parametrize("room", [0, 1, 3, 5])
def test_a_full_disk_loses_nothing(room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many files the disk is full; with room again the same command ends with the same records."""
    plan, store = plan_of(seeds=2), Store(str(tmp_path / "store"))
    usual, left = Store._put, [room]

    def put(self: Store, name: str, content: bytes) -> None:
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        usual(self, name, content)

    with monkeypatch.context() as full:
        full.setattr(Store, "_put", put)
        with pytest.raises((OSError, BadInput), match="No space left"):
            run_sweep(plan, store, Here)
    assert store.states()[0] == set()
    assert run_sweep(plan, store, Here).counts["done"] == 2
    undisturbed = Store(str(tmp_path / "undisturbed"))
    run_sweep(plan, undisturbed, Here)
    assert same_bits(plan, undisturbed, store)


def test_a_damaged_record_is_told_and_its_task_done_again(tmp_path: Path) -> None:
    plan, store = plan_of(seeds=2), Store(str(tmp_path))
    run_sweep(plan, store, Here)
    record = tmp_path / plan.tasks[0].id / RECORD
    record.write_text("{")
    now = status(plan, store)
    assert [task.state for task in now.tasks] == ["failed", "done"]
    assert "expected a run's record" in str(now.tasks[0].error)
    assert run_sweep(plan, store, Here).counts["done"] == 2
    assert (record.parent / "record-damaged.json").read_text() == "{"


def test_a_finished_task_is_left_alone_and_one_at_work_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = plan_of(), Store(str(tmp_path / "store"))
    work = Work(store.url, plan.tasks[0].id, plan.tasks[0].spec)
    busy: list[int] = []

    def at_work(*_: object, **__: object) -> Any:
        busy.append(1)
        if len(busy) == 2:  # by now the other one has finished it
            monkeypatch.undo()
            assert task.carry_out(work) is None
            monkeypatch.setattr(task, "run", at_work)
        raise Busy("somebody else")

    monkeypatch.setattr(task, "WAIT_S", 0.0)
    monkeypatch.setattr(task, "run", at_work)
    assert task.carry_out(work) is None
    assert len(busy) == 2
    assert store.states() == ({work.task}, set(), set())
    assert store.error(work.task) is None
    assert task.carry_out(work) is None
    assert len(busy) == 2


def test_other_pictures_than_those_of_finished_tasks_are_refused(tmp_path: Path) -> None:
    def pictures(seed: int) -> None:
        made = np.random.default_rng(seed).integers(0, 255, (80, 32, 32, 3), np.uint8)
        np.savez(tmp_path / "mine.npz", images=made, labels=np.arange(80) % 4)

    data = {**BASE, "data": {"name": str(tmp_path / "mine.npz")}}
    one, two = (make_plan({"base": data, "seeds": count}, where=Path("mine.toml")) for count in (1, 2))
    store = Store(str(tmp_path / "store"))
    pictures(1)
    assert run_sweep(one, store, Here).counts["done"] == 1
    pictures(2)
    with pytest.raises(BadInput, match="choose another --store"):
        run_sweep(two, store, Here)
    pictures(1)
    assert run_sweep(two, store, Here).counts["done"] == 2


def test_nobody_is_at_work_after_it_was_stopped(tmp_path: Path) -> None:
    plan, store = plan_of(seeds=2), Store(str(tmp_path))

    def stopped(work: Work) -> str | None:
        store.begin(work.task)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(plan, store, Here, do=stopped)
    assert status(plan, store).counts["waiting"] == 2


def test_a_second_sweep_on_a_store_has_files_of_its_own_name(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert not store.begun
    assert store.names("one") == ("report.html", "sweep.json", "sweep.csv")
    store.check_writable()
    store.write("sweep.json", dumps({"name": "one"}).encode())
    assert store.begun
    assert store.names("one") == ("report.html", "sweep.json", "sweep.csv")
    assert store.names("two") == ("two.html", "two.json", "two.csv")
    assert Store("/").root == "/"


@pytest.fixture
def typed(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """``badnets`` with these words, in a folder with a sweep."""
    more = "seeds = 4\n[base]\nnetwork = 'lenet'\nrecipe = { epochs = 1 }\n"
    more += "data = { name = 'signs', options = { train = 160, test = 64, size = 32 } }\n"
    (tmp_path / "sweep.toml").write_text(more)

    def begin(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "badnets", "sweep", "sweep.toml", *words],
            cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ},
        )  # fmt: skip

    return begin


@pytest.mark.slow
def test_the_command(typed: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """Plan, Ctrl-C after the first task, status, and the same command again."""
    out, err = typed("--plan", "--json").communicate()
    assert json.loads(out)["counts"] == {"done": 0, "failed": 0, "running": 0, "waiting": 4}, err
    begun = typed("--jobs", "1")
    store = tmp_path / "badnets-sweeps" / "sweep"
    while not list(store.glob("*/record.json")):
        assert begun.poll() is None, begun.communicate()
    begun.send_signal(signal.SIGINT)
    _, err = begun.communicate()
    assert (begun.returncode, "interrupted" in err) == (130, True), err
    kept = {path.parent.name for path in store.glob("*/record.json")}
    out, _ = typed("--status", "--json").communicate()
    assert json.loads(out)["counts"]["done"] == len(kept) >= 1
    again = typed("--json")
    out, err = again.communicate()
    told = json.loads(out)
    assert (again.returncode, told["format"], told["counts"]["done"]) == (0, "badnets/sweep/1", 4), err
    assert all(Path(tmp_path / one["record"]).is_file() for one in told["tasks"])


@pytest.mark.slow
def test_an_engine_that_is_not_there(typed: Callable[..., subprocess.Popen[str]]) -> None:
    begun = typed("--on", "ray-core")
    _, err = begun.communicate()
    assert begun.returncode == 2
    assert "did you mean" in err or "local" in err, err
