"""Threads that work for the page. All are daemons, so that nobody waits for them when the program ends: Ctrl-C is
Ctrl-C. Each is always the same one, for torch begins anew in every thread."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import aclosing, suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import torch

JSON = dict[str, Any]
T = TypeVar("T")
U = TypeVar("U")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads(hands: int = 1) -> int:
    """Threads for torch in each of some ``hands``: one core is left to the browser and to whoever else computes, for
    threads that wait for one which has no core cost far more than it would bring."""
    return max(1, (cores() - 1) // hands)


class Crew(Generic[T]):
    """Threads that share the work on ``items``, each on an item of its own with its share of the cores. Several
    threads in one small network wait for each other longer than they compute; in networks of their own they do not."""

    def __init__(self, items: Sequence[T]) -> None:
        self._items, self._queue = items, SimpleQueue[Callable[[], None]]()
        hands = min(len(items), cores())
        for _ in range(hands):
            threading.Thread(target=self._work, args=(threads(hands),), daemon=True).start()

    def _work(self, share: int) -> None:
        torch.set_num_threads(share)  # of this thread alone
        while True:
            self._queue.get()()

    def begin(self, work: Callable[[T], U]) -> Callable[[], list[U]]:
        """Start ``work`` on each item; what is returned waits for the results, in the order of the items, and raises
        what was raised."""
        given = [self._one(work, item) for item in self._items]
        return lambda: [one.result() for one in given]

    def _one(self, work: Callable[[T], U], item: T) -> Future[U]:
        given: Future[U] = Future()

        def run() -> None:
            try:
                given.set_result(work(item))
            except Exception as error:  # noqa: BLE001  # it is raised where the result is asked for
                given.set_exception(error)

        self._queue.put(run)
        return given


class Worker:
    """A thread that does one thing after the other."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        torch.set_num_threads(threads())
        while True:
            self._queue.get()()

    async def do(self, work: Callable[[T], U], asked: T) -> U:
        """``work(asked)``, when its turn has come."""
        async with aclosing(self.pieces(lambda value: iter([work(value)]), asked)) as pieces:
            return await anext(pieces)

    async def pieces(self, work: Callable[[T], Iterator[U]], asked: T) -> AsyncGenerator[U]:
        """Each piece of ``work(asked)`` as soon as it is there; whoever stops asking for more stops the work after the
        piece at hand."""
        loop, ended = asyncio.get_running_loop(), object()
        given: asyncio.Queue[Any] = asyncio.Queue()
        stopped = threading.Event()

        def tell(value: Any) -> None:
            with suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(given.put_nowait, value)

        def run() -> None:
            try:
                if not stopped.is_set():
                    for piece in work(asked):
                        tell(piece)
                        if stopped.is_set():
                            return
                tell(ended)
            except Exception as error:  # noqa: BLE001  # it is raised where it is awaited
                tell(error)

        self._queue.put(run)
        try:
            while (piece := await given.get()) is not ended:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            stopped.set()
