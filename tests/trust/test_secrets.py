"""Passwords and keys are where they belong and nowhere else: not among the arguments of any process, not in the
environment of any that is started, not in what is said or written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from badnets.core.secrets import SECRETS, secret, secrets_apart
from badnets.trust.keys import PASSWORD, make_keys

pytest.importorskip("model_signing", reason="the extra badnets[trust] is not installed")
SECRET = "correct-horse-battery-staple"  # noqa: S105 (of keys that live as long as a test)
WATCHED = """
import json, os, subprocess, sys
started = []
def heard(event, arguments):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"):
        handed = arguments[-1] if event != "os.system" else None
        started.append([event, repr(arguments), repr(dict(os.environ if handed is None else handed))])
sys.addaudithook(heard)
from badnets.cli.main import main
try:
    main(json.loads(os.environ.pop("WORDS")))
finally:
    subprocess.run([sys.executable, "-c", ""], env={})  # the last one is ours: the hook hears
    json.dump(started, open(os.environ["HEARD"], "w"))
"""
CHILD = """
import subprocess, sys
from badnets.trust import signing
usual = signing._states
def states(model):  # as if signing asked another program meanwhile
    found = subprocess.run([sys.executable, "-c", "import os; print(dict(os.environ))"], capture_output=True, text=True)
    sys.stderr.write(found.stdout)
    return usual(model)
signing._states = states
from badnets.cli.main import main
main(sys.argv[1:])
"""


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_keys(tmp_path / "alice", password=SECRET.encode())
    (tmp_path / "network.pt").write_bytes(bytes(1 << 20))
    return tmp_path / "alice"


def the_secret(key: Path) -> list[str]:
    """What must be nowhere: the password, and the lines of the key."""
    return [SECRET, *key.read_text().splitlines()[1:-1]]


class Processes(threading.Thread):
    """Looks at the process list as others on this machine can, until it is told to stop."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.done, self.arguments, self.environments = root, False, set[bytes](), dict[int, bytes]()

    def run(self) -> None:
        while not self.done:
            family = {self.root}
            for place in Path("/proc").glob("[0-9]*"):
                try:
                    self.arguments.add((place / "cmdline").read_bytes())
                    parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                    if parent in family and int(place.name) != self.root:
                        family.add(int(place.name))
                        self.environments[int(place.name)] = (place / "environ").read_bytes()
                except (OSError, ValueError):  # it ended meanwhile
                    continue
            time.sleep(0.005)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs the process list of Linux")
@pytest.mark.parametrize(
    "words",
    ["sign network.pt --key alice --json", "keygen bob", "catalogue init c --root-key alice --key online"],
)
def test_no_process_has_it(words: str, key: Path, tmp_path: Path) -> None:
    make_keys(tmp_path / "online", password=SECRET.encode())
    env = {**os.environ, PASSWORD: SECRET, "WORDS": json.dumps(words.split()), "HEARD": str(tmp_path / "heard")}
    command = [sys.executable, "-c", WATCHED]
    env["BADNETS_CACHE"] = str(tmp_path / "cache")
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=env, cwd=tmp_path) as process:
        watching = Processes(process.pid)
        watching.start()
        out, err = process.communicate(timeout=300)
        watching.done = True
        watching.join()
    assert process.returncode == 0, err
    hidden = the_secret(key)
    assert any(b"WATCHED" in one or b"addaudithook" in one for one in watching.arguments)  # it was looked at
    assert not [one for one in watching.arguments if any(part.encode() in one for part in hidden)]
    assert not [one for one in watching.environments.values() if any(part.encode() in one for part in hidden)]
    heard = json.loads((tmp_path / "heard").read_text())
    assert heard[-1][0] == "subprocess.Popen"
    assert not [one for one in heard[:-1] if any(part in text for text in one for part in hidden)]
    assert not [part for part in hidden if part in out + err]


def test_a_process_that_is_started_does_not_inherit_it(key: Path, tmp_path: Path) -> None:
    env = {**os.environ, PASSWORD: SECRET}
    command = [sys.executable, "-c", CHILD, "sign", "network.pt", "--key", "alice"]
    said = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "'PATH'" in said.stderr  # it was asked, and told its environment
    assert SECRET not in said.stderr + said.stdout


def test_secrets_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, SECRET)
    assert PASSWORD in SECRETS
    with secrets_apart():
        assert PASSWORD not in os.environ
        assert secret(PASSWORD) == SECRET
    assert os.environ[PASSWORD] == secret(PASSWORD) == SECRET
    monkeypatch.delenv(PASSWORD)
    assert secret(PASSWORD) is None


@pytest.mark.parametrize(
    "words",
    [
        "sign network.pt --key alice --debug",
        "sign network.pt --key alice --json",
        "sign nowhere --key alice --debug",
        "sign network.pt --key alice --signature /proc/nowhere/x --debug",
        "catalogue init c --root-key alice --key online --json",
        "catalogue sign c --key alice --debug",
        "verify network.pt --key alice --debug",
    ],
)
@pytest.mark.parametrize("given", [SECRET, f"wrong-{SECRET}"])
def test_nothing_that_is_said_or_written_has_it(words: str, given: str, key: Path, tmp_path: Path) -> None:
    """Lines, JSON, tracebacks, logs at their loudest, and every file that is there afterwards."""
    make_keys(tmp_path / "online", password=SECRET.encode())
    hidden = [*the_secret(key), *the_secret(tmp_path / "online")]
    loud = "import logging, sys; logging.basicConfig(level=1); from badnets.cli.main import main; main(sys.argv[1:])"
    env = {**os.environ, PASSWORD: given, "BADNETS_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", loud, *words.split()]
    said = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode in (0, 2), said.stderr
    assert not [part for part in hidden if part in said.stdout + said.stderr]
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name not in ("alice", "online")]
    assert not [path for path in written if any(part.encode() in path.read_bytes() for part in hidden)]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a terminal of Linux")
def test_a_password_that_is_typed_is_not_shown(key: Path, tmp_path: Path) -> None:
    import pty

    words = [sys.executable, "-m", "badnets.cli.main", "sign", str(tmp_path / "network.pt"), "--key", str(key)]
    env = {name: value for name, value in os.environ.items() if name != PASSWORD}
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe(words[0], words, env)  # noqa: S606 (our own Python)
    seen, asked = b"", False
    while True:
        try:
            block = os.read(terminal, 4096)
        except OSError:  # the other end closed
            break
        seen += block
        if not asked and b"password of" in seen:
            asked = True
            os.write(terminal, f"{SECRET}\n".encode())
        if not block:
            break
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, seen
    assert asked
    assert b"signed" in seen
    assert SECRET.encode() not in seen
