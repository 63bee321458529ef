"""Many items on processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import CancelledError, wait
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engines import acts

from badnets.core.errors import BadInput, CannotTell
from badnets.engines.local import Local
from badnets.engines.on import On
from badnets.engines.work import each, handed

LARGE = 200_000
"""More numbers than a pipe holds."""
TWO = On(jobs=2)


def test_every_item_once_with_what_all_were_handed(tmp_path: Path) -> None:
    with handed(tmp_path, np.ones(LARGE, int), 5) as path:
        made = dict(each(TWO, acts.add, [(path, 1), (path, 2), (path, 3)], folder=tmp_path))
        assert {number: total for (_, number), total in made.items()} == {n: LARGE + 5 + n for n in (1, 2, 3)}
    assert not list(tmp_path.iterdir())


def test_nothing_to_do_begins_nothing(tmp_path: Path) -> None:
    assert list(each(None, acts.double, [], folder=tmp_path / "none")) == []
    assert not (tmp_path / "none").exists()


def test_each_process_has_one_thread(tmp_path: Path) -> None:
    assert dict(each(TWO, acts.threads, [1, 2], folder=tmp_path)) == {1: 1, 2: 1}


def test_none_is_begun_after_one_that_failed(tmp_path: Path) -> None:
    """What runs by then is done; the error is the one that was raised, and says where."""
    items = [(tmp_path, name) for name in ("good", "bad", "late", "later", "latest")]
    with pytest.raises(BadInput, match=r"^expected a good name, got a bad one$") as told:
        list(each(TWO, acts.write, items, folder=tmp_path))
    assert "acts.py" in str(told.value.__cause__)
    assert {path.name for path in tmp_path.iterdir()} in ({"good"}, {"late"}, {"good", "late"})


def test_a_process_that_is_killed_is_told(tmp_path: Path) -> None:
    with pytest.raises(CannotTell, match=r"a process ended before its work was done \(exit code -9: killed"):
        list(each(On(jobs=1), acts.become, ["killed"], folder=tmp_path))


def test_errors_that_do_not_travel(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="OddError: odd 1 2"):
        list(each(On(jobs=1), acts.become, ["odd"], folder=tmp_path))
    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        list(each(On(jobs=1), acts.become, ["exits"], folder=tmp_path))


def test_one_is_cancelled_and_idle_processes_are_killed() -> None:
    """What is cancelled takes nothing with it; processes that die without work are replaced."""
    with closing(Local(acts.become, jobs=1)) as engine:
        hangs, waits, last = (engine.submit(what) for what in ("hangs", "waits", "last"))
        engine.cancel(waits)
        with pytest.raises(CancelledError):
            waits.result()
        engine.cancel(hangs)
        assert last.result(60) == "last"
        for pid in list(engine.pool._pool_manager.worker_manager.workers):
            os.kill(pid, signal.SIGKILL)
        time.sleep(1.0)
        assert engine.submit("again").result(60) == "again"


def test_never_more_processes_than_items() -> None:
    for jobs, count, width in ((2, 1, 1), (2, 5, 2), (12, None, 12)):
        with closing(Local(acts.double, jobs=jobs, count=count)) as engine:
            assert engine.width == width


def test_a_folder_that_is_not_shared(tmp_path: Path) -> None:
    """As on a node that does not see it: nothing is begun."""

    def start(do: Any, *, count: int, folder: Path) -> Any:
        folder.rmdir()
        return TWO(do, count=count, folder=folder)

    with pytest.raises(BadInput, match="there on every node, got none; choose --out in a folder that all of them see"):
        list(each(start, acts.double, [1], folder=tmp_path / "there"))


def test_processes_are_gone_when_this_one_is(tmp_path: Path) -> None:
    """However it ended."""
    code = (
        "import os, time\nfrom pathlib import Path\nfrom badnets.engines.local import Local\n"
        "if __name__ == '__main__':\n"
        "    engine = Local(time.sleep, jobs=1)\n    engine.submit(600)\n"
        "    while not (found := list(engine.pool._pool_manager.worker_manager.workers)): time.sleep(0.1)\n"
        "    time.sleep(5)\n    print(found[0], flush=True)\n    os.kill(os.getpid(), 9)\n"
    )
    (tmp_path / "script.py").write_text(code)
    ended = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=False)
    pid = int(ended.stdout)
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2:3]:
            return
        time.sleep(0.1)
    raise AssertionError("it lives on")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "ray-core"}, "one of the engines, got 'ray-core'; did you mean 'ray'"),
        ({"name": "slurm", "address": "auto"}, "--address with --on ray, got --on slurm"),
        ({"gpus": 1.0}, "--cpus and --gpus with --on ray or slurm, got --on local"),
    ],
)
def test_options_that_an_engine_has_no_use_for(options: dict[str, object], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        On(**options)


@pytest.mark.parametrize(("name", "extra"), [("ray", "ray"), ("slurm", "slurm")])
def test_an_engine_that_is_not_installed(
    name: str, extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for package in ("ray", "submitit"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BadInput, match=rf"for --on {name}, got none; pip install 'badnets\[{extra}\]'"):
        On(name)(acts.double, count=1, folder=tmp_path)


def test_slurm_needs_a_folder_and_a_login_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = partial(On("slurm"), acts.double, count=1)
    with pytest.raises(BadInput, match="a folder that all nodes see for --on slurm"):
        start(folder=None)
    pytest.importorskip("submitit", reason="needs the extra slurm")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="no sbatch in PATH"):
        start(folder=tmp_path)


def test_a_limit_is_told_and_what_hangs_is_ended(tmp_path: Path) -> None:
    from badnets.engines.engine import Late

    with closing(Local(acts.become, jobs=1, limit_s=1.0)) as engine:
        jobs = [engine.submit("hangs"), engine.submit("usual")]
        wait(jobs)
        assert isinstance(jobs[0].exception(), Late)
        assert jobs[1].result() == "usual"
