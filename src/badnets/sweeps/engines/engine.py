"""What an engine is: it takes work, says what has ended, and can be told to stop."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from badnets.sweeps.task import Work

Job = Future[str | None]
"""A task under way: its result is None, or why it failed."""


class Engine(Protocol):
    """Work goes in, futures come out. Each task is done in a process of its own, or one that does one at a time: what
    becomes of it (an error, a killed process, a limit) is its future's alone."""

    width: int
    """Tasks at once."""

    def submit(self, work: Work) -> Job:
        """Begin it, or let it wait for a free place."""

    def cancel(self, job: Job) -> None:
        """Stop it, or take it out of the queue."""

    def close(self) -> None:
        """No more work: what runs is stopped."""
