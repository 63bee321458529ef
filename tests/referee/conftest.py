"""Small runs that several tests look at: digits of 16x16, one epoch, a second each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from badnets.referee.run import Finished, run
from badnets.referee.spec import SpecFile, make_spec

Table = dict[str, Any]


def tiny(**changes: Any) -> Table:
    """The table of a small experiment."""
    return {
        "name": "tiny",
        "data": {"name": "digits", "size": 16},
        "network": "g1-cnn",
        "recipe": {"epochs": 1, "batch": 128, "precision": "fp32"},
        "backdoor": {"trigger": {"kind": "pattern", "place": "random"}, "rule": "all-to-one", "poison": {"rate": 0.3}},
        **changes,
    }


def _file(table: Table) -> SpecFile:
    """As ``read_spec`` gives it."""
    return SpecFile(given=table, spec=make_spec(table))


@pytest.fixture
def table() -> Callable[..., Table]:
    """``tiny``, for tests."""
    return tiny


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Finished]:
    """Run a table into ``tmp_path / "run"``."""

    def call(table: Table | None = None, **options: Any) -> Finished:
        return run(_file(table or tiny()), **{"out": tmp_path / "run", **options})

    return call


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, _session_cache: Path) -> Finished:
    """One seed, all-to-one."""
    return _run_once(tiny(), tmp_path_factory.mktemp("runs") / "one", _session_cache)


@pytest.fixture(scope="session")
def two_seeds(tmp_path_factory: pytest.TempPathFactory, _session_cache: Path) -> Finished:
    """Two seeds, one source, cover rows, jitter."""
    backdoor = {
        "trigger": {"kind": "square", "size": 3},
        "rule": {"kind": "source-to-target", "source": 3, "target": 8},
        "poison": {"rate": 0.05, "cover": 0.05},
    }
    table = tiny(seeds=[5, 2**70], backdoor=backdoor, jitter={"size": 0.2})
    return _run_once(table, tmp_path_factory.mktemp("runs") / "two", _session_cache)


def _run_once(table: Table, out: Path, cache: Path) -> Finished:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BADNETS_CACHE", str(cache))
        return run(_file(table), out=out, command="badnets run tiny.toml")
