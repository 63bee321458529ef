"""Which engine, by name, and what it may use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from badnets.core.errors import BadInput, nearest
from badnets.engines.engine import Engine

T = TypeVar("T")
R = TypeVar("R")
ENGINES = ("local", "ray", "slurm")


@dataclass(frozen=True)
class On:
    """What begins the engine called ``name`` (see ``Start``) with ``jobs`` at once; items of at most ``limit_s``
    seconds. ``address``: of a Ray cluster; ``cpus`` and ``gpus``: of an item, on a cluster.

    Raises ``BadInput`` for a name that is none, and for what that engine has no use for.
    """

    name: str = "local"
    jobs: int | None = None
    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    limit_s: float | None = None

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise BadInput(f"expected --on as one of the engines, got {self.name!r}; {nearest(self.name, ENGINES)}")
        if self.address is not None and self.name != "ray":
            raise BadInput(f"expected --address with --on ray, got --on {self.name}; leave one out")
        if self.address is not None and self.jobs is not None:
            raise BadInput("expected --jobs or --address, got both; a cluster's processors say how many run at once")
        if (self.cpus, self.gpus) != (1.0, 0.0) and self.name == "local":
            raise BadInput(
                "expected --cpus and --gpus with --on ray or slurm, got --on local, whose processes have one thread "
                "each; --device says what they compute on"
            )

    def __call__(self, do: Callable[[T], R], *, count: int, folder: Path | None) -> Engine[T, R]:
        """Begin it."""
        if self.name == "local":
            from badnets.engines.local import Local

            return Local(do, jobs=self.jobs, limit_s=self.limit_s, count=count)
        more: dict[str, Any] = {"jobs": self.jobs, "limit_s": self.limit_s, "cpus": self.cpus, "gpus": self.gpus}
        if self.name == "ray":
            from badnets.engines.ray import Ray

            return Ray(do, address=self.address, **more)
        from badnets.engines.slurm import Slurm

        if folder is None:
            raise BadInput("expected a folder that all nodes see for --on slurm, got none; name one, not a URL")
        return Slurm(do, folder / "slurm", **more)
