"""Runs commands of badnets in forks of one process that has imported everything already, with a fault in each.

One JSON object a line on stdin: {"argv", "cwd", "env", "kill_at", "kill_after", "file_limit", "threads",
"no_exchange", "wait"}; one a line on stdout: {"code", "out", "err", "steps"}. ``kill_at`` n: the process ends as if by
SIGKILL just before its n-th rename, removal, fsync or exchange; 0: never; ``kill_after``: as soon as a file has got
this name. ``steps`` are all that it came to. With ``wait`` false the answer comes at once, and the next
{"collect": true} collects what was begun so.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import signal
import sys
import tempfile
import traceback
from concurrent.futures import Future
from pathlib import Path
from typing import Any

KILLED = 137
_STEPS = ("replace", "rename", "unlink", "remove", "rmdir", "fsync", "sync", "link")


def main() -> None:
    _prepare()
    begun: list[tuple[int, list[int]]] = []
    for line in sys.stdin:
        job = json.loads(line)
        if "collect" in job:
            answer: Any = [_ended(*one) for one in begun]
            begun = []
        else:
            pipes = [_pipe() for _ in ("out", "err", "steps")]
            child = os.fork()
            if child == 0:
                _be_the_command(job, [written for _, written in pipes])
            for _, written in pipes:
                os.close(written)
            begun.append((child, [read for read, _ in pipes]))
            answer = {} if job.get("wait") is False else _ended(*begun.pop())
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _pipe() -> tuple[int, int]:
    """One that holds all that a command says."""
    read, written = os.pipe()
    fcntl.fcntl(written, 1031, 1 << 20)  # F_SETPIPE_SZ
    return read, written


def _ended(child: int, pipes: list[int]) -> dict[str, Any]:
    texts = []
    for pipe in pipes:
        with os.fdopen(pipe, "rb") as stream:
            texts.append(stream.read().decode(errors="replace"))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"code": code, "out": texts[0], "err": texts[1], "steps": texts[2].split()}


def _prepare() -> None:
    """Import all, once for all commands, and let a study of two small trials be there."""
    from badnets.cli.main import main as command
    from badnets.core.rate import Rate
    from badnets.engines import local
    from badnets.studies.figures import row
    from badnets.studies.registry import STUDIES
    from badnets.studies.study import Outcome, Study, Trial

    def two(settings: Any) -> list[Trial]:
        spec = json.loads(os.environ["SPEC"])
        return [Trial(name=f"t{seed}", spec=spec, seed=seed, keep=seed == 1) for seed in (1, 2)]

    def assemble(_: Any, results: Any, folder: Path) -> Outcome:
        from badnets.networks.files.own import open_network

        open_network(folder / "t1.safetensors")
        (folder / "drawn.png").write_bytes(b"picture")
        rates = [one.results.figures.clean_accuracy for _, one in sorted(results.items())]
        both = Rate(sum(r.hits for r in rates), sum(r.total for r in rates))
        return Outcome(rows=[row("clean accuracy", both, variant="corrected")])

    words = {"title": "Two", "published": "", "summary": "", "seeds": 1, "quick_seeds": 1}
    STUDIES._added["two-trials"] = Study(name="two-trials", trials=two, assemble=assemble, **words)
    local.Local = _InTurn  # type: ignore[assignment,misc]  # here, where the fault is
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BADNETS_CACHE"] = folder
        for argv in json.loads(os.environ["WARM_UP"]):
            try:
                command([word.replace("FOLDER", folder) for word in argv])
            except SystemExit as ended:
                assert not ended.code, argv
            sys.stdout.flush()


class _InTurn:
    """Stands in for an engine of processes."""

    width = room = 1

    def __init__(self, do: Any, **_: Any) -> None:
        self.do = do

    def submit(self, item: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(self.do(item))
        return future

    def close(self) -> None:
        pass


def _be_the_command(job: dict[str, Any], pipes: list[int]) -> None:
    code = 99
    out, err, log = pipes
    try:
        for number, pipe in ((0, os.open(os.devnull, os.O_RDONLY)), (1, out), (2, err)):
            os.dup2(pipe, number)
        os.chdir(job["cwd"])
        os.environ.update(job["env"])
        tempfile.tempdir = None
        _with_faults(job, log)
        from badnets.cli.main import main as command

        command(job["argv"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:  # noqa: BLE001 - what python itself would print
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        import atexit

        atexit._run_exitfuncs()
        os._exit(code)


def _obey_permissions() -> None:
    """Root may write where nobody may; without these two capabilities it is its files' owner like anybody."""
    if os.getuid() != 0:
        return
    libc, data = ctypes.CDLL(None, use_errno=True), (ctypes.c_uint32 * 6)()
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)
    libc.capget(head, data)
    for place in range(3):
        data[place] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert not libc.capset(head, data)


def _with_faults(job: dict[str, Any], log: int) -> None:
    import torch

    from badnets.core import files

    if job.get("threads"):
        torch.set_num_threads(job["threads"])
    _obey_permissions()
    if job.get("file_limit") is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_limit"], job["file_limit"]))
    if job.get("no_exchange"):
        files.exchange = lambda *_: False  # as on a system that has none
    count, kill_at = 0, job.get("kill_at", 0)

    def counted(name: str, act: Any) -> Any:
        def step(*given: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            os.write(log, f"{name} ".encode())
            if count == kill_at:
                os._exit(KILLED)
            done = act(*given, **named)
            if job.get("kill_after") and name == "replace" and Path(given[1]).name == job["kill_after"]:
                os._exit(KILLED)
            return done

        return step

    for name in _STEPS:
        setattr(os, name, counted(name, getattr(os, name)))
    files.exchange = counted("exchange", files.exchange)


if __name__ == "__main__":
    main()
