"""One item, in the process that does it."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from badnets.core.errors import first_line
from badnets.core.memory import keep_freed_memory
from badnets.engines.engine import Late
from badnets.networks.device import choose

T = TypeVar("T")
R = TypeVar("R")
GRACE_S = 20.0
"""Seconds after its limit in which a work may still listen; then its process ends."""


WORKING = threading.Event()
"""Set in a process that does the items of an engine, one after the other."""


@dataclass(frozen=True)
class Ended(Generic[R]):
    """What came of an item: its result, or the error, and where it was raised."""

    result: R | None = None
    error: BaseException | None = None
    traced: str = ""


def attempt(device: str, limit_s: float | None, do: Callable[[T], R], item: T) -> Ended[R]:
    """``do`` it on ``device``, with one thread, and for no longer than ``limit_s`` seconds."""
    import torch

    WORKING.set()
    choose(device)
    keep_freed_memory()
    torch.set_num_threads(1)
    try:
        with _limited(limit_s):
            return Ended(do(item))
    except BaseException as error:  # noqa: BLE001 (it is raised where the item came from)
        return Ended(error=_portable(error), traced=traceback.format_exc())


@contextmanager
def _limited(limit_s: float | None) -> Iterator[None]:
    """Inside, ``Late`` is raised after so many seconds; who does not listen then loses the process."""
    if limit_s is None:
        yield
        return

    def late(*_: object) -> None:
        raise Late

    watch = threading.Timer(limit_s + GRACE_S, os._exit, (75,))
    watch.daemon = True
    watch.start()
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        watch.cancel()


def _portable(error: BaseException) -> BaseException:
    """The same error, or one that says the same, if it would not survive the way to another process, or would end that
    one too (somebody's ``sys.exit()``)."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
        travels = isinstance(error, Exception | Late)
    except Exception:  # noqa: BLE001 (whatever somebody's class does there)
        travels = False
    return error if travels else RuntimeError(f"{type(error).__name__}: {first_line(error)}")
