"""A sweep under way: what is there already is left alone, the rest goes to an engine, failures are tried again."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from badnets.core.errors import first_line
from badnets.core.files import dumps
from badnets.core.progress import Watcher
from badnets.core.rate import over_seeds
from badnets.engines.engine import Late, Start
from badnets.engines.work import worked_off
from badnets.records.sweep import FIGURES, STATES, Cell, State, SweepRecord, SweptTask
from badnets.sweeps.plan import SEED, Plan
from badnets.sweeps.store import RECORD, Store, Work

LATE = "it took longer than the limit"


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
    start: Start,
    *,
    tries: int = 2,
    watcher: Watcher | None = None,
    do: Callable[[Work], str | None] | None = None,
) -> SweepRecord:
    """Do what is missing of ``plan``, on the engine that ``start`` gives; each task at most ``tries`` times. Ctrl-C
    stops the engine, keeps what is done, and is raised. ``do`` (default: ``carry_out``) is what becomes of a task."""
    watch, began = watcher or Watcher(), time.perf_counter()
    finished, *_ = store.states()
    todo = deque(Work(store.url, task.id, task.spec) for task in plan.tasks if task.id not in finished)
    total = len(plan.tasks)
    watch.progress("tasks", total - len(todo), total, None)
    if todo:
        from badnets.sweeps.task import carry_out

        store.check_writable()
        place = Path(store.place()) if store.local else None
        with closing(start(do or carry_out, count=len(todo), folder=place)) as engine:
            done = total - len(todo)
            for work, job in worked_off(engine, todo, engine.room):
                error = outcome(job, work.task, store)
                if error is None:
                    done += 1
                    watch.progress("tasks", done, total, None)
                elif work.number < tries:
                    watch.say(f"task {work.task} failed and is tried again: {error}")
                    todo.append(replace(work, number=work.number + 1))
                else:
                    watch.say(f"task {work.task} failed: {error}")
    return status(plan, store, seconds=time.perf_counter() - began)


def outcome(job: Future[str | None], task: str, store: Store) -> str | None:
    """What became of a ``task`` that ended: None, or why it failed, also where its process could not say so itself."""
    try:
        return job.result()
    except Late:
        error = LATE
    except Exception as ended:  # noqa: BLE001 (a store that cannot be written to, a process that is gone)
        error = first_line(ended)
    store.fail(task, error)
    store.end(task)
    return error
