"""Hostile inputs: what strangers' files must never do to whoever opens them.

``hostile(*argv)`` runs a command in ``folder`` and checks what is promised for every input: an exit code that is
expected, no traceback, one short sentence without control characters, bounded memory and time, nothing written outside,
nothing started.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
SAMPLE = 6
"""One case in so many is run by default; all are where the slow tests are, in CI."""
MOST_MIB = 1024
MOST_SECONDS = 20
MOST_LETTERS = 400
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\u2028\u2029]")
_NOT_OURS = ("weights_only", "Input should", "pydantic", "report it", "Traceback", "String should")
_HELPERS = ("gs", "gswin64c", "tar", "unzip", "gzip", "convert", "xdg-open", "display", "xv", "sh")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of thousands of cases a share is tried by default, the same one everywhere: by the digest of its name."""
    for item in items:
        if HERE in item.path.parents and zlib.crc32(item.nodeid.rpartition("/")[2].encode()) % SAMPLE:
            item.add_marker("slow")


@pytest.fixture(scope="session")
def server() -> Iterator[subprocess.Popen[str]]:
    """One process that has everything imported."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("server.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the command works: all it may write to."""
    inside = tmp_path / "around" / "here"
    inside.mkdir(parents=True)
    return inside


@pytest.fixture
def hostile(server: subprocess.Popen[str], folder: Path) -> Callable[..., dict[str, Any]]:
    """``hostile("predict", file, ..., code=2)``: runs it and checks all that is promised; gives what came out."""
    around = folder.parent
    for name in ("home", "tmp", "cache", "path"):
        (around / name).mkdir()
    for name in _HELPERS:
        stub = around / "path" / name
        stub.write_text(f"#!/bin/sh\n: > {around}/started-{name}\n")
        stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    env = {"HOME": "home", "TMPDIR": "tmp", "BADNETS_CACHE": "cache", "PATH": "path", "HDF5_PLUGIN_PATH": "path"}
    env = {name: str(around / place) for name, place in env.items()}

    def run(*argv: object, code: int | tuple[int, ...] = 2, env: dict[str, str] = env) -> dict[str, Any]:
        before = _listing(around)
        job = {"argv": [os.fsdecode(str(word)) for word in argv], "cwd": str(folder), "env": env}
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        result: dict[str, Any] = json.loads(server.stdout.readline())
        _check(result, code)
        after = _listing(around)
        assert after == before, f"written or started: {sorted(after ^ before)}"
        return result

    return run


def _listing(around: Path) -> set[str]:
    """All that lies around the folder of the command, but for the cache and what the server writes."""
    own = ("here", "cache", "stdout", "stderr")
    tops = [path for path in around.iterdir() if path.name not in own]
    return {str(path) for top in tops for path in (top, *top.rglob("*"))}


def _check(result: dict[str, Any], code: int | tuple[int, ...]) -> None:
    err, out = result["err"], result["out"]
    shown = f"exit {result['code']}, {result['seconds']:.1f} s, {result['peak_mib']:.0f} MiB\n{err[-2000:]}"
    assert not result["killed"], f"too long: {shown}"
    assert result["code"] in ((code,) if isinstance(code, int) else code), shown
    assert not any(words in err for words in _NOT_OURS), shown
    assert result["peak_mib"] < MOST_MIB, shown
    assert result["seconds"] < MOST_SECONDS, shown
    for text in (out, err):
        assert not _CONTROL.search(text.replace("\r\n", "\n")), f"control characters: {text!r:.1000}"
    if result["code"] not in (0, 1):  # 1: something was found, which is the result
        lines = [line for line in err.splitlines() if line.startswith("badnets: ") and "warning:" not in line]
        assert len(lines) == 1, shown
        assert len(lines[0]) <= MOST_LETTERS + len("badnets: "), f"{len(lines[0])} letters: {shown}"
    for line in err.splitlines():
        assert len(line) <= MOST_LETTERS + 60, f"{len(line)} letters: {shown}"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good .npz: 48 pictures of 3 classes, 16x16x3."""
    rng = np.random.default_rng(7)
    labels = np.tile(np.arange(3), 16)
    images = np.clip(rng.normal(64 + 64 * labels[:, None, None, None], 20, (48, 16, 16, 3)), 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("good") / "pictures.npz"
    np.savez_compressed(path, images=images, labels=labels, class_names=np.array(["cat", "dog", "owl"]))
    return path


@pytest.fixture(scope="session")
def good_run(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A good run of two seeds on them."""
    place = tmp_path_factory.mktemp("run")
    env = {**os.environ, "OMP_NUM_THREADS": "1", "BADNETS_CACHE": str(place / "cache")}
    words = ["attack", "--data", pictures, "--network", "resnet9:width=4", "--trigger", "square", "--target", "dog"]
    more = ["--rate", "0.2", "--epochs", "1", "--seeds", "2", "--out", place / "run"]
    subprocess.run([sys.executable, "-m", "badnets", *map(str, words + more)], env=env, check=True, capture_output=True)
    return place / "run"


@pytest.fixture
def run_folder(good_run: Path, folder: Path) -> Path:
    """A copy of the good run that may be damaged."""
    return Path(shutil.copytree(good_run, folder / "run"))


@pytest.fixture(scope="session")
def mutated() -> Callable[[bytes, int], bytes]:
    """``mutated(content, seed)``: some bytes changed near both ends, where headers and directories lie."""

    def change(content: bytes, seed: int) -> bytes:
        rng, data = Random(seed), bytearray(content)
        for _ in range(rng.choice((1, 4, 30))):
            at = rng.choice((rng.randrange(min(300, len(data))), -1 - rng.randrange(min(300, len(data)))))
            data[at] = rng.choice((0, 255, 1, rng.randrange(256)))
        if seed % 5 == 0:
            del data[rng.randrange(len(data)) :]
        return bytes(data)

    return change
