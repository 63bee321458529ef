"""Faults: a process that is killed, a full disk, places that may not be written, two at once, other threads.

``Command`` runs badnets in a folder with a fault; after it what stood there must stand whole or not at all, and the
same command without a fault must end with the same bits and leave nothing over.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

KILLED = 137
SMALL = ["--network", "resnet9:width=4", "--set", "recipe.batch=8", "--set", "recipe.precision=fp32"]
_TIMES = ("sha256", "seconds", "timings_s", "command", "commit", "spec", "model", "trigger_from", "data")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """66 pictures of 3 classes, 16x16x3."""
    rng = np.random.default_rng(7)
    labels = np.tile(np.arange(3), 22)
    images = np.clip(rng.normal(64 + 64 * labels[:, None, None, None], 20, (66, 16, 16, 3)), 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("good") / "pictures.npz"
    np.savez_compressed(path, images=images, labels=labels, class_names=np.array(["cat", "dog", "owl"]))
    return path


@pytest.fixture(scope="session")
def server(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """One process that has everything imported."""
    if sys.platform != "linux":
        pytest.skip("faults are made by means of Linux")
    backdoor = {"trigger": "square", "rule": {"kind": "all-to-one", "target": 1}, "poison": {"rate": 0.2}}
    recipe = {"epochs": 2, "batch": 8, "precision": "fp32"}
    spec = {"data": str(pictures), "network": "resnet9:width=4", "recipe": recipe, "backdoor": backdoor}
    run, repaired = "FOLDER/run", "FOLDER/r.safetensors"
    warm_up = [
        _attack(pictures, run, epochs=2),
        ["repair", run, "--trigger-from", run, "--method", "fine-tune", "--set", "epochs=1", "--out", repaired],
        ["export", run, "--out", "FOLDER/export"],
        ["reproduce", "two-trials", "--out", "FOLDER/study"],
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "SPEC": json.dumps(spec), "WARM_UP": json.dumps(warm_up)}
    errors = tmp_path_factory.mktemp("server") / "errors"
    command = [sys.executable, str(Path(__file__).with_name("server.py"))]
    with errors.open("w") as log:
        process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=log, text=True, env=env)
    with process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@dataclass
class Place:
    """A folder with the user's folders around it, in which commands are run."""

    server: subprocess.Popen[str]
    around: Path
    pictures: Path

    @property
    def here(self) -> Path:
        """Where the command works."""
        return self.around / "here"

    def attack(self, out: str, *more: str, epochs: int = 1) -> list[str]:
        """A small experiment."""
        return _attack(self.pictures, out, *more, epochs=epochs)

    def contents(self, name: str) -> dict[str, Any]:
        """What every file of a folder holds; of records, all but times, and of pages that they are there."""
        found: dict[str, Any] = {}
        for path in sorted(path for path in (self.here / name).rglob("*") if path.is_file()):
            content, page = path.read_bytes(), path.suffix == ".html"
            sha256 = hashlib.sha256(content).hexdigest()
            own = path.relative_to(self.here / name).as_posix()
            found[own] = _bits(json.loads(content)) if path.suffix == ".json" else page or sha256
        return found

    def __call__(self, argv: list[str], **fault: Any) -> dict[str, Any]:
        """Run it; ``fault``: see server.py."""
        env = {"HOME": "home", "TMPDIR": "tmp", "BADNETS_CACHE": "cache", "PATH": "path"}
        env = {name: str(self.around / place) for name, place in env.items()} | fault.pop("env", {})
        return dict(self._ask({"argv": argv, "cwd": str(self.here), "env": env, **fault}))

    def collect(self) -> list[dict[str, Any]]:
        """What was begun with ``wait=False``."""
        return list(self._ask({"collect": True}))

    def _ask(self, job: dict[str, Any]) -> Any:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(job) + "\n")
        self.server.stdin.flush()
        while (line := self.server.stdout.readline()) and not line.startswith(("{", "[")):
            pass  # what the commands of the warm-up said
        return json.loads(line)

    def put(self, state: Path | None) -> None:
        """Everything as in ``state``, or empty."""
        shutil.rmtree(self.around, ignore_errors=True)
        if state is not None:
            shutil.copytree(state, self.around)
        for name in ("home", "tmp", "cache", "path", "here"):
            (self.around / name).mkdir(exist_ok=True, parents=True)

    def tree(self) -> set[str]:
        """All that there is, but for the locks of the cache; of the cache's entries how many."""
        every = {path.relative_to(self.around).as_posix() for path in self.around.rglob("*")}
        return {name.rpartition("-")[0] if "cache/" in name else name for name in every if "cache/locks" not in name}


@pytest.fixture
def place(server: subprocess.Popen[str], pictures: Path, tmp_path: Path) -> Place:
    """An empty one."""
    made = Place(server, tmp_path / "around", pictures)
    made.put(None)
    return made


@pytest.fixture(scope="session")
def _straight() -> dict[str, Any]:
    return {}


@pytest.fixture
def wanted(place: Place, _straight: dict[str, Any]) -> Callable[..., Any]:
    """``wanted(argv)``: what an undisturbed run into ``run`` comes to."""

    def undisturbed(argv: list[str], **fault: Any) -> Any:
        key = json.dumps([argv, fault])
        if key not in _straight:
            ended = place(argv, **fault)
            assert ended["code"] == 0, ended["err"]
            _straight[key] = place.contents("run")
            place.put(None)
        return _straight[key]

    return undisturbed


@pytest.fixture
def killed_everywhere(place: Place, tmp_path: Path) -> Callable[..., int]:
    """``killed_everywhere(argv, before, whole, result)``: see below; gives how many places there were."""

    def check(
        argv: list[str],
        *,
        whole: Callable[[], object],
        result: Callable[[], object],
        again: list[str] | None = None,
        every: int = 1,
        codes: tuple[int, ...] = (0,),
        **fault: Any,
    ) -> int:
        """From the state that ``place`` is in: run ``argv`` killed at each of its steps (each ``every``-th), let
        ``whole()`` look at what it left, run it (or ``again``) undisturbed, and compare ``result()`` and all
        files with those of one that was never disturbed."""
        state = tmp_path / "state"
        shutil.copytree(place.around, state)
        undisturbed = place(argv, **fault)
        assert undisturbed["code"] == 0, undisturbed["err"]
        steps = undisturbed["steps"]
        wanted, files = result(), place.tree()
        problems = []
        for at in range(1, len(steps) + 1, every):
            place.put(state)
            ended = place(argv, kill_at=at, **fault)
            try:
                assert ended["code"] == KILLED, ended["err"]
                whole()
                ended = place(again or argv, **fault)
                assert ended["code"] in codes, ended["err"]
                assert result() == wanted, "other bits"
                assert place.tree() == files, f"left over or lost: {sorted(place.tree() ^ files)}"
            except AssertionError as error:
                problems.append(f"before step {at} of {len(steps)} ({steps[at - 1]}): {str(error)[:600]}")
        assert not problems, f"{len(problems)} of {len(steps)}:\n" + "\n".join(problems[:8])
        return len(steps)

    return check


def _attack(pictures: Path, out: str, *more: str, epochs: int = 1) -> list[str]:
    words = ["attack", "--data", str(pictures), "--trigger", "square", "--target", "dog", "--rate", "0.2"]
    return [*words, "--epochs", str(epochs), *SMALL, "--out", out, *more]


def _bits(value: Any) -> Any:
    """A record without times and places."""
    if isinstance(value, dict):
        return {name: _bits(one) for name, one in value.items() if name not in _TIMES}
    return [_bits(one) for one in value] if isinstance(value, list) else value
