"""What a sweep costs beside its tasks: 200 tasks of a second on 2 workers, and 2,000 tasks to plan and to list.

The first is against the ideal, tasks times a second over workers; the engine's start (until its first task ends, less
a second) is left out, and printed. The second plans a sweep of 2,000 tasks, and lists a store in which all of them are
done, with a record of a real run each. Prints one JSON object.

    python benchmarks/sweeps.py [--on local|ray] [--tasks 200] [--seconds 1]
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from concurrent.futures import wait
from pathlib import Path

from badnets.engines.engine import Start
from badnets.engines.on import On
from badnets.sweeps.plan import make_plan
from badnets.sweeps.store import RECORD, Store, Work
from badnets.sweeps.sweep import run_sweep, status
from badnets.sweeps.task import carry_out

WORKERS, MANY, WANTED = 2, 2000, {"local": 1.1, "ray": 1.2}
BASE = {
    "data": {"name": "signs", "options": {"train": 160, "test": 64, "size": 32}},
    "network": "lenet",
    "recipe": {"epochs": 1},
}


def rest(work: Work) -> None:
    """A task that takes as many seconds as its task's name says."""
    time.sleep(float(work.task))


def overhead(start: Start, tasks: int, seconds: float) -> tuple[float, float]:
    """(seconds of the start, time over ideal)."""
    engine = start(rest, count=tasks, folder=None)
    began = time.perf_counter()
    for job in wait([engine.submit(Work("", str(seconds), {})) for _ in range(WORKERS)]).done:
        job.result()
    ready = time.perf_counter()
    for job in wait([engine.submit(Work("", str(seconds), {})) for _ in range(tasks)]).done:
        job.result()
    took = time.perf_counter() - ready
    engine.close()
    return ready - began - seconds, took / (tasks * seconds / WORKERS)


def listing() -> tuple[float, float]:
    """Seconds to plan, and to list what is there."""
    began = time.perf_counter()
    plan = make_plan({"base": BASE, "seeds": MANY}, where=Path("many.toml"))
    planned = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        one = plan.tasks[0]
        assert carry_out(Work(store.url, one.id, one.spec)) is None
        for task in plan.tasks[1:]:
            (Path(folder) / task.id).mkdir()
            shutil.copy(Path(folder) / one.id / RECORD, Path(folder) / task.id / RECORD)
        began = time.perf_counter()
        assert status(plan, store).counts["done"] == MANY
        listed = time.perf_counter() - began
        began = time.perf_counter()
        run_sweep(plan, store, On(jobs=WORKERS))
        again = time.perf_counter() - began
    return planned, max(listed, again)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on", choices=sorted(WANTED), default="local")
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=1.0)
    asked = parser.parse_args()
    first, ratio = overhead(On(asked.on, WORKERS), asked.tasks, asked.seconds)
    planned, listed = listing()
    result = {
        "on": asked.on,
        "start_s": round(first, 2),
        "over_ideal": round(ratio, 3),
        "wanted": WANTED[asked.on],
        "plan_2000_s": round(planned, 2),
        "list_2000_s": round(listed, 2),
        "reached": ratio <= WANTED[asked.on] and planned < 5 and listed < 5,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
