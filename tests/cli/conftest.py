"""The command line in this process, in a folder of its own: exit code, stdout, stderr."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from badnets.cli.main import main

TINY = (
    "--data digits --size 16 --network g1-cnn --epochs 1 --rate 0.3 --set recipe.batch=128 --set recipe.precision=fp32"
)


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout, which must be JSON and nothing else."""
        return json.loads(self.out)

    @property
    def message(self) -> str:
        """Stderr, which must be one line."""
        (line,) = self.err.splitlines()
        return line


@dataclass(frozen=True)
class Badnets:
    """``badnets("list triggers", ...)`` as if typed; the first argument is split at its spaces."""

    capsys: pytest.CaptureFixture[str]

    def __call__(self, line: str, *more: str | Path) -> Said:
        self.capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # a command tells warnings; pytest would raise them
            code = _exit_code([*line.split(), *map(str, more)])
        out, err = self.capsys.readouterr()
        return Said(code, out, err)

    def done(self, line: str, *more: str | Path) -> Said:
        """The same, which must go well."""
        said = self(line, *more)
        assert said.code == 0, said.err
        return said

    def silent(self, line: str, *more: str | Path) -> Said:
        """The same, and nothing is said beside the result."""
        said = self.done(line, *more)
        assert said.err == ""
        return said

    def refused(self, words: str, line: str, *more: str | Path) -> None:
        """The same, which must be refused in one sentence with these ``words``."""
        said = self(line, *more)
        assert (said.code, said.out) == (2, ""), said.err
        assert words in said.message


@pytest.fixture
def badnets(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Badnets:
    """The command line in ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    return Badnets(capsys)


def _exit_code(words: list[str]) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


@pytest.fixture
def tiny() -> str:
    """The options of a small experiment, a second long."""
    return TINY


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, _session_cache: Path) -> Callable[[str], Path]:
    """``finished(options)``: the folder of an experiment that is done."""

    def run(options: str) -> Path:
        folder = tmp_path_factory.mktemp("cli") / "run"
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patch.setenv("BADNETS_CACHE", str(_session_cache))
            assert _exit_code(["attack", *options.split(), "--out", str(folder), "--json"]) == 0
        return folder

    return run


@pytest.fixture(scope="session")
def tiny_run(finished: Callable[[str], Path]) -> Path:
    """The folder of the small experiment, finished."""
    return finished(TINY)
