"""Where words go: broken pipes, full and closed streams, terminals of another encoding, Ctrl-C at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "badnets"]


def _sh(text: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    script = text.replace("badnets ", f"{sys.executable} -m badnets ")
    full = {**os.environ, **(env or {})}
    return subprocess.run(["bash", "-c", script], capture_output=True, env=full, check=False, timeout=120)


@pytest.mark.parametrize("command", ["list", "list --json", "--help", "show RUN", "show RUN --json", "report RUN"])
def test_a_broken_pipe_is_no_error(command: str, good_run: Path) -> None:
    ended = _sh(f"badnets {command.replace('RUN', str(good_run))} | true; exit ${{PIPESTATUS[0]}}")
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize("command", ["list", "list --json", "--version", "--help", "show RUN", "compare RUN RUN"])
def test_a_full_device(command: str, good_run: Path) -> None:
    ended = _sh(f"badnets {command.replace('RUN', str(good_run))} > /dev/full")
    assert ended.returncode == 2
    assert ended.stderr.decode().startswith("badnets: expected room")
    assert ended.stderr.count(b"\n") == 1


@pytest.mark.parametrize("command", ["list", "list --json", "--help", "show RUN"])
def test_a_closed_stdout(command: str, good_run: Path) -> None:
    ended = _sh(f"badnets {command.replace('RUN', str(good_run))} >&-")
    assert ended.returncode in (0, 2)
    assert b"Traceback" not in ended.stderr
    assert ended.stderr.count(b"\n") <= 1


@pytest.mark.parametrize("command", ["show nothing", "list"])
def test_a_closed_stderr(command: str) -> None:
    ended = _sh(f"badnets {command} 2>&-")
    assert ended.returncode == (2 if "nothing" in command else 0)


def test_all_closed() -> None:
    assert _sh("badnets list <&- >&- 2>&-").returncode in (0, 2)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
@pytest.mark.parametrize("command", ["list", "compare RUN RUN", "show RUN", "evaluate RUN --data PICTURES"])
def test_other_encodings(command: str, encoding: str, good_run: Path, pictures: Path) -> None:
    words = command.replace("RUN", str(good_run)).replace("PICTURES", str(pictures))
    ended = _sh(f"badnets {words}", {"PYTHONIOENCODING": encoding})
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4])
def test_interrupted_at_once(after_s: float, tmp_path: Path) -> None:
    """Whenever it comes: no traceback, and the exit code of an interruption (or of the signal, before we are there)."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs are deaf to it, and so are theirs
    try:
        process = subprocess.Popen([*COMMAND, "demo", "--out", str(tmp_path / "run")], stderr=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        time.sleep(after_s)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read().decode()
    early = (1,) if after_s < 0.1 else ()  # python's own, before a line of ours is run
    assert process.returncode in (130, -signal.SIGINT, 2, *early)
    if after_s >= 0.1:
        assert "badnets/" not in said, said
        assert "Traceback" not in said, said
