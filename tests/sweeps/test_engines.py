"""The same sweep on every engine: the same records, whatever becomes of processes and nodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.sweeps import workers

from badnets.core.errors import BadInput
from badnets.core.progress import Watcher
from badnets.engines.engine import Start
from badnets.engines.on import On
from badnets.records.read import read_run
from badnets.sweeps.plan import Plan, make_plan
from badnets.sweeps.store import RECORD, Store, Work
from badnets.sweeps.sweep import run_sweep

BASE = {
    "data": {"name": "signs", "options": {"train": 160, "test": 64, "size": 32}},
    "network": "lenet",
    "recipe": {"epochs": 1},
    "backdoor": {"trigger": "square", "rule": {"kind": "all-to-one", "target": 0}},
}
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def plan_of(**more: Any) -> Plan:
    return make_plan({"base": BASE, **more}, where=Path("small.toml"))


def test_records_are_the_same_on_every_engine(started: Callable[[float | None], Start], tmp_path: Path) -> None:
    """As those of one process of this machine."""
    plan = plan_of(seeds=2)
    here = Store(str(tmp_path / "here"))
    for task in plan.tasks:
        assert workers.carry_out(Work(here.url, task.id, task.spec)) is None
    record = run_sweep(plan, Store(str(tmp_path / "there")), started(None))
    assert record.counts["done"] == 2, [task.error for task in record.tasks]
    for task in plan.tasks:
        one, other = (read_run(tmp_path / name / task.id) for name in ("here", "there"))
        assert (one.digest, one.results) == (other.digest, other.results)
        assert one.files["network.safetensors"] == other.files["network.safetensors"]


def test_what_becomes_of_one_task_is_its_own(started: Callable[[float | None], Start], tmp_path: Path) -> None:
    """One raises, one ends its process, one hangs; the others are as usual."""
    plan, store = plan_of(grid={"recipe.epochs": [1, 2, 3, 4]}), Store(str(tmp_path / "store"))
    record = run_sweep(plan, store, started(40.0), do=workers.quick, tries=1)
    told = {task.axes["recipe.epochs"]: (task.state, task.error or "") for task in record.tasks}
    states = {epochs: state for epochs, (state, _) in told.items()}
    assert states == {1: "done", 2: "failed", 3: "failed", 4: "failed"}, told
    assert "no-such-data" in told[2][1]
    assert "a process ended" in told[3][1]
    assert "longer than the limit" in told[4][1]


def test_a_node_that_is_lost(ray: Any, tmp_path: Path) -> None:
    """A cluster of a head and three nodes; one is killed as soon as something is done."""
    cluster = import_module("ray.cluster_utils").Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
    plan, store = plan_of(seeds=4), Store(str(tmp_path / "store"))
    killed: list[Any] = []

    def lose(done: int) -> None:
        if done >= 1 and not killed:
            killed.append(nodes[0])
            cluster.remove_node(nodes[0], allow_graceful=False)

    watcher = Watcher(progress=lambda _what, done, _total, _accuracy: lose(done))
    try:
        record = run_sweep(plan, store, On("ray", address=cluster.address), tries=3, watcher=watcher)
    finally:
        cluster.shutdown()
    assert killed
    assert record.counts["done"] == 4, [task.error for task in record.tasks]
    here = Store(str(tmp_path / "here"))
    for task in plan.tasks:
        assert workers.carry_out(Work(here.url, task.id, task.spec)) is None
        one, other = (read_run(tmp_path / name / task.id) for name in ("here", "store"))
        assert (one.results, one.files["network.safetensors"]) == (other.results, other.files["network.safetensors"])


def test_ray_of_another_version(ray: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And cards where the cluster has none: one sentence each, and Ray is left."""
    with pytest.raises(BadInput, match="expected a GPU for --gpus 1, got a cluster without one"):
        On("ray", jobs=1, gpus=1.0)(workers.carry_out, count=1, folder=None)
    cluster = import_module("ray.cluster_utils").Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        monkeypatch.setattr(ray, "__version__", "1.13.0")
        told = rf"expected Ray 1.13.0 at {cluster.address}, got an error: Version mismatch.*"
        with pytest.raises(BadInput, match=told):
            On("ray", address=cluster.address)(workers.carry_out, count=1, folder=None)
    finally:
        cluster.shutdown()
    assert not ray.is_initialized()


def test_two_sweeps_on_one_store_at_once(tmp_path: Path) -> None:
    """Both end with all that they share; a task may be done twice, but never half."""
    plan = plan_of(seeds=3)
    records: list[Any] = []

    def sweep() -> None:
        records.append(run_sweep(plan, Store(str(tmp_path)), On(jobs=1)))

    threads = [Thread(target=sweep) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    for thread in threads:
        thread.join()
    assert [record.counts["done"] for record in records] == [3, 3]
    assert len(list(tmp_path.glob(f"*/{RECORD}"))) == 3
    assert all(read_run(tmp_path / task.id).results for task in plan.tasks)
