"""What tests let an engine's processes do: beside the task itself, whatever may become of one."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

from badnets.sweeps.store import Store, Work
from badnets.sweeps.task import carry_out


def quick(work: Work) -> str | None:
    """As a task by its epochs: 1 is done, 2 has no data, 3 ends its process, 4 hangs, 5 fails once."""
    epochs = work.spec["recipe"]["epochs"]
    if epochs == 2:
        return carry_out(replace(work, spec={**work.spec, "data": {"name": "no-such-data"}}))
    if epochs == 3:
        os._exit(9)
    if epochs == 4:
        time.sleep(600)
    if epochs == 5 and Store(work.store).error(work.task) is None:
        Store(work.store).fail(work.task, "not yet")
        return "not yet"
    return carry_out(_with_recipe(work, epochs=1))


def disturbed(work: Work) -> str | None:
    """As usual at the second try; at the first by its seed: 1 raises, 2 hangs, 3 gives NaN, 4 is killed after its first
    epoch."""
    seed = work.spec["seeds"][0]
    if work.number == 1 and seed == 1:
        raise RuntimeError("on purpose")
    if work.number == 1 and seed == 2:
        time.sleep(600)
    if work.number == 1 and seed == 3:
        return carry_out(_with_recipe(work, learning_rate=1e30))
    if work.number == 1 and seed == 4:
        _killed_after_an_epoch()
    return carry_out(work)


def _with_recipe(work: Work, **settings: Any) -> Work:
    return replace(work, spec={**work.spec, "recipe": {**work.spec["recipe"], **settings}})


def _killed_after_an_epoch() -> None:
    from badnets.training.loop import _Training

    usual = _Training.epoch

    def epoch(self: Any, number: int) -> Any:
        if number == 1:
            os._exit(9)
        return usual(self, number)

    setattr(_Training, "epoch", epoch)  # noqa: B010 (of a process that ends soon)
