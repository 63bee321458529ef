"""What tests let an engine's processes do: beside the task itself, whatever may become of one."""

from __future__ import annotations

import os
import time
from pathlib import Path

from badnets.sweeps.store import Store, Work
from badnets.sweeps.task import carry_out


def quick(work: Work) -> str | None:
    """As a task by its epochs: 1 is done, 2 has no data, 3 ends its process, 4 hangs, 5 fails once."""
    epochs = work.spec["recipe"]["epochs"]
    if epochs == 2:
        return carry_out(Work(work.store, work.task, {**work.spec, "data": {"name": "no-such-data"}}))
    if epochs == 3:
        os._exit(9)
    if epochs == 4:
        time.sleep(600)
    if epochs == 5 and Store(work.store).error(work.task) is None:
        Store(work.store).fail(work.task, "not yet")
        return "not yet"
    return carry_out(Work(work.store, work.task, {**work.spec, "recipe": {**work.spec["recipe"], "epochs": 1}}))


def ended(work: Work) -> str | None:
    """Killed after the first epoch, the first time; then as usual."""
    mark = Path(os.environ["BADNETS_CACHE"]) / f"killed-{work.task}"
    if not mark.exists():
        mark.touch()
        os._exit(9)
    return carry_out(work)
