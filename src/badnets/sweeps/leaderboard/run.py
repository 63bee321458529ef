"""A leaderboard under way: every network, and its repairs as soon as it is there; in pieces of so many minutes where
that is asked for. What is finished is never done again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from pathlib import Path

from pydantic import ValidationError

from badnets.core.errors import BadInput, first_line
from badnets.core.files import dumps, read_json
from badnets.core.progress import Watcher
from badnets.core.text import VALUE, brief
from badnets.engines.engine import Engine, Start
from badnets.records.leaderboard import Failed, Form, Leaderboard, RepairedCell
from badnets.records.sweep import STATES, State
from badnets.records.verified import check_seal
from badnets.sweeps.leaderboard.plan import Board, Step
from badnets.sweeps.store import RECORD, Store, Work
from badnets.sweeps.sweep import outcome

MARK = "leaderboard.json"
"""In a store: which leaderboard it is of."""
SAME = ("name", "small", "spec", "defender")
"""What all of a store must share; attacks, repairs, shares and seeds may be added later."""


def status(board: Board, store: Store, *, seconds: float = 0.0) -> Leaderboard:
    """How far a leaderboard is, by what the store holds, with every finished repair."""
    check_store(board, store)
    done, failed, running = store.states()

    def state(step: Step) -> State:
        if step.id in done:
            return "done"
        return "running" if step.id in running else "failed" if step.id in failed else "waiting"

    states = {step.id: state(step) for step in board.steps}
    repairs = [step for step in board.steps if step.needs is not None]
    wrong = [step for step in board.steps if states[step.id] == "failed"]
    return Leaderboard(
        **dict(board.form),
        networks=_counted(states[step.id] for step in board.steps if step.needs is None),
        counts=_counted(states[step.id] for step in repairs),
        failed=tuple(Failed(task=step.id, what=step.what, error=store.error(step.id) or "") for step in wrong),
        cells=tuple(read_cell(Path(store.place(step.id, RECORD))) for step in repairs if states[step.id] == "done"),
        seconds=round(seconds, 1),
    )


def _counted(states: Iterable[State]) -> dict[State, int]:
    counts = Counter(states)
    return {one: counts[one] for one in STATES}


def read_cell(path: Path) -> RepairedCell:
    """The record of a finished repair; raises ``BadInput`` for one that is none, or was changed since."""
    value = read_json(path)
    try:
        cell = RepairedCell.model_validate(value)
    except ValidationError as error:
        raise BadInput(f"expected the record of a repair at {path}, got {brief(first_line(error), VALUE)}") from None
    check_seal(path, value, cell.environment.versions.get("badnets"))
    return cell


def check_store(board: Board, store: Store) -> None:
    """Refuse a store that is no folder, for repairs open the networks in it, and one of another leaderboard."""
    if not store.local:
        raise BadInput(f"expected a folder as the store of a leaderboard, got {store.url}; repairs open its networks")
    path = Path(store.place(MARK))
    if not path.exists():
        return
    told = read_json(path)
    for name, value in _same(board.form).items():
        other = told.get(name) if isinstance(told, dict) else told
        if other != value:
            raise BadInput(
                f"expected the store of {board.form.name}{' (small form)' if board.form.small else ''} at {store.url}, "
                f"got that of a leaderboard with another {name}; name another --store"
            )


def _same(form: Form) -> dict[str, object]:
    return {name: value for name, value in form.to_json().items() if name in SAME}


def run_board(
    board: Board,
    store: Store,
    start: Start,
    *,
    tries: int = 2,
    minutes: float | None = None,
    watcher: Watcher | None = None,
    do: Callable[[Work], str | None] | None = None,
) -> Leaderboard:
    """Do what is missing of ``board``, on the engine that ``start`` gives; each task at most ``tries`` times. After so
    many ``minutes``, and on Ctrl-C, what runs is stopped and what is done is kept: the next call goes on, a training
    after its last epoch, a repair from its begin. ``do`` (default: ``carry_out_step``) is what becomes of a step."""
    watch, began = watcher or Watcher(), time.monotonic()
    check_store(board, store)
    done, *_ = store.states()
    todo = [step for step in board.steps if step.id not in done]
    if todo:
        from badnets.sweeps.leaderboard.cell import carry_out_step

        store.check_writable()
        store.write(MARK, dumps(_same(board.form)).encode())
        until = None if minutes is None else began + 60 * minutes
        with closing(start(do or carry_out_step, count=len(todo), folder=Path(store.place()))) as engine:
            _work_off(board, todo, store, engine, tries, until, watch)
    return status(board, store, seconds=time.monotonic() - began)


def _work_off(
    board: Board,
    todo: list[Step],
    store: Store,
    engine: Engine[Work, str | None],
    tries: int,
    until: float | None,
    watch: Watcher,
) -> None:
    total = len(board.steps)
    done = {step.id for step in board.steps} - {step.id for step in todo}
    waiting, tried = list(todo), Counter[str]()
    running: dict[Future[str | None], Step] = {}
    watch.progress("tasks", len(done), total, None)
    try:
        while until is None or time.monotonic() < until:
            ready = [step for step in waiting if step.needs is None or step.needs in done]
            for step in ready[: engine.width - len(running)]:
                waiting.remove(step)
                watch.mark(step.what)
                running[engine.submit(Work(store=store.url, task=step.id, spec=step.spec))] = step
            if not running:  # nothing is left, or only repairs of networks that failed
                return
            left = None if until is None else max(0.0, until - time.monotonic())
            for job in wait(running, timeout=left, return_when=FIRST_COMPLETED).done:
                step = running.pop(job)
                tried[step.id] += 1
                error = outcome(job, step.id, store)
                if error is None:
                    done.add(step.id)
                    watch.progress("tasks", len(done), total, None)
                    continue
                again = tried[step.id] < tries
                watch.say(f"{step.what}: failed{' and is tried again' if again else ''}: {error}")
                waiting += [step] * again
        watch.say("the minutes are over: what runs is stopped, and the same command goes on")
    finally:
        for job, step in running.items():
            engine.cancel(job)
            store.end(step.id)
