"""A Ray cluster, or Ray on this machine."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from badnets.core.errors import BadInput, first_line
from badnets.networks.device import chosen
from badnets.sweeps.engines.engine import Job
from badnets.sweeps.task import Work, carry_out, guarded


class Ray:
    """Tasks of Ray with ``cpus`` and ``gpus`` each (shares of a card are allowed), at ``address`` (default: this
    machine, with ``jobs`` processors). The store must be a place that all nodes see, with badnets installed on each. A
    task that takes longer than ``limit_s`` seconds ends its process; a node that is lost fails its tasks.

    Raises ``BadInput`` where Ray is not installed, or the cluster runs another version.
    """

    def __init__(
        self,
        address: str | None = None,
        jobs: int | None = None,
        limit_s: float | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        do: Callable[[Work], str | None] = carry_out,
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
            where = address or "this machine"
            raise BadInput(f"expected Ray {ray.__version__} at {where}, got an error: {first_line(error)}") from None
        there = ray.cluster_resources()
        if gpus and not there.get("GPU"):
            ray.shutdown()
            raise BadInput(f"expected a GPU for --gpus {gpus:g}, got a cluster without one")
        self.width = max(1, int(min(there.get("CPU", 1) / cpus, there.get("GPU", 0) / gpus if gpus else float("inf"))))
        self.do = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(guarded)
        self.given = chosen(), limit_s, do
        self.references: dict[Job, Any] = {}

    def submit(self, work: Work) -> Job:
        """See ``Engine``."""
        reference = self.do.remote(*self.given, work)
        job: Job = reference.future()
        self.references[job] = reference
        job.add_done_callback(self.references.pop)
        return job

    def cancel(self, job: Job) -> None:
        """See ``Engine``."""
        reference = self.references.get(job)
        if reference is not None:
            self.ray.cancel(reference, force=True)

    def close(self) -> None:
        """See ``Engine``."""
        self.ray.shutdown()
