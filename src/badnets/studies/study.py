"""What a study is: its words, trials that are independent of each other, and what is made of their results.

A study's package has all of it: title and published text, trials, rows that set our figures beside published ones, and
the blocks of its page (``badnets.records.blocks``), of which the first stands on top. Text and numbers lie in its
``study.toml``: claims become rows (``claim_rows``), tables and curves of figures become blocks (``figure_table``,
``figure_curve``); all name a figure by its path in the results of a trial (``value_at``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import model_validator

from badnets.core.errors import BadInput
from badnets.core.rate import Interval, Number, Unit, over_seeds
from badnets.core.toml import shipped_table
from badnets.records.blocks import Bar, Block, Curve, Line, Role, Series, Table
from badnets.records.model import JSON, Model, Planted
from badnets.records.results import Figures
from badnets.records.study import State, StudyRow, Variant

Bound = tuple[Literal["at most", "at least", "about"], float]
ABOUT = 0.005
"""A figure that was published as "about" is borne out within half a point."""
OURS = "our own figure"
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


def percent_name(share: float) -> str:
    """A share in the name of a trial: ``"05"``."""
    return f"{round(100 * share):02d}"


def value_at(results: Any, path: str) -> Any:
    """What lies at ``path`` in a trial's results: names of fields and entries, numbers of a tuple's parts
    (``"repairs.clp.after.asr"``); None where something on the way is missing or was refused."""
    for name in path.split("."):
        if results is None or isinstance(results, Refused):
            return None
        if isinstance(results, Mapping):
            results = {str(key): part for key, part in results.items()}.get(name)
        else:
            results = results[int(name)] if isinstance(results, tuple) else getattr(results, name)
    return results


def parts_at(trials: Trials, path: str) -> list[TrialResult[Any]] | Refused:
    """What lies at ``path`` of each trial, in place of its results; or why not, where one has nothing there."""
    parts = [value_at(trial.results, path) or Refused(refused="") for trial in trials]
    refused = next((part for part in parts if isinstance(part, Refused)), None)
    return refused or [replace(trial, results=part) for trial, part in zip(trials, parts, strict=True)]


def seed_mean(trials: Trials, figure: str | Callable[[Any], Any]) -> Interval | None:
    """A figure over the seeds of ``trials``: its path in their results (``"figures.asr"``), or what takes
    it from them. Of a plain number only the spread is known. None where a trial lacks it, and without trials."""
    take = figure if callable(figure) else lambda results: value_at(results, figure)
    values = [take(trial.results) for trial in trials]
    if not values or any(value is None for value in values):
        return None
    figures = [value if isinstance(value, Interval) else Number(float(value)) for value in values]
    return over_seeds([trial.seed for trial in trials], figures)


def row(
    what: str,
    figure: Interval | float | None,
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
    figure = figure if figure is None or isinstance(figure, Interval) else Number(float(figure))
    shown: Unit | str = unit or ("rate" if figure is None else figure.unit)
    state: State = "not run as published" if not_as_published else "not judged"
    if (figure is None and not not_as_published) or (figure is not None and figure.value is None):
        state, why, not_as_published = "not judged", why or "there was nothing to count", ""
    elif figure is not None and bound is not None:
        missed: State = "not run as published" if not_as_published else "not borne out"
        state, why = "borne out" if _holds(float(figure), bound) else missed, why or _words(bound, shown)
    why = "; ".join(filter(None, (why, not_as_published)))
    return StudyRow.of(figure, what=what, variant=variant, published=published, published_source=source, state=state,
                       why=why, unit=shown)  # fmt: skip


def claim_rows(what: str, claims: Iterable[JSON], figures: Trials | Mapping[str, Any], **common: Any) -> list[StudyRow]:
    """A row for each of ``claims``: tables with a ``figure``, the ``words`` that end its name, and more that ``row``
    takes, as ``common`` for all of them. ``figures`` are trials, or figures by name."""
    rows = []
    for claim in claims:
        said = {**common, **claim}
        words, name = said.pop("words"), said.pop("figure")
        figure = figures[name] if isinstance(figures, Mapping) else seed_mean(figures, name)
        rows.append(row(what + words, figure, **said))
    return rows


def rates(
    trials: Trials, what: str, words: Mapping[str, str], claims: Mapping[str, JSON] = {}, **common: Any
) -> list[StudyRow]:
    """A row for each of the ``figures`` of usual trials that ``words`` names (what each is called), with the ``claims``
    about some of them. Nothing without trials."""
    rows = [{"figure": f"figures.{name}", "words": called, **claims.get(name, {})} for name, called in words.items()]
    return claim_rows(f"{what}: ", rows, trials, **common) if trials else []


def table_line(table: JSON, name: str, trials: Trials | Refused, group: str = "") -> Line:
    """A line with the ``figure`` of each column of a table of ``study.toml``, or with why there is none."""
    if isinstance(trials, Refused):
        return Line(group=group, name=name, note=trials.refused)
    cells = tuple(seed_mean(trials, column["figure"]) for column in table["columns"])
    return Line(group=group, name=name, cells=cells)


def figure_table(table: JSON, lines: Iterable[Line]) -> Table:
    """A table of ``study.toml`` with its ``lines``."""
    columns = [{key: value for key, value in column.items() if key != "figure"} for column in table["columns"]]
    return Table(**{**table, "columns": columns, "lines": tuple(lines)})


def series(name: str, role: Role, places: Mapping[float, Trials], figure: str, *, hollow: bool = False) -> Series:
    """A line of a curve: a figure of the trials at each place of the axis."""
    return Series.of(name, role, ((x, seed_mean(trials, figure)) for x, trials in places.items()), hollow=hollow)


def figure_curve(curve: JSON, places: Mapping[float, Trials]) -> Curve:
    """A curve of ``study.toml``, each of its ``series`` with a ``figure`` of the trials at each place of the axis."""
    return Curve(**{**curve, "series": tuple(series(places=places, **line) for line in curve["series"])})


def success_bars(
    name: str, success: Interval | None, reference: Interval | None, published: float | None = None,
    what: str = "attack success",
) -> list[Bar]:  # fmt: skip
    """Attack success, and the same on a clean network; those that are known."""
    bars = [(what, success, False, published), ("the same on a clean network", reference, True, None)]
    return [
        Bar(name=name, what=words, figure=figure, role="triggered", hollow=hollow, published=line)
        for words, figure, hollow, line in bars if figure is not None
    ]  # fmt: skip


def _words(bound: Bound, unit: str) -> str:
    """The bound in words."""
    kind, limit = bound
    shown = {"rate": f"{100 * limit:.2f} %", "difference": f"{100 * limit:.2f} points"}.get(unit, f"{limit:g}")
    return f"within {100 * ABOUT:.1f} points of {shown} asked" if kind == "about" else f"{kind} {shown} asked"


def _holds(value: float, bound: Bound) -> bool:
    kind, limit = bound
    if kind == "about":
        return abs(value - limit) <= ABOUT
    return value <= limit if kind == "at most" else value >= limit
