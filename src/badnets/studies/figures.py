"""Figures of finished trials: found by a path in their results, over seeds, as rows of the ledger and blocks of a page.

Claims of a ``study.toml`` become rows (``claim_rows``), its tables and curves blocks (``figure_table``,
``figure_curve``); all name a figure by its path (``value_at``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from badnets.core.rate import Interval, Number, Unit, over_seeds
from badnets.records.blocks import Bar, Curve, Line, Role, Series, Table
from badnets.records.model import JSON
from badnets.records.study import State, StudyRow, Variant
from badnets.studies.study import Refused, TrialResult, Trials

Bound = tuple[Literal["at most", "at least", "about"], float]
ABOUT = 0.005
"""A figure that was published as "about" is borne out within half a point."""
OURS = "our own figure"


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
    """A figure over the seeds of ``trials``, by its path in their results (``"figures.asr"``) or by what takes it from
    them. Of a plain number only the spread is known. None where a trial lacks it, and without trials."""
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
    name: str, success: Interval | None, reference: Interval | None, published: float | None = None
) -> list[Bar]:
    """Attack success, and the same on a clean network; those that are known."""
    bars = [("attack success", success, False, published), ("the same on a clean network", reference, True, None)]
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
