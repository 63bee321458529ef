"""What an engine is: it does one thing with many items, says what has ended, and can be told to stop."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")
T_contra = TypeVar("T_contra", contravariant=True)


class Late(BaseException):
    """A work took longer than the limit. It is nobody's to handle but the engine's, so ``except Exception`` inside the
    work lets it through."""


class Engine(Protocol[T_contra, R]):
    """Items go in, futures come out, which are waited for as all futures are. Each item is done in a process of its
    own, or one that does one at a time, and what becomes of it is its future's alone: the result, the error as it was
    raised, ``Late``, or ``CannotTell`` where the process ended (killed, out of memory, its node lost)."""

    width: int
    """Items at once."""
    room: int
    """Items that may be given to it at once: more wait than run where a place would be empty between two otherwise."""

    def submit(self, item: T_contra) -> Future[R]:
        """Begin it, or let it wait for a free place."""

    def cancel(self, job: Future[R]) -> None:
        """Stop it, or take it out of the queue: its future raises ``CancelledError``."""

    def close(self) -> None:
        """No more: what runs is stopped."""


class Start(Protocol):
    """Begins an engine that does ``do``: a function that other processes find by its name, as items and results are
    what can be pickled. ``count``: how many items there are; ``folder``: one that all who work see, in which the engine
    may have a folder of its own; None without such."""

    def __call__(self, do: Callable[[T], R], *, count: int, folder: Path | None) -> Engine[T, R]:
        """Begin it."""
