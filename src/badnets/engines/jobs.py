"""The futures that an engine gives out, and how each ends."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as TheirLimit
from typing import Any, Generic, TypeVar, cast

from badnets.core.errors import CannotTell, first_line
from badnets.core.text import VALUE, brief
from badnets.engines.attempt import Ended
from badnets.engines.engine import Late

R = TypeVar("R")


class _There(Exception):
    """Where an error was raised, in another process."""


class Jobs(Generic[R]):
    """Futures of items under way, and what the engine itself calls each (``theirs``)."""

    def __init__(self) -> None:
        self.theirs: dict[Future[R], Any] = {}

    def begin(self, theirs: Any) -> Future[R]:
        """A future for it."""
        job: Future[R] = Future()
        self.theirs[job] = theirs
        return job

    def cancel(self, job: Future[R]) -> Any | None:
        """End it; gives what the engine has to stop, or None where it has ended already."""
        theirs = self.theirs.pop(job, None)
        if theirs is not None:
            job.set_exception(CancelledError("it was cancelled"))
        return theirs

    def end(self, job: Future[R], ended: Callable[[], Any]) -> None:
        """Give it what ``ended()`` brings: an ``Ended``, or the engine's own word for why there is none."""
        if self.theirs.pop(job, None) is None:  # cancelled
            return
        try:
            brought: Ended[R] = ended()
        except TheirLimit:
            job.set_exception(Late())
        except (Exception, CancelledError) as error:  # noqa: BLE001 (each engine has its own for a process that is gone)
            job.set_exception(CannotTell(f"a process ended before its work was done ({_why(error)})"))
        else:
            if brought.error is None:
                job.set_result(cast("R", brought.result))
            else:
                brought.error.__cause__ = _There(f"\n\n{brought.traced}")
                job.set_exception(brought.error)


def _why(error: BaseException) -> str:
    if (code := getattr(error, "exitcode", None)) is not None:  # pebble's
        return f"exit code {code}: killed, or out of memory?"
    return brief(first_line(getattr(error, "cause", None) or error), VALUE)  # Ray puts a page around the cause
