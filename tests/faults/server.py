"""Runs commands of badnets in forks of one process that has imported everything already, with a fault in each.

One JSON object a line on stdin: {"argv", "cwd", "env", "kill_at", "file_limit", "threads", "user", "no_exchange",
"wait"}; one a line on stdout: {"code", "out", "err", "steps"}. ``kill_at`` n: the process ends as if by SIGKILL just
before its n-th rename, removal, fsync or exchange; 0: never. ``steps`` are all that it came to. With ``wait`` false the
answer comes at once, and the next {"collect": true} collects what was begun so.
"""

from __future__ import annotations

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
    begun: list[tuple[int, Path]] = []
    for line in sys.stdin:
        job = json.loads(line)
        if "collect" in job:
            answer: Any = [_ended(*one) for one in begun]
            begun = []
        else:
            own = Path(tempfile.mkdtemp(prefix="faults-"))
            child = os.fork()
            if child == 0:
                _be_the_command(job, own)
            if job.get("wait", True):
                answer = _ended(child, own)
            else:
                begun.append((child, own))
                answer = {}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _ended(child: int, own: Path) -> dict[str, Any]:
    _, status = os.waitpid(child, 0)
    texts = {path.name: path.read_text(errors="replace") for path in own.iterdir()}
    for path in own.iterdir():
        path.unlink()
    own.rmdir()
    steps = texts.get("steps", "").split()
    return {"code": os.waitstatus_to_exitcode(status), "out": texts["out"], "err": texts["err"], "steps": steps}


def _prepare() -> None:
    """Import all, once for all commands, and let a study of two small trials be there."""
    from badnets.cli.main import main as command
    from badnets.core.rate import Rate
    from badnets.studies import trials
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
    trials.ProcessPoolExecutor = _InTurn  # type: ignore[misc]  # here, where the fault is
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BADNETS_CACHE"] = folder
        for argv in json.loads(os.environ["WARM_UP"]):
            try:
                command([word.replace("FOLDER", folder) for word in argv])
            except SystemExit as ended:
                assert not ended.code, argv
            sys.stdout.flush()


class _InTurn:
    """Stands in for a pool of processes."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> _InTurn:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, act: Any, *given: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(act(*given))
        return future

    def shutdown(self, **_: Any) -> None:
        pass


def _be_the_command(job: dict[str, Any], own: Path) -> None:
    code = 99
    log = os.open(own / "steps", os.O_WRONLY | os.O_CREAT)
    try:
        for number, path in ((0, Path(os.devnull)), (1, own / "out"), (2, own / "err")):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), number)
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


def _with_faults(job: dict[str, Any], log: int) -> None:
    import torch

    from badnets.core import files

    if job.get("threads"):
        torch.set_num_threads(job["threads"])
    if job.get("user"):
        os.setgid(job["user"])
        os.setuid(job["user"])
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
            return act(*given, **named)

        return step

    for name in _STEPS:
        setattr(os, name, counted(name, getattr(os, name)))
    files.exchange = counted("exchange", files.exchange)


if __name__ == "__main__":
    main()
