"""Figures with their counts and intervals: no bare percentage leaves this package.

``Rate`` is one count out of another (Wilson's interval); ``PairedDifference`` compares two yes or no answers to the
same inputs, ``Contrast`` two independent rates (both Newcombe's); ``Estimate`` is a figure that is no share, with a
bootstrap's interval; ``Number`` has no interval of its own. ``Mean`` is any of them over seeds, and keeps every seed's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.core.text import format_figure

JSON = dict[str, Any]
Unit = Literal["rate", "difference", "number"]
LIMITS = {"rate": (0.0, 1.0), "difference": (-1.0, 1.0), "number": (-math.inf, math.inf)}
"""What a figure of each unit can be."""


def within(end: float | None, unit: str) -> float | None:
    """An end of an interval, no further out than a figure of its unit can be."""
    low, high = LIMITS.get(unit, LIMITS["number"])
    return None if end is None else min(max(end, low), high)


_Z = 1.959963984540054  # the 97.5 % point of the normal distribution


class Interval:
    """A figure with a 95 % interval: ``value`` (None where there was nothing to count), ``ends`` (``low`` and ``high``;
    None where nothing is known of its error; never beyond what the ``unit`` can be), over ``n_seeds`` seeds. Compared,
    and as ``float``, it is its value; a figure without one is refused there."""

    if TYPE_CHECKING:  # a subclass has them as fields or as properties

        @property
        def value(self) -> float | None: ...  # noqa: D102
        @property
        def unit(self) -> Unit: ...  # noqa: D102
        @property
        def ends(self) -> tuple[float | None, float | None]: ...  # noqa: D102

    n_seeds = 1

    @property
    def low(self) -> float | None:
        """Lower end of the 95 % interval."""
        return self.ends[0]

    @property
    def high(self) -> float | None:
        """Upper end of the 95 % interval."""
        return self.ends[1]

    @property
    def counts(self) -> tuple[int, int] | None:
        """Hits and total; None for figures that are no counts."""
        return None

    def to_json(self) -> JSON:
        """As plain JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def __float__(self) -> float:
        if self.value is None:
            raise BadInput("expected a figure with a value, got one of no inputs")
        return float(self.value)

    def __lt__(self, other: float | Interval) -> bool:
        return float(self) < float(other)

    def __le__(self, other: float | Interval) -> bool:
        return float(self) <= float(other)

    def __gt__(self, other: float | Interval) -> bool:
        return float(self) > float(other)

    def __ge__(self, other: float | Interval) -> bool:
        return float(self) >= float(other)

    def __str__(self) -> str:
        return format_figure(self)


