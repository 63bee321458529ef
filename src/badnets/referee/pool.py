"""Results of several seeds as one: rates become means over seeds, counts are pooled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from badnets.core.old import mean_difference, mean_estimate
from badnets.core.rate import PairedDifference, Rate, over_seeds


def pool_results(seeds: Sequence[int], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One seed's results as they are; of several, every rate a mean with each seed's own, confusion matrices summed."""
    pooled: dict[str, Any] = _pool(seeds, list(results))
    return pooled


def _pool(seeds: Sequence[int], values: list[Any]) -> Any:
    first = values[0]
    if any(value is None for value in values):
        return None
    if isinstance(first, dict):
        return _pool_tables(seeds, values)
    if isinstance(first, list):
        if first and isinstance(first[0], list):
            return np.sum(np.asarray(values), axis=0).tolist()
        return [_pool(seeds, list(column)) for column in zip(*values, strict=True)]
    if isinstance(first, float):
        return float(np.mean(values))
    if isinstance(first, int) and not isinstance(first, bool):
        return first if len(set(values)) == 1 else round(float(np.mean(values)))
    return first


def _pool_tables(seeds: Sequence[int], values: list[dict[str, Any]]) -> dict[str, Any]:
    if "first_only" in values[0]:
        return mean_difference(seeds, [_pair(value) for value in values])
    if "interval" in values[0]:
        return mean_estimate(seeds, values)
    if "hits" in values[0]:
        return over_seeds(seeds, [Rate.from_json(value) for value in values]).to_json()
    return {name: _pool(seeds, [value[name] for value in values]) for name in values[0]}


def _pair(value: dict[str, Any]) -> PairedDifference:
    return PairedDifference(value["both"], value["first_only"], value["second_only"], value["neither"])
