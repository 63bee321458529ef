"""Several trainings at once: processes with one thread each, which for small networks is faster than one process with
all threads."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, TypeVar

import torch

from badnets.core.errors import CannotTell
from badnets.core.files import temporary_folder
from badnets.networks.device import choose, chosen

T = TypeVar("T")
R = TypeVar("R")
MOST = 8
"""Processes, at most, unless more are asked for."""


def several(
    work: Callable[[T], R],
    items: Sequence[T],
    *,
    jobs: int | None = None,
    prepare: Callable[..., None] | None = None,
    given: tuple[Any, ...] = (),
) -> Iterator[tuple[T, R]]:
    """``work`` (a function that other processes find by its name) done on each of ``items``, in ``jobs`` processes
    (default: one for each core, at most ``MOST``); each item with its result, as they are done.

    Each process calls ``prepare(*given)`` first. No more are begun at once than run, and none after one that failed,
    whose error is raised here.
    """
    workers = min(jobs or min(os.cpu_count() or 1, MOST), len(items))
    if not items:
        return
    with (
        _kept(given) as path,
        ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=begin, initargs=(chosen(), prepare, path)
        ) as pool,
    ):
        waiting: dict[Future[R], T] = {}
        queue = iter(items)
        try:
            while True:
                for item in islice(queue, workers - len(waiting)):
                    waiting[pool.submit(work, item)] = item
                if not waiting:
                    break
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        except BrokenProcessPool:
            raise CannotTell("a process ended before its work was done (killed, or out of memory?)") from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _kept(given: tuple[Any, ...]) -> Iterator[Path | None]:
    """``given``, where there is something, in a file: through the pipe to a process that ends as it begins it would
    never be written whole, and this process would wait for ever."""
    if not given:
        yield None
        return
    with temporary_folder() as folder:
        path = folder / "given.pickle"
        with path.open("wb") as file:
            pickle.dump(given, file)
        yield path


def begin(device: str, prepare: Callable[..., None] | None = None, given: Path | None = None) -> None:
    """What a process does first: work on ``device`` with one thread, deaf to Ctrl-C (the parent stops the pool and
    workers should not print tracebacks), and gone when the parent is, however it ended."""
    choose(device)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    if prepare is not None:
        prepare(*(pickle.loads(given.read_bytes()) if given else ()))  # noqa: S301 (written by the parent, a moment ago)


def _leave_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
