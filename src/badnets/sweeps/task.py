"""One task of a sweep, in whatever process an engine gives it: run, and put into the store."""

from __future__ import annotations

import io
from pathlib import Path

from badnets.core.cache import cache_dir
from badnets.core.errors import first_line
from badnets.core.files import digest, discard
from badnets.core.progress import Lines, Watcher
from badnets.referee.run import run
from badnets.referee.spec import SpecFile, make_spec
from badnets.sweeps.store import LOG, Store, Work


def carry_out(work: Work) -> str | None:
    """Do it: None, or why it failed. A task that was stopped goes on, on the same machine, after its last epoch."""
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


def scratch(work: Work) -> Path:
    """Where a task works before it is put into the store: in the cache, so that it can go on."""
    return cache_dir() / "sweeps" / digest({"store": work.store})[:8] / work.task
