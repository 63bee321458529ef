"""A Ray cluster, or Ray on this machine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from importlib import import_module
from typing import Any, Generic, TypeVar

from badnets.core.errors import BadInput
from badnets.core.text import SENTENCE, brief
from badnets.engines.attempt import attempt
from badnets.engines.jobs import Jobs
from badnets.networks.device import chosen

T = TypeVar("T")
R = TypeVar("R")


class Ray(Generic[T, R]):
    """Tasks of Ray with ``cpus`` and ``gpus`` each (shares of a card are allowed), at ``address`` (default: this
    machine, with ``jobs`` processors), on each of whose nodes badnets is installed. An item that takes longer than
    ``limit_s`` seconds is stopped; a node that is lost fails its items.

    Raises ``BadInput`` where Ray is not installed, cannot be reached or is of another version, and where cards are
    asked for and there are none.
    """

    def __init__(
        self,
        do: Callable[[T], R],
        *,
        address: str | None = None,
        jobs: int | None = None,
        limit_s: float | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
    ) -> None:
        try:
            ray: Any = import_module("ray")
        except ImportError:
            raise BadInput("expected the package ray for --on ray, got none; pip install 'badnets[ray]'") from None
        self.ray = ray
        here = {} if address else {"num_cpus": jobs, "include_dashboard": False}
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level="error", **here)
        except (RuntimeError, ConnectionError, ValueError) as error:
            ray.shutdown()  # it may be half there
            where = address or "this machine"
            told = brief(" ".join(str(error).split()), SENTENCE // 2)
            raise BadInput(f"expected Ray {ray.__version__} at {where}, got an error: {told}") from None
        there = ray.cluster_resources()
        if gpus and not there.get("GPU"):
            ray.shutdown()
            raise BadInput(f"expected a GPU for --gpus {gpus:g}, got a cluster without one")
        self.width = max(1, int(min(there.get("CPU", 1) / cpus, there.get("GPU", 0) / gpus if gpus else float("inf"))))
        self.room = 2 * self.width
        self.attempt = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(attempt)
        self.given = chosen(), limit_s, do
        self.jobs: Jobs[R] = Jobs()

    def submit(self, item: T) -> Future[R]:
        """See ``Engine``."""
        reference = self.attempt.remote(*self.given, item)
        job = self.jobs.begin(reference)
        reference.future().add_done_callback(lambda ended: self.jobs.end(job, ended.result))
        return job

    def cancel(self, job: Future[R]) -> None:
        """See ``Engine``."""
        if (reference := self.jobs.cancel(job)) is not None:
            self.ray.cancel(reference, force=True)

    def close(self) -> None:
        """See ``Engine``."""
        self.ray.shutdown()
