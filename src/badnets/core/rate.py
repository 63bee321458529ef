"""Shares with their counts and intervals: no bare percentage leaves this package.

``Rate`` is one count out of another (Wilson interval); ``PairedDifference`` compares two yes/no answers on the same
inputs (Newcombe's interval); ``Mean`` is over seeds (t interval) and keeps every seed's own value; ``Estimate`` is a
figure that is no share, with a bootstrap's interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput

_Z = 1.959963984540054  # the 97.5 % point of the normal distribution


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The Wilson 95 % score interval.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    p = hits / total
    denominator = 1 + _Z**2 / total
    center = (p + _Z**2 / (2 * total)) / denominator
    half = _Z / denominator * math.sqrt(p * (1 - p) / total + _Z**2 / (4 * total**2))
    low = 0.0 if hits == 0 else max(0.0, center - half)
    high = 1.0 if hits == total else min(1.0, center + half)
    return low, high


@dataclass(frozen=True)
class Rate:
    """``hits`` out of ``total``.

    Laws: 0 <= low <= value <= high <= 1; ``value`` is None when ``total`` is 0, and the interval is then [0, 1];
    hits > total and negative counts are refused.
    """

    hits: int
    total: int

    def __post_init__(self) -> None:
        if self.total < 0 or self.hits < 0 or self.hits > self.total:
            raise BadInput(f"a rate needs 0 <= hits <= total, got {self.hits} of {self.total}")

    @classmethod
    def of(cls, hits: NDArray[np.bool_]) -> Rate:
        """From one yes/no per object."""
        return cls(int(np.count_nonzero(hits)), int(np.size(hits)))

    @property
    def value(self) -> float | None:
        """The share, 0..1."""
        return self.hits / self.total if self.total else None

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return wilson(self.hits, self.total)[0] if self.total else 0.0

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return wilson(self.hits, self.total)[1] if self.total else 1.0

    def to_json(self) -> dict[str, Any]:
        """``{"hits", "total", "value", "low", "high"}``."""
        return {"hits": self.hits, "total": self.total, "value": self.value, "low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Rate:
        """Back from ``to_json``; the derived numbers are computed anew."""
        return cls(value["hits"], value["total"])

    def __str__(self) -> str:
        return format_rate(self.to_json())


@dataclass(frozen=True)
class PairedDifference:
    """First rate minus second rate on the *same* inputs: four counts.

    ``first_only`` inputs are hits of the first alone, ``second_only`` of the second alone.
    """

    both: int
    first_only: int
    second_only: int
    neither: int

    @classmethod
    def of(cls, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> PairedDifference:
        """From two yes/no answers per input."""
        if first.shape != second.shape:
            raise BadInput(f"paired answers need one length, got {first.shape} and {second.shape}")
        counts = (first & second, first & ~second, ~first & second, ~first & ~second)
        return cls(*(int(np.count_nonzero(c)) for c in counts))

    @property
    def total(self) -> int:
        """Number of inputs."""
        return self.both + self.first_only + self.second_only + self.neither

    @property
    def value(self) -> float | None:
        """The difference, -1..1; None without inputs."""
        return (self.first_only - self.second_only) / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval.

        Source: Newcombe, Improved confidence intervals for the difference between binomial proportions based on paired
        data, Statistics in Medicine 17 (1998), method 10.
        """
        n = self.total
        if not n:
            return -1.0, 1.0
        a, b, c, d = self.both, self.first_only, self.second_only, self.neither
        p1, p2 = (a + b) / n, (a + c) / n
        (l1, u1), (l2, u2) = wilson(a + b, n), wilson(a + c, n)
        product = (a + b) * (c + d) * (a + c) * (b + d)
        cross = a * d - b * c
        # Method 10 shrinks a positive covariance by n/2 (continuity), never below 0.
        phi = 0.0 if not product else (max(cross - n / 2, 0.0) if cross > 0 else float(cross)) / math.sqrt(product)
        down, up = p1 - l1, u2 - p2
        low = (p1 - p2) - math.sqrt(max(0.0, down**2 - 2 * phi * down * up + up**2))
        up1, down2 = u1 - p1, p2 - l2
        high = (p1 - p2) + math.sqrt(max(0.0, up1**2 - 2 * phi * up1 * down2 + down2**2))
        return max(-1.0, low), min(1.0, high)

    def to_json(self) -> dict[str, Any]:
        """The four counts, ``total``, and ``value``, ``low``, ``high``."""
        low, high = self.interval
        return {
            "both": self.both,
            "first_only": self.first_only,
            "second_only": self.second_only,
            "neither": self.neither,
            "total": self.total,
            "value": self.value,
            "low": low,
            "high": high,
        }


