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


@pytest.fixture
def badnets(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Said]:
    """``badnets("list triggers", ...)`` as if typed in ``tmp_path``; the first argument is split at its spaces."""
    monkeypatch.chdir(tmp_path)

    def call(line: str, *more: str | Path) -> Said:
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # a command tells warnings; pytest would raise them
            code = _exit_code([*line.split(), *map(str, more)])
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return call


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
def tiny_run(tmp_path_factory: pytest.TempPathFactory, _session_cache: Path) -> Path:
    """The folder of that experiment, finished."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("BADNETS_CACHE", str(_session_cache))
        assert _exit_code(["attack", *TINY.split(), "--out", str(folder), "--json"]) == 0
    return folder
