"""Going away: figures as dicts, for code that has not been moved to types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from badnets.core.rate import Estimate, Mean, Number, PairedDifference, over_seeds
from badnets.core.text import percent


def t_interval(values: Sequence[float]) -> tuple[float, float, float]:
    mean = Mean(tuple(range(len(values))), tuple(map(Number, values)))
    value = float(mean)
    return value, value if mean.low is None else mean.low, value if mean.high is None else mean.high


def mean_estimate(seeds: Sequence[int], estimates: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return over_seeds(seeds, [Estimate.from_json(one) for one in estimates]).to_json()


def mean_difference(seeds: Sequence[int], differences: Sequence[PairedDifference]) -> dict[str, Any]:
    return over_seeds(seeds, differences).to_json()


def format_rate(rate: dict[str, Any]) -> str:
    if rate["value"] is None:
        return "no inputs (0 of 0)"
    if "interval" in rate:
        over = f"{len(rate['seeds'])} seeds" if "seeds" in rate else "one seed"
        return f"{percent(rate['value'])} % ({percent(rate['low'])} to {percent(rate['high'])}; {over})"
    counts = f"{rate['hits']:,} of {rate['total']:,}"
    if "seeds" in rate:
        counts += f" in {len(rate['seeds'])} seeds"
    return f"{percent(rate['value'])} % ({percent(rate['low'])} to {percent(rate['high'])}; {counts})"
