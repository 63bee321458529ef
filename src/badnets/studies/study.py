"""What a study is: its words, trials that are independent of each other, and what is made of their results.

A study's package has all of it: title and published text, trials, rows that set our figures beside published ones, and
the blocks of its page (``badnets.records.blocks``), of which the first stands on top. Text and numbers lie in its
``study.toml``, from which ``badnets.studies.figures`` makes rows and blocks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import model_validator

from badnets.core.errors import BadInput
from badnets.core.toml import shipped_table
from badnets.records.blocks import Block
from badnets.records.model import JSON, Model, Planted
from badnets.records.results import Figures
from badnets.records.study import StudyRow, Variant

R_co = TypeVar("R_co", covariant=True)


class Trained(Model):
    """What the usual trial gives: the figures of one seed."""

    figures: Figures
    poisoned: Planted | None = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        """Trials of an older version have the figures alone."""
        return {"figures": value} if isinstance(value, dict) and "figures" not in value else value


class Refused(Model):
    """A method that does not fit a network is a result as well: why it does not."""

    refused: str


@dataclass(frozen=True)
class Done(Generic[R_co]):
    """What a trial's work gives: its results, and seconds by name ("train"; "total" is measured for it)."""

    results: R_co
    timings_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training with its measurements: ``spec`` is a spec's table (its seeds are not looked at), run with ``seed``.

    ``keep`` keeps the network file for a later look inside. ``work`` (a function of a module, for other processes find
    it by its name) does something else than train and measure by a spec: it gets the trial and a folder of its own, in
    which it finds what it wrote before it was interrupted; ``spec`` is then whatever it needs, and ``spec["data"]`` its
    data. ``result`` is the type of its results, by which they are read back.
    """

    name: str
    spec: JSON
    seed: int
    keep: bool = False
    work: Callable[[Trial, Path], Done[Any]] | None = None
    result: type[Model] = Trained


@dataclass(frozen=True, kw_only=True)
class TrialResult(Generic[R_co]):
    """A finished trial: what it was, and its results."""

    spec: JSON
    seed: int
    results: R_co
    timings_s: dict[str, float]


Results = Mapping[str, TrialResult[Any]]
"""Finished trials by name."""
Trials = Sequence[TrialResult[Any]]
"""Those of several seeds."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a study is run: the quick form or the full one, how many seeds, and where its data lies."""

    quick: bool
    seeds: int
    data: str | None = None

    @property
    def each_seed(self) -> range:
        """The seeds: 1, 2, ..."""
        return range(1, self.seeds + 1)

    def variant(self, full: Variant = "corrected") -> Variant:
        """What its rows are: ``full``, or quick."""
        return "quick" if self.quick else full

    def source(self, name: str, **more: Any) -> JSON:
        """The data ``name`` as a spec says it, from where the study's data lies."""
        return {"name": name, **more, **({"path": self.data} if self.data else {})}

    def place(self, name: str) -> Path:
        """Where the study's data lies: at ``--data`` or in ``$BADNETS_DATA``; ``name`` says what is looked for."""
        if not (named := self.data or os.environ.get("BADNETS_DATA")):
            raise BadInput(f"expected {name} by --data or in $BADNETS_DATA, got neither; name the folder that has it")
        return Path(named).expanduser()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a study's ``assemble`` gives: rows of the ledger, and blocks of its page, the most telling one first."""

    rows: list[StudyRow]
    blocks: list[Block] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A published study. ``title`` and ``published`` (what the report says, in plain words) stand on its page;
    ``trial_word`` is what its trials are called where one is not one training. Those of this package have all words in
    the ``study.toml`` beside their code, see ``facts``."""

    name: str
    title: str
    published: str
    summary: str
    seeds: int
    quick_seeds: int
    trials: Callable[[Settings], list[Trial]]
    assemble: Callable[[Settings, Results, Path], Outcome]
    trial_word: str = "trainings"


def facts(package: str | None) -> JSON:
    """The ``study.toml`` of a study's ``package``: words, published figures, settings of specs."""
    table: JSON = shipped_table(package or __name__, "study.toml")
    return table


def by_prefix(results: Results, prefix: str) -> list[TrialResult[Any]]:
    """The trials whose name begins with ``prefix``, in order of name."""
    return [results[name] for name in sorted(results) if name.startswith(prefix)]
