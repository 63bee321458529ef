"""A sweep under way: what is there already is left alone, the rest goes to an engine, failures are tried again."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from badnets.core.errors import BadInput, first_line
from badnets.core.files import dumps
from badnets.core.progress import Watcher
from badnets.core.rate import over_seeds
from badnets.engines.engine import Late, Start
from badnets.engines.work import worked_off
from badnets.records.sweep import FIGURES, STATES, Brief, Cell, State, SweepRecord, SweptTask
from badnets.sweeps.plan import SEED, Plan
from badnets.sweeps.store import RECORD, Store, Work

LATE = "it took longer than the limit"
MOST_DATA = 16
"""Data sets of one sweep that are looked at before it begins."""


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
        try:
            run = store.run(task.id)
        except BadInput as damaged:
            rows.append(SweptTask(id=task.id, state="failed", axes=task.axes, error=first_line(damaged)))
            continue
        laps.append(sum(run.timings_s.values()))
        figures = {name: figure for name in FIGURES if (figure := getattr(run.results, name, None)) is not None}
        place = store.place(task.id, RECORD)
        rows.append(SweptTask(id=task.id, state="done", axes=task.axes, record=place, figures=figures))
    counts = Counter(row.state for row in rows)
    left = len(rows) - counts["done"]
    return SweepRecord(
        name=plan.name,
        spec=plan.shared,
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
    finished = _finished(plan, store)
    if do is None:
        _check_data(plan, finished)
    todo = deque(Work(store.url, task.id, task.spec) for task in plan.tasks if task.id not in finished)
    handed, total = {work.task for work in todo}, len(plan.tasks)
    watch.progress("tasks", total - len(todo), total, None)
    if todo:
        from badnets.sweeps.task import carry_out

        store.check_writable()
        place = Path(store.place()) if store.local else None
        with _ended(store, handed, todo), closing(start(do or carry_out, count=len(todo), folder=place)) as engine:
            done = total - len(todo)
            for work, job in worked_off(engine, todo, engine.room):
                error = outcome(job, work.task, store)
                handed.discard(work.task)
                if error is None:
                    done += 1
                    watch.progress("tasks", done, total, None)
                elif work.number < tries:
                    watch.say(f"task {work.task} failed and is tried again: {error}")
                    todo.append(replace(work, number=work.number + 1))
                    handed.add(work.task)
                else:
                    watch.say(f"task {work.task} failed: {error}")
    return status(plan, store, seconds=time.perf_counter() - began)


def _finished(plan: Plan, store: Store) -> dict[str, Brief]:
    """What is kept of the finished tasks; a damaged record is set aside, and its task done again."""
    done, *_ = store.states()
    found: dict[str, Brief] = {}
    for task in plan.tasks:
        if task.id in done:
            try:
                found[task.id] = store.run(task.id)
            except BadInput:
                store.set_aside(task.id)
    return found


def _check_data(plan: Plan, finished: Mapping[str, Brief]) -> None:
    """Refuse data that is no longer what finished tasks were trained on; of many different data sets the first
    ``MOST_DATA``. What cannot be loaded its tasks tell themselves."""
    from badnets.referee.data import load_data
    from badnets.referee.spec import DataSpec

    sets: dict[str, list[str]] = {}
    for task in plan.tasks:
        sets.setdefault(dumps(task.spec["data"]), []).append(task.id)
    for data, tasks in itertools.islice(sets.items(), MOST_DATA):
        before = {finished[task].data_digest for task in tasks if task in finished} - {None}
        if not before:
            continue
        try:
            train = load_data(DataSpec.model_validate(json.loads(data))).train
        except BadInput:
            continue
        if before != {train.digest}:
            raise BadInput(
                f"expected the pictures of {train.name} that the finished tasks were trained on, got others; "
                "choose another --store"
            )


@contextmanager
def _ended(store: Store, handed: AbstractSet[str], todo: deque[Work]) -> Iterator[None]:
    """Nobody works any more on what was handed out when the block is left in the middle."""
    try:
        yield
    except BaseException:
        for task in handed - {work.task for work in todo}:
            store.end(task)
        raise


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
