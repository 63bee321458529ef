"""One task of a sweep, in whatever process an engine gives it: run, and put into the store."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from badnets.core.cache import cache_dir
from badnets.core.errors import first_line
from badnets.core.files import digest, discard
from badnets.core.progress import Lines, Watcher
from badnets.records.model import JSON
from badnets.sweeps.store import LOG, Store

if TYPE_CHECKING:
    from pathlib import Path


LATE = "it took longer than the limit"


@dataclass(frozen=True)
class Work:
    """What an engine is given: JSON alone, so that any process anywhere can do it. ``spec`` has one seed."""

    store: str
    task: str
    spec: JSON


def carry_out(work: Work) -> str | None:
    """Do it: None, or why it failed. A task that was stopped goes on, on the same machine, after its last epoch."""
    from badnets.referee.run import run
    from badnets.referee.spec import SpecFile, make_spec

    store, log = Store(work.store), io.StringIO()
    lines = Lines(write=lambda line: print(line, file=log))
    folder = scratch(work)
    store.begin(work.task)
    try:
        watcher = Watcher(say=lines.say, progress=lines.progress, mark=lines.mark)
        spec = make_spec(work.spec, where=f"task {work.task}")
        finished = run(SpecFile(given=work.spec, spec=spec), out=folder, watcher=watcher)
        (finished.folder / LOG).write_text(log.getvalue(), encoding="utf-8")
        store.put(work.task, finished.folder)
    except Exception as error:  # noqa: BLE001 (whatever a task raises is its own affair, and stops no other)
        store.fail(work.task, first_line(error) or type(error).__name__, log.getvalue())
        return first_line(error) or type(error).__name__
    finally:
        store.end(work.task)
    discard(folder)
    return None


def warm() -> None:
    """Import what every task needs: that is no part of the time that one takes."""
    import_module("badnets.referee.run")


def guarded(device: str, limit_s: float | None, do: Callable[[Work], str | None], work: Work) -> str | None:
    """``do`` it in a process of a cluster: on ``device``, with one thread, and no longer than ``limit_s`` seconds (its
    start left out); then the store says so, and the process ends."""
    import torch

    from badnets.networks.device import choose

    def late() -> None:
        Store(work.store).fail(work.task, LATE)
        os._exit(75)

    choose(device)
    torch.set_num_threads(1)
    warm()
    watch = threading.Timer(limit_s or threading.TIMEOUT_MAX, late)
    watch.daemon = True
    watch.start()
    try:
        return do(work)
    finally:
        watch.cancel()


def scratch(work: Work) -> Path:
    """Where a task works before it is put into the store: in the cache, so that it can go on."""
    return cache_dir() / "sweeps" / digest({"store": work.store})[:8] / work.task
