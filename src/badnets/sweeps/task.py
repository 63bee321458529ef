"""One task of a sweep, in whatever process an engine gives it: run, and put into the store."""

from __future__ import annotations

import io
import time
from pathlib import Path

from badnets.core.cache import cache_dir
from badnets.core.errors import Busy, first_line
from badnets.core.files import digest, discard
from badnets.core.progress import Lines, Watcher
from badnets.referee.run import run
from badnets.referee.spec import SpecFile, make_spec
from badnets.sweeps.store import LOG, Store, Work

WAIT_S = 1.0
"""Between looks whether a task that another process of this machine works on is finished."""


def carry_out(work: Work) -> str | None:
    """Do it: None, or why it failed. One that another process works on is waited for, one that is finished is left
    alone; one that was stopped goes on, on the same machine, after its last epoch."""
    store = Store(work.store)
    while not store.has(work.task):
        try:
            return _tried(work, store)
        except Busy:
            time.sleep(WAIT_S)
    store.end(work.task)
    return None


def _tried(work: Work, store: Store) -> str | None:
    log, folder, mine = io.StringIO(), scratch(work), True
    lines = Lines(write=lambda line: print(line, file=log))
    store.begin(work.task)
    try:
        watcher = Watcher(say=lines.say, progress=lines.progress, mark=lines.mark)
        spec = make_spec(work.spec, where=f"task {work.task}")
        finished = run(SpecFile(given=work.spec, spec=spec), out=folder, watcher=watcher)
        (finished.folder / LOG).write_text(log.getvalue(), encoding="utf-8")
        store.put(work.task, finished.folder)
    except Busy:
        mine = False
        raise
    except Exception as error:  # noqa: BLE001 (whatever a task raises is its own affair, and stops no other)
        told = first_line(error) or type(error).__name__
        store.fail(work.task, told, log.getvalue())
        return told
    finally:
        if mine:  # also where the store is full, or somebody pressed Ctrl-C
            store.end(work.task)
    discard(folder)
    return None


def scratch(work: Work) -> Path:
    """Where a task works before it is put into the store: in the cache, so that it can go on."""
    return cache_dir() / "sweeps" / digest({"store": work.store})[:8] / f"{work.task}-{digest(work.spec)[:8]}"
