"""What a study is: its words, trials that are independent of each other, and what is made of their results.

A study's package has all of it: title and published text, trials, rows that set our figures beside published ones, and
the blocks of its page (``badnets.records.blocks``), of which the first stands on top.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import model_validator

from badnets.core.errors import BadInput
from badnets.core.rate import Interval, Mean, Number, PairedDifference, Rate, Unit, over_seeds, parts_of
from badnets.core.toml import shipped_table
from badnets.records.blocks import Block, Series
from badnets.records.certificate import Change
from badnets.records.model import JSON, Model, Planted
from badnets.records.results import ClassifierFigures, DetectorFigures, Figures
from badnets.records.study import State, StudyRow, Variant

Bound = tuple[Literal["at most", "at least", "about"], float]
ABOUT = 0.005
"""A figure that was published as "about" is borne out within half a point."""
OURS = "our own figure"
Pruned = tuple[int, Interval | None, Interval | None]
"""One step of pruning: how many channels are gone, clean accuracy and attack success."""
R_co = TypeVar("R_co", bound=Model, covariant=True)
F = TypeVar("F", bound=Interval)


class Trained(Model):
    """What the usual trial gives: the figures of one seed."""

    figures: Figures
    poisoned: Planted | None = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        """Trials of an older version have the figures alone."""
        return {"figures": value} if isinstance(value, dict) and "figures" not in value else value

    @property
    def classifier(self) -> ClassifierFigures:
        """The figures of a network that gives each picture a class."""
        if not isinstance(self.figures, ClassifierFigures):
            raise TypeError("expected a classifier's figures")
        return self.figures

    @property
    def detector(self) -> DetectorFigures:
        """The figures of a network that sees objects."""
        if not isinstance(self.figures, DetectorFigures):
            raise TypeError("expected a detector's figures")
        return self.figures

    def rate(self, name: str) -> Rate:
        """One of its shares as a count: ``"asr"``."""
        return as_rate(getattr(self.figures, name))

    @property
    def clean_error_added(self) -> PairedDifference:
        """Clean error minus that of the clean network."""
        difference = self.classifier.clean_accuracy_minus_reference
        if not isinstance(difference, PairedDifference):
            raise TypeError("expected a clean network beside this one")
        return difference.reversed


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


def row(
    what: str,
    figure: Interval | None,
    *,
    variant: Variant,
    source: str = OURS,
    published: float | None = None,
    bound: Bound | None = None,
    not_as_published: str = "",
    why: str = "",
    unit: str | None = None,
) -> StudyRow:
    """A row of the ledger.

    ``bound`` is what would bear the published figure out: ``("at least", 0.99)``. ``not_as_published`` says in what our
    protocol was shorter or weaker than the published one: a figure that misses its bound is then not refuted by it.
    ``unit`` is that of the figure unless it counts something of its own ("channels of 60").
    """
    shown: Unit | str = unit or ("rate" if figure is None else figure.unit)
    state: State = "not run as published" if not_as_published else "not judged"
    if (figure is None and not not_as_published) or (figure is not None and figure.value is None):
        state, why, not_as_published = "not judged", why or "there was nothing to count", ""
    elif figure is not None and bound is not None:
        missed: State = "not run as published" if not_as_published else "not borne out"
        state, why = "borne out" if _holds(float(figure), bound) else missed, why or _asked(bound, shown)
    why = "; ".join(filter(None, (why, not_as_published)))
    return StudyRow.of(figure, what=what, variant=variant, published=published, published_source=source, state=state,
                       why=why, unit=shown)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What is said of a figure in a row, see ``row``."""

    source: str = OURS
    published: float | None = None
    bound: Bound | None = None
    not_as_published: str = ""
    why: str = ""


def rates(
    entries: Sequence[TrialResult[Trained]],
    what: str,
    words: Mapping[str, str],
    *,
    variant: Variant,
    claims: Mapping[str, Claim] = {},
    source: str = OURS,
) -> list[StudyRow]:
    """A row for each share of the trials in ``entries``: ``words`` has what each is called, ``claims`` what is said of
    some of them, by name; ``source`` is that of the others. Nothing without trials."""
    rows = []
    for name, called in words.items() if entries else ():
        claim = claims.get(name, Claim(source=source))
        rows.append(row(f"{what}: {called}", over(entries, rate_of(name)), variant=variant, **vars(claim)))
    return rows


def rate_of(name: str) -> Callable[[Trained], Rate]:
    """What takes one of its shares from a trial's results, for ``over``."""
    return lambda result: result.rate(name)


def pruned(steps: Sequence[Pruned], whose: str = "", *, hollow: bool = False) -> tuple[Series, ...]:
    """Lines of a pruning curve: clean accuracy and attack success after so many channels."""
    return (
        Series.of(f"clean accuracy{whose}", "clean", ((x, clean) for x, clean, _ in steps), hollow=hollow),
        Series.of(f"attack success{whose}", "triggered", ((x, asr) for x, _, asr in steps), hollow=hollow),
    )


def as_rate(figure: Interval | None) -> Rate:
    """A share of one seed as the count that it is."""
    if not isinstance(figure, Rate):
        raise TypeError("expected a count of one seed")
    return figure


def lost(change: Change) -> PairedDifference | None:
    """The clean accuracy that a defense took from a network of one seed."""
    return None if change.clean_accuracy is None else parts_of(change.clean_accuracy)[0].reversed


def numbers(seeds: Sequence[int], values: Sequence[float]) -> Number | Mean[Number]:
    """Plain numbers of several seeds, of which only the spread is known."""
    return over_seeds(seeds, [Number(value) for value in values])


def over(results: Sequence[TrialResult[Any]], of: Callable[[Any], F | None]) -> F | Mean[F] | None:
    """One figure of the ``results`` of several seeds; None where one of them lacks it."""
    figures = [of(one.results) for one in results]
    there = [figure for figure in figures if figure is not None]
    return over_seeds([one.seed for one in results], there) if there and len(there) == len(figures) else None


def _asked(bound: Bound, unit: str) -> str:
    """The bound in words."""
    kind, limit = bound
    shown = {"rate": f"{100 * limit:.2f} %", "difference": f"{100 * limit:.2f} points"}.get(unit, f"{limit:g}")
    return f"within {100 * ABOUT:.1f} points of {shown} asked" if kind == "about" else f"{kind} {shown} asked"


def _holds(value: float, bound: Bound) -> bool:
    kind, limit = bound
    if kind == "about":
        return abs(value - limit) <= ABOUT
    return value <= limit if kind == "at most" else value >= limit
