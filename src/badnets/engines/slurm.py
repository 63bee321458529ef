"""SLURM, by submitit: a job for each item."""

from __future__ import annotations

import contextlib
import math
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from badnets.core.errors import BadInput
from badnets.engines.attempt import attempt
from badnets.engines.jobs import Jobs
from badnets.networks.device import chosen

T = TypeVar("T")
R = TypeVar("R")
MOST = 100
"""Jobs in the queue, unless told otherwise."""
A_DAY = 1440
"""Minutes of a job without a limit of its own: what most queues allow."""
EVERY_S = {"slurm": 10.0, "local": 0.2}
"""Seconds between looks at the queue."""


class Slurm(Generic[T, R]):
    """Jobs of one item with ``cpus`` and ``gpus`` each, at most ``jobs`` in the queue, and ``limit_s`` seconds long
    (default: a day); ``folder`` (one that all nodes see) is where submitit keeps scripts and logs. ``cluster`` "local"
    runs them as processes of this machine.

    Raises ``BadInput`` where submitit is not installed, or there is no ``sbatch``.
    """

    def __init__(
        self,
        do: Callable[[T], R],
        folder: Path,
        *,
        jobs: int | None = None,
        limit_s: float | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        cluster: Literal["slurm", "local"] = "slurm",
    ) -> None:
        try:
            submitit: Any = import_module("submitit")
        except ImportError:
            raise BadInput("expected submitit for --on slurm, got none; pip install 'badnets[slurm]'") from None
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise BadInput("expected SLURM for --on slurm, got no sbatch in PATH; start this on a login node")
        self.width = self.room = jobs or MOST
        self.executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        self.executor.update_parameters(
            name="badnets",
            timeout_min=math.ceil(limit_s / 60) + 1 if limit_s else A_DAY,
            cpus_per_task=math.ceil(cpus),
            gpus_per_node=math.ceil(gpus),
        )
        self.given = chosen(), limit_s, do
        self.every_s = EVERY_S[cluster]
        self.jobs: Jobs[R] = Jobs()
        self.closed = threading.Event()
        self.looking = threading.Thread(target=self._look, daemon=True)
        self.looking.start()

    def submit(self, item: T) -> Future[R]:
        """See ``Engine``."""
        return self.jobs.begin(self.executor.submit(attempt, *self.given, item))

    def cancel(self, job: Future[R]) -> None:
        """See ``Engine``."""
        if (theirs := self.jobs.cancel(job)) is not None:
            theirs.cancel(check=False)

    def close(self) -> None:
        """See ``Engine``."""
        self.closed.set()
        self.looking.join()
        for job in list(self.jobs.theirs):
            self.cancel(job)

    def _look(self) -> None:
        """Pass on what has ended, again and again."""
        while not self.closed.wait(self.every_s):
            for job, theirs in list(self.jobs.theirs.items()):
                over = False
                with contextlib.suppress(Exception):  # the queue could not be asked; it is asked again
                    over = theirs.done()
                if over:
                    self.jobs.end(job, theirs.result)
