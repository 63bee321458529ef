"""Many items on one engine: in turn, as they end; and what is too large to be part of each."""

from __future__ import annotations

import functools
import pickle
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from badnets.core.errors import BadInput
from badnets.core.files import temporary_folder
from badnets.engines.engine import Engine, Start

T = TypeVar("T")
R = TypeVar("R")


def worked_off(engine: Engine[T, R], queue: deque[T], most: int) -> Iterator[tuple[T, Future[R]]]:
    """Each item of ``queue`` with its future, as they end, at ``most`` so many of them given to the engine at once.
    Whoever gets them may put more into the queue, or clear it."""
    running: dict[Future[R], T] = {}
    while queue or running:
        while queue and len(running) < most:
            item = queue.popleft()
            running[engine.submit(item)] = item
        for job in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(job), job


def each(start: Start, do: Callable[[T], R], items: Sequence[T], *, folder: Path) -> Iterator[tuple[T, R]]:
    """Each of ``items`` with what ``do`` gives of it, as they are done. None is begun after one that failed, whose
    error is raised when those that run have ended. ``folder``, which is made if need be, is where ``do`` leaves what it
    makes; a process that does not see it refuses to begin."""
    if not items:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with closing(start(functools.partial(_seeing, folder.resolve(), do), count=len(items), folder=folder)) as engine:
        queue = deque(items)
        ended = worked_off(engine, queue, engine.width)
        for item, job in ended:
            if job.exception() is not None:
                queue.clear()
                deque(ended, maxlen=0)
            yield item, job.result()


def _seeing(folder: Path, do: Callable[[T], R], item: T) -> R:
    if not folder.is_dir():
        raise BadInput(f"expected {folder} on every node, got none; choose --out in a folder that all of them see")
    return do(item)


@contextmanager
def handed(folder: Path, *values: Any) -> Iterator[Path]:
    """A file in ``folder``, while the block runs, with what all items need: through a pipe to each process it would
    take long, and for ever where one ends as it begins."""
    with temporary_folder(folder / "handed") as own:
        path = own / "handed.pickle"
        with path.open("wb") as file:
            pickle.dump("torchvision" in sys.modules, file)
            pickle.dump(values, file)
        yield path


@functools.lru_cache(maxsize=1)
def received(path: Path) -> tuple[Any, ...]:
    """What ``handed`` was given; each process reads it once."""
    from badnets.networks.operators import import_torchvision

    with path.open("rb") as file:
        if pickle.load(file):  # noqa: S301 (written by who began this process)
            import_torchvision()  # a detector's classes are in there, and may need our kernels
        values: tuple[Any, ...] = pickle.load(file)  # noqa: S301
    return values
