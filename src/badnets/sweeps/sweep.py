"""A sweep under way: what is there already is left alone, the rest goes to an engine, failures are tried again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from concurrent.futures import TimeoutError as Late
from contextlib import closing

from badnets.core.errors import first_line
from badnets.core.files import dumps
from badnets.core.progress import Watcher
from badnets.core.rate import over_seeds
from badnets.records.sweep import FIGURES, STATES, Cell, State, SweepRecord, SweptTask
from badnets.sweeps.engines.engine import Engine, Job
from badnets.sweeps.plan import SEED, Plan, Task
from badnets.sweeps.store import RECORD, Store
from badnets.sweeps.task import LATE, Work


def status(plan: Plan, store: Store, *, seconds: float = 0.0) -> SweepRecord:
    """How far a sweep is, by what the store holds, with the figures of what is finished."""
    done, failed, running = store.states()
    rows, laps = [], []
    for task in plan.tasks:
        if task.id not in done:
            state: State = "running" if task.id in running else "failed" if task.id in failed else "waiting"
            error = store.error(task.id) if state == "failed" else None
            rows.append(SweptTask(id=task.id, state=state, axes=task.axes, error=error))
            continue
        run = store.run(task.id)
        laps.append(sum(run.timings_s.values()))
        figures = {name: figure for name in FIGURES if (figure := getattr(run.results, name, None)) is not None}
        place = store.place(task.id, RECORD)
        rows.append(SweptTask(id=task.id, state="done", axes=task.axes, record=place, figures=figures))
    counts = Counter(row.state for row in rows)
    left = len(rows) - counts["done"]
    return SweepRecord(
        name=plan.name,
        store=store.url,
        tasks=tuple(rows),
        cells=_cells(rows),
        counts={one: counts[one] for one in STATES},
        seconds=round(seconds, 1),
        seconds_left=round(left * sum(laps) / len(laps), 1) if laps else None,
    )


def _cells(rows: Sequence[SweptTask]) -> tuple[Cell, ...]:
    """In the order of the plan."""
    groups: dict[str, list[SweptTask]] = {}
    for row in rows:
        groups.setdefault(dumps({key: value for key, value in row.axes.items() if key != SEED}), []).append(row)
    cells = []
    for group in groups.values():
        done = [row for row in group if row.state == "done"]
        seeds = [int(row.axes.get(SEED, 1)) for row in done]
        shared = [name for name in FIGURES if done and all(name in row.figures for row in done)]
        figures = {name: over_seeds(seeds, [row.figures[name] for row in done]) for name in shared}
        axes = {key: value for key, value in group[0].axes.items() if key != SEED}
        cells.append(Cell(axes=axes, done=len(done), of=len(group), figures=figures))
    return tuple(cells)


def run_sweep(
    plan: Plan,
    store: Store,
    start: Callable[[], Engine],
    *,
    tries: int = 2,
    watcher: Watcher | None = None,
) -> SweepRecord:
    """Do what is missing of ``plan``, on the engine that ``start`` gives; each task at most ``tries`` times. Ctrl-C
    stops the engine, keeps what is done, and is raised."""
    watch, began = watcher or Watcher(), time.perf_counter()
    done, *_ = store.states()
    todo = [task for task in plan.tasks if task.id not in done]
    total = len(plan.tasks)
    watch.progress("tasks", total - len(todo), total, None)
    if todo:
        store.check_writable()
        with closing(start()) as engine:
            _work_off(todo, store, engine, tries, watch, total)
    return status(plan, store, seconds=time.perf_counter() - began)


def _work_off(todo: list[Task], store: Store, engine: Engine, tries: int, watch: Watcher, total: int) -> None:
    done = total - len(todo)
    queue = [(task, 1) for task in reversed(todo)]
    running: dict[Job, tuple[Task, int]] = {}
    try:
        while queue or running:
            while queue and len(running) < 2 * engine.width:
                task, number = queue.pop()
                job = engine.submit(Work(store=store.url, task=task.id, spec=task.spec))
                running[job] = task, number
            for job in wait(running, return_when=FIRST_COMPLETED).done:
                task, number = running.pop(job)
                error = outcome(job, task.id, store)
                if error is None:
                    done += 1
                    watch.progress("tasks", done, total, None)
                elif number < tries:
                    watch.say(f"task {task.id} failed and is tried again: {error}")
                    queue.insert(0, (task, number + 1))
                else:
                    watch.say(f"task {task.id} failed: {error}")
    finally:
        for job in running:
            engine.cancel(job)


def outcome(job: Job, task: str, store: Store) -> str | None:
    """What became of a ``task`` that ended: None, or why it failed, also where its process could not say so itself."""
    try:
        return job.result()
    except Late:
        error = LATE
    except CancelledError:
        error = "it was cancelled"
    except Exception as ended:  # noqa: BLE001 (each engine has errors of its own for a process that is gone)
        error = store.error(task) or f"its process ended ({first_line(ended) or type(ended).__name__})"
    store.fail(task, error)
    store.end(task)
    return error