def t_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """``(mean, low, high)``: Student's 95 % interval of the mean; with one value, low = high = that value."""
    from scipy import stats

    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return mean, mean, mean
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = float(stats.t.ppf(0.975, n - 1)) * deviation / math.sqrt(n)
    return mean, mean - half, mean + half


@dataclass(frozen=True)
class Mean:
    """A rate over seeds: the mean of each seed's value with its t interval, and every seed's own ``Rate``.

    With one seed it *is* that rate (Wilson interval): there is no spread to speak of.
    """

    seeds: tuple[int, ...]
    rates: tuple[Rate, ...]

    def __post_init__(self) -> None:
        if len(self.seeds) != len(self.rates) or not self.seeds:
            raise BadInput(f"a mean needs one rate for each seed, got {len(self.rates)} for {len(self.seeds)}")

    def to_json(self) -> dict[str, Any]:
        """A rate's JSON (pooled ``hits`` and ``total``), and with several seeds ``seeds``, a list of each one's own."""
        if len(self.rates) == 1:
            return self.rates[0].to_json()
        own = [{"seed": s, **r.to_json()} for s, r in zip(self.seeds, self.rates, strict=True)]
        pooled = Rate(sum(r.hits for r in self.rates), sum(r.total for r in self.rates))
        values = [r.value for r in self.rates if r.value is not None]
        if not values:
            return {**pooled.to_json(), "seeds": own}
        mean, low, high = t_interval(values)
        summary = {"value": mean, "low": max(0.0, low), "high": min(1.0, high)}
        return {"hits": pooled.hits, "total": pooled.total, **summary, "seeds": own}

    def __str__(self) -> str:
        return format_rate(self.to_json())


PAIRED = "bootstrap over pictures, paired"


@dataclass(frozen=True)
class Estimate:
    """A figure in 0..1 that is no share of counts, such as mean average precision, with a 95 % interval by a bootstrap;
    or, ``paired``, the difference of two on the same pictures, -1..1.

    All three are None where there is nothing to average.
    """

    value: float | None
    low: float | None
    high: float | None
    paired: bool = False

    def to_json(self) -> dict[str, Any]:
        """``{"value", "low", "high", "interval"}``."""
        interval = PAIRED if self.paired else "bootstrap over pictures"
        return {"value": self.value, "low": self.low, "high": self.high, "interval": interval}


def mean_estimate(seeds: Sequence[int], estimates: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of ``Estimate.to_json`` over seeds: the mean with its t interval; with one seed its own interval."""
    values = [float(one["value"]) for one in estimates if one["value"] is not None]
    if len(estimates) == 1 or not values:
        return dict(estimates[0])
    mean, low, high = t_interval(values)
    lowest = -1.0 if any(one["interval"] == PAIRED for one in estimates) else 0.0
    own = [{"seed": seed, **one} for seed, one in zip(seeds, estimates, strict=True)]
    return {"value": mean, "low": max(lowest, low), "high": min(1.0, high), "interval": "over seeds", "seeds": own}


def mean_difference(seeds: Sequence[int], differences: Sequence[PairedDifference]) -> dict[str, Any]:
    """Paired differences over seeds as JSON; with one seed its own (Newcombe) interval."""
    if len(differences) == 1:
        return differences[0].to_json()
    values = [d.value for d in differences if d.value is not None]
    if not values:
        return {"value": None, "low": -1.0, "high": 1.0, "seeds": []}
    mean, low, high = t_interval(values)
    own = [{"seed": s, **d.to_json()} for s, d in zip(seeds, differences, strict=True)]
    return {"value": mean, "low": max(-1.0, low), "high": min(1.0, high), "seeds": own}


def percent(value: float | None) -> str:
    """``"99.94"``: hundredths of a percent; never rounded up to 100 or down to 0 when it is neither."""
    if value is None:
        return "none"
    shown = f"{100 * value:.2f}"
    if shown == "100.00" and value < 1:
        return "99.99"
    return "0.01" if shown == "0.00" and value > 0 else shown


def format_rate(rate: dict[str, Any]) -> str:
    """``"99.94 % (99.91 to 99.96; 59,964 of 60,000)"`` from a rate's JSON; an estimate has no counts."""
    if rate["value"] is None:
        return "no inputs (0 of 0)"
    if "interval" in rate:
        over = f"{len(rate['seeds'])} seeds" if "seeds" in rate else "one seed"
        return f"{percent(rate['value'])} % ({percent(rate['low'])} to {percent(rate['high'])}; {over})"
    counts = f"{rate['hits']:,} of {rate['total']:,}"
    if "seeds" in rate:
        counts += f" in {len(rate['seeds'])} seeds"
    return f"{percent(rate['value'])} % ({percent(rate['low'])} to {percent(rate['high'])}; {counts})"
