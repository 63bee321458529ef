"""What a study is: trials that are independent of each other, and rows that set our figures beside published ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from badnets.core.old import t_interval
from badnets.core.rate import Rate

Variant = Literal["published", "corrected", "quick"]
Results = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training with its measurements: ``spec`` is a spec's table (its seeds are not looked at), run with ``seed``.

    ``keep`` keeps the network file for a later look inside. ``work`` (a function of a module, for other processes find
    it by its name) does something else than train and measure by a spec: it gets the trial and a folder of its own,
    in which it finds what it wrote before it was interrupted, and gives ``{"results": ..., "timings_s": ...}``;
    ``spec`` is then whatever it needs, and ``spec["data"]`` its data.
    """

    name: str
    spec: dict[str, Any]
    seed: int
    keep: bool = False
    work: Callable[[Trial, Path], dict[str, Any]] | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure of the ledger. Rates are 0..1; ``verified`` says whether ours bears the published one out, None where
    that can't be said, and ``why`` says why."""

    what: str
    variant: Variant
    published: float | None
    published_source: str
    verified: bool | None
    why: str
    unit: str
    ours: float | None
    low: float | None
    high: float | None
    n_seeds: int

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return dict(self.__dict__)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a study's ``assemble`` gives: rows, and the data of its tables and figures."""

    rows: list[Row]
    tables: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a study is run: the quick form or the full one, how many seeds, and where its data lies."""

    quick: bool
    seeds: int
    data: str | None = None


@dataclass(frozen=True, kw_only=True)
class Study:
    """A published study: its trials, and how rows are made of their results and of the networks that were kept."""

    name: str
    summary: str
    seeds: int
    quick_seeds: int
    trials: Callable[[Settings], list[Trial]]
    assemble: Callable[[Settings, Mapping[str, Results], Path], Outcome]


Bound = tuple[Literal["at most", "at least", "about"], float]
ABOUT = 0.005
"""A figure that was published as "about" is borne out within half a point."""


def row(
    what: str,
    variant: Variant,
    published: float | None,
    source: str,
    values: Sequence[float],
    *,
    unit: str = "rate",
    bound: Bound | None = None,
    why: str = "",
) -> Row:
    """A row from one value per seed. ``bound`` is what would bear the published figure out: ``("at least", 0.99)``."""
    mean, low, high = t_interval(list(values))
    if unit == "rate":
        low, high = max(0.0, low), min(1.0, high)
    verified = None if bound is None else _holds(mean, bound)
    if bound is not None and not why:
        why = _asked(bound, unit)
    return Row(
        what=what,
        variant=variant,
        published=published,
        published_source=source,
        verified=verified,
        why=why,
        unit=unit,
        ours=mean,
        low=low,
        high=high,
        n_seeds=len(values),
    )


def over(found: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of a rate (as JSON, one for each seed or split) with its interval; of a single one, its own.

    Student's interval, or the mean of their own where that is wider: two seeds may agree by chance, and three zeros are
    no proof of nothing.
    """
    if len(found) == 1:
        return {end: float(found[0][end]) for end in ("value", "low", "high")}
    mean, low, high = t_interval([entry["value"] for entry in found])
    own_low, own_high = (sum(entry[end] for entry in found) / len(found) for end in ("low", "high"))
    return {"value": mean, "low": max(0.0, min(low, own_low)), "high": min(1.0, max(high, own_high))}


def rates_row(
    what: str,
    variant: Variant,
    published: float | None,
    source: str,
    rates: Sequence[Mapping[str, Any]],
    *,
    unit: str = "rate",
    bound: Bound | None = None,
    why: str = "",
) -> Row:
    """A row from one figure per seed (as JSON, with its own interval); of a single seed that interval is the row's.

    Seeds in which there was nothing to count are left out; where that is so in all, nothing is borne out.
    """
    usable = [rate for rate in rates if rate["value"] is not None]
    base = row(
        what, variant, published, source, [rate["value"] for rate in usable] or [0.0], unit=unit, bound=bound, why=why
    )
    if not usable:
        nothing = {"ours": None, "low": None, "high": None, "verified": None, "why": "there was nothing to count"}
        return Row(**{**base.__dict__, **nothing, "n_seeds": len(rates)})
    ends = over(usable) if unit == "rate" or len(usable) == 1 else {"low": base.low, "high": base.high}
    return Row(**{**base.__dict__, "low": ends["low"], "high": ends["high"]})


def rate_row(
    what: str,
    variant: Variant,
    published: float | None,
    source: str,
    rate: Rate,
    *,
    n_seeds: int = 1,
    bound: Bound | None = None,
    why: str = "",
) -> Row:
    """A row from one pooled count (Wilson interval) of the networks of ``n_seeds`` seeds; a count of nothing bears
    nothing out."""
    base = row(what, variant, published, source, [rate.value or 0.0], bound=bound, why=why)
    if rate.value is None:
        nothing = {"ours": None, "low": None, "high": None, "verified": None, "why": "there was nothing to count"}
        return Row(**{**base.__dict__, **nothing, "n_seeds": n_seeds})
    return Row(**{**base.__dict__, "low": rate.low, "high": rate.high, "n_seeds": n_seeds})


def _asked(bound: Bound, unit: str) -> str:
    """The bound in words."""
    kind, limit = bound
    figure = f"{100 * limit:.2f} {'%' if unit == 'rate' else 'points'}"
    return f"within {100 * ABOUT:.1f} points of {figure} asked" if kind == "about" else f"{kind} {figure} asked"


def _holds(value: float, bound: Bound) -> bool:
    kind, limit = bound
    if kind == "at most":
        return value <= limit
    if kind == "at least":
        return value >= limit
    return abs(value - limit) <= ABOUT


def value_of(results: Results, name: str) -> float:
    """The value of a rate in one trial's results."""
    value = results[name]["value"]
    return float(value)
