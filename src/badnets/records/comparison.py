"""A network file measured, and two runs against each other."""

from __future__ import annotations

from typing import ClassVar, Literal

from badnets.core.fields import Difference, Score, Share
from badnets.records.model import JSON, Backdoor, Model
from badnets.records.results import Figures


class Planted(Model):
    """Which backdoor was tried, None for none."""

    backdoor: Backdoor | None


class Evaluation(Model):
    """``badnets evaluate --json``; ``foreign`` is what is known of a file of another program."""

    omitted: ClassVar[frozenset[str]] = frozenset({"foreign"})
    format: Literal["badnets/evaluation/1"] = "badnets/evaluation/1"
    network: str
    data: JSON
    data_digest: str
    class_names: tuple[str, ...]
    resolved: Planted
    seeds: tuple[int, ...]
    results: Figures
    foreign: JSON | None = None

    @property
    def planted(self) -> tuple[Backdoor, ...]:
        """The backdoor that was tried, if any."""
        return () if self.resolved.backdoor is None else (self.resolved.backdoor,)

    @property
    def data_name(self) -> str:
        """The data source, as a spec names it."""
        return str(self.data["name"])


class ComparisonRow(Model):
    """One figure of two runs, ``a`` and ``b``, and their paired ``difference`` (None, and ``paired`` False, where they
    count different pictures)."""

    what: str
    name: str
    a: Share | Score
    b: Share | Score
    difference: Difference | None
    paired: bool


class Comparison(Model):
    """``badnets compare --json``: two runs on the same test pictures, over the seeds that both have."""

    format: Literal["badnets/comparison/1"] = "badnets/comparison/1"
    a: str
    b: str
    seeds: tuple[int, ...]
    rows: tuple[ComparisonRow, ...]