def wilson(hits: float, total: float) -> tuple[float, float]:
    """The Wilson 95 % score interval.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    p = hits / total
    denominator = 1 + _Z**2 / total
    center = (p + _Z**2 / (2 * total)) / denominator
    half = _Z / denominator * math.sqrt(p * (1 - p) / total + _Z**2 / (4 * total**2))
    return (0.0 if hits == 0 else max(0.0, center - half)), (1.0 if hits == total else min(1.0, center + half))


@dataclass(frozen=True)
class Rate(Interval):
    """``hits`` out of ``total``: 0 <= low <= value <= high <= 1. Of a ``total`` of 0 ``value`` is None and the interval
    [0, 1]; hits > total and negative counts are refused."""

    unit: ClassVar[Unit] = "rate"
    hits: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.total:
            raise BadInput(f"a rate needs 0 <= hits <= total, got {self.hits} of {self.total}")

    @classmethod
    def of(cls, hits: NDArray[np.bool_]) -> Rate:
        """From one yes or no per object."""
        return cls(int(np.count_nonzero(hits)), int(np.size(hits)))

    @property
    def value(self) -> float | None:
        """The share, 0..1."""
        return self.hits / self.total if self.total else None

    @property
    def ends(self) -> tuple[float, float]:
        """Wilson's interval; [0, 1] without inputs."""
        return wilson(self.hits, self.total) if self.total else (0.0, 1.0)

    @property
    def counts(self) -> tuple[int, int]:
        """``hits, total``."""
        return self.hits, self.total

    @property
    def misses(self) -> Rate:
        """What is left: the others out of all."""
        return Rate(self.total - self.hits, self.total)

    def to_json(self) -> JSON:
        """``{"hits", "total", "value", "low", "high"}``."""
        return {"hits": self.hits, "total": self.total, **super().to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Rate:
        """Back from ``to_json``; the derived numbers are computed anew."""
        return cls(value["hits"], value["total"])


@dataclass(frozen=True)
class PairedDifference(Interval):
    """First rate minus second rate on the *same* inputs, by four counts: ``first_only`` are hits of the first alone,
    ``second_only`` of the second alone."""

    unit: ClassVar[Unit] = "difference"
    both: int
    first_only: int
    second_only: int
    neither: int

    @classmethod
    def of(cls, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> PairedDifference:
        """From two yes or no answers per input."""
        if first.shape != second.shape:
            raise BadInput(f"paired answers need one length, got {first.shape} and {second.shape}")
        counts = (first & second, first & ~second, ~first & second, ~first & ~second)
        return cls(*(int(np.count_nonzero(c)) for c in counts))

    @property
    def total(self) -> int:
        """Number of inputs."""
        return self.both + self.first_only + self.second_only + self.neither

    @property
    def reversed(self) -> PairedDifference:
        """Second minus first: what is lost where this is what is gained."""
        return PairedDifference(self.both, self.second_only, self.first_only, self.neither)

    @property
    def value(self) -> float | None:
        """The difference, -1..1; None without inputs."""
        return (self.first_only - self.second_only) / self.total if self.total else None

    @property
    def ends(self) -> tuple[float, float]:
        """Newcombe's interval.

        Source: Newcombe, Improved confidence intervals for the difference between binomial proportions based on paired
        data, Statistics in Medicine 17 (1998), method 10.
        """
        n = self.total
        if not n:
            return -1.0, 1.0
        a, b, c, d = self.both, self.first_only, self.second_only, self.neither
        product = (a + b) * (c + d) * (a + c) * (b + d)
        cross = a * d - b * c
        # Method 10 shrinks a positive covariance by n/2 (continuity), never below 0.
        phi = 0.0 if not product else (max(cross - n / 2, 0.0) if cross > 0 else float(cross)) / math.sqrt(product)
        return _square_and_add(Rate(a + b, n), Rate(a + c, n), phi)

    def to_json(self) -> JSON:
        """The four counts, ``total``, and ``value``, ``low``, ``high``."""
        counts = {name: getattr(self, name) for name in ("both", "first_only", "second_only", "neither", "total")}
        return {**counts, **super().to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PairedDifference:
        """Back from ``to_json``."""
        return cls(*(value.get(name, 0) for name in ("both", "first_only", "second_only", "neither")))


def _square_and_add(first: Rate, second: Rate, phi: float = 0.0) -> tuple[float, float]:
    """Newcombe's interval of first minus second, from the two Wilson intervals and their correlation."""
    p1, p2 = float(first), float(second)
    (low1, high1), (low2, high2) = first.ends, second.ends

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a**2 - 2 * phi * a * b + b**2))

    return max(-1.0, p1 - p2 - reach(p1 - low1, high2 - p2)), min(1.0, p1 - p2 + reach(high1 - p1, p2 - low2))


@dataclass(frozen=True)
class Contrast(Interval):
    """First rate minus second rate on *different* inputs.

    Source: Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine 17
    (1998), method 10.
    """

    unit: ClassVar[Unit] = "difference"
    first: Rate
    second: Rate

    @property
    def value(self) -> float | None:
        """The difference, -1..1; None where either has no inputs."""
        return float(self.first) - float(self.second) if self.first.total and self.second.total else None

    @property
    def ends(self) -> tuple[float, float]:
        """Newcombe's interval."""
        return (-1.0, 1.0) if self.value is None else _square_and_add(self.first, self.second)

    def to_json(self) -> JSON:
        """Both rates, and ``value``, ``low``, ``high``."""
        return {"first": self.first.to_json(), "second": self.second.to_json(), **super().to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Contrast:
        """Back from ``to_json``."""
        return cls(Rate.from_json(value["first"]), Rate.from_json(value["second"]))


@dataclass(frozen=True)
class Estimate(Interval):
    """A figure in 0..1 that is no share of counts, such as mean average precision, with a 95 % interval (``by`` says by
    what); or, ``paired``, the difference of two on the same pictures, -1..1. Ends beyond are cut off there. All None
    with nothing to average.
    """

    value: float | None
    ends: tuple[float | None, float | None]
    paired: bool = False
    by: str = "bootstrap over pictures"

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", tuple(within(end, self.unit) for end in self.ends))

    @property
    def unit(self) -> Unit:
        """What its value is."""
        return "difference" if self.paired else "rate"

    def to_json(self) -> JSON:
        """``{"value", "low", "high", "interval"}``."""
        return {**super().to_json(), "interval": f"{self.by}{', paired' if self.paired else ''}"}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Estimate:
        """Back from ``to_json``."""
        by = str(value.get("interval", cls.by))
        return cls(value["value"], (value["low"], value["high"]), by.endswith("paired"), by.removesuffix(", paired"))


@dataclass(frozen=True)
class Number(Interval):
    """A figure without an interval of its own: a count of channels, an area under a curve. Only seeds give it one."""

    unit: ClassVar[Unit] = "number"
    value: float | None
    ends: tuple[None, None] = field(default=(None, None), init=False)

    def to_json(self) -> JSON:
        """``{"value"}``."""
        return {"value": self.value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Number:
        """Back from ``to_json``."""
        return cls(value["value"])


F = TypeVar("F", bound=Interval)


@dataclass(frozen=True)
class Mean(Interval, Generic[F]):
    """The mean of one figure over seeds; ``parts`` are the seeds' own. Those with nothing to count are left out.

    The interval is the mean of the seeds' own intervals, and Student's interval of the spread between seeds, added in
    quadrature on either side, within the limits of the figure: never narrower than what one test set can show (seeds
    share its pictures, so more seeds do not make it larger), and never narrower than the spread between seeds.
    """

    seeds: tuple[int, ...]
    parts: tuple[F, ...]

    def __post_init__(self) -> None:
        if len(self.seeds) != len(self.parts) or not self.seeds:
            raise BadInput(f"a mean needs one figure for each seed, got {len(self.parts)} for {len(self.seeds)}")

    @property
    def _there(self) -> list[F]:
        return [part for part in self.parts if part.value is not None]

    @property
    def unit(self) -> Unit:
        """What its value is."""
        return self.parts[0].unit

    @property
    def n_seeds(self) -> int:  # type: ignore[override]  # a single figure is of one
        """How many there are."""
        return len(self.parts)

    @property
    def counts(self) -> tuple[int, int] | None:
        """Hits and total of all seeds together; None for figures that are no counts."""
        counts = [part.counts for part in self.parts if part.counts is not None]
        return (sum(c[0] for c in counts), sum(c[1] for c in counts)) if len(counts) == len(self.parts) else None

    @property
    def value(self) -> float | None:
        """The mean; None where no seed has a value."""
        there = self._there
        return math.fsum(map(float, there)) / len(there) if there else None

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """Both ends of the interval above; None for a single number, of whose error nothing is known."""
        value, there = self.value, self._there
        if value is None:
            return LIMITS[self.unit]
        if len(there) == 1:
            return there[0].ends
        between = spread([float(part) for part in there])
        down = math.fsum(float(part) - part.low for part in there if part.low is not None) / len(there)
        up = math.fsum(part.high - float(part) for part in there if part.high is not None) / len(there)
        low, high = value - math.hypot(down, between), value + math.hypot(up, between)
        return within(low, self.unit), within(high, self.unit)

    def to_json(self) -> JSON:
        """``value``, ``low``, ``high``, ``seeds`` (each one's own); of rates ``hits`` and ``total`` of all together."""
        own = [{"seed": seed, **part.to_json()} for seed, part in zip(self.seeds, self.parts, strict=True)]
        pooled = {} if self.counts is None else dict(zip(("hits", "total"), self.counts, strict=True))
        by = {"interval": "over seeds"} if isinstance(self.parts[0], Estimate) else {}
        return {**pooled, **super().to_json(), **by, "seeds": own}


def over_seeds(seeds: Sequence[int], figures: Sequence[F]) -> F | Mean[F]:
    """The figure of a single seed as it is, of several their ``Mean``."""
    return figures[0] if len(figures) == 1 else Mean(tuple(seeds), tuple(figures))


def parts_of(figure: F | Mean[F]) -> tuple[F, ...]:
    """Each seed's own; of a single one itself."""
    return figure.parts if isinstance(figure, Mean) else (figure,)


def spread(values: Sequence[float]) -> float:
    """Half the length of Student's 95 % interval of the mean; 0 for a single value."""
    n = len(values)
    if n == 1:
        return 0.0
    mean = math.fsum(values) / n
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    return _student(n - 1) * deviation / math.sqrt(n)


@cache
def _student(freedom: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(0.975, freedom))
