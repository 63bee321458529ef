"""Processes of this machine, with one thread each: for small networks that is faster than one process with all."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing import get_context, parent_process
from typing import Any, Generic, TypeVar

from pebble import ProcessPool

from badnets.engines.attempt import attempt
from badnets.engines.jobs import Jobs
from badnets.networks.device import chosen

T = TypeVar("T")
R = TypeVar("R")
MOST = 8
"""Processes, at most, unless more are asked for."""


class Local(Generic[T, R]):
    """``jobs`` processes (default: one for each core, at most ``MOST``), never more than there are items (``count``).
    One that hangs in an item for longer than ``limit_s`` seconds, or is killed, is replaced, and only its item fails.
    They are deaf to Ctrl-C, and gone when this process is, however it ended."""

    def __init__(
        self, do: Callable[[T], R], *, jobs: int | None = None, limit_s: float | None = None, count: int | None = None
    ) -> None:
        self.do, self.limit_s = do, limit_s
        most = jobs or min(os.cpu_count() or 1, MOST)
        self.width = most if count is None else min(most, count)
        self.room = 2 * self.width
        self.jobs: Jobs[R] = Jobs()
        self.pool = self._begun()

    def _begun(self) -> ProcessPool:
        """Each process imports what ``do`` needs as it begins: that is no part of the time that an item takes."""
        return ProcessPool(self.width, initializer=_begin, initargs=(self.do,), context=get_context("spawn"))

    def submit(self, item: T) -> Future[R]:
        """See ``Engine``."""
        given = (chosen(), None, self.do, item)
        try:
            theirs: Future[Any] = self.pool.schedule(attempt, args=given, timeout=self.limit_s)
        except RuntimeError:  # all processes were killed while none had work
            self.close()
            self.pool = self._begun()
            theirs = self.pool.schedule(attempt, args=given, timeout=self.limit_s)
        job = self.jobs.begin(theirs)
        theirs.add_done_callback(lambda ended: self.jobs.end(job, ended.result))
        return job

    def cancel(self, job: Future[R]) -> None:
        """See ``Engine``."""
        if (theirs := self.jobs.cancel(job)) is not None:
            theirs.cancel()

    def close(self) -> None:
        """See ``Engine``."""
        self.pool.stop()  # type: ignore[no-untyped-call]  # pebble leaves it untyped
        self.pool.join()


def _begin(_do: Callable[[Any], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
