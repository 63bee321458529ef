"""Processes of this machine, one thread each."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing import get_context

from pebble import ProcessPool

from badnets.networks.device import chosen
from badnets.sweeps.engines.engine import Job
from badnets.sweeps.task import Work, carry_out, warm
from badnets.training.workers import MOST, begin


class Local:
    """``jobs`` processes (default: one for each core, at most 8); one that hangs for longer than ``limit_s`` seconds in
    a task, or that is killed, is replaced, and only its task fails. ``do`` is what is done with each work."""

    def __init__(
        self,
        jobs: int | None = None,
        limit_s: float | None = None,
        do: Callable[[Work], str | None] = carry_out,
    ) -> None:
        self.do = do
        self.width = jobs or min(os.cpu_count() or 1, MOST)
        self.limit_s = limit_s
        self.pool = ProcessPool(self.width, initializer=begin, initargs=(chosen(), warm), context=get_context("spawn"))

    def submit(self, work: Work) -> Job:
        """See ``Engine``."""
        job: Job = self.pool.schedule(self.do, args=(work,), timeout=self.limit_s)
        return job

    def cancel(self, job: Job) -> None:
        """See ``Engine``."""
        job.cancel()

    def close(self) -> None:
        """See ``Engine``."""
        self.pool.stop()  # type: ignore[no-untyped-call]  # pebble leaves it untyped
        self.pool.join()
