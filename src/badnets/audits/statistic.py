"""From the sizes of triggers to one number for a network, and from numbers to a p-value. numpy alone.

``sizes`` are (sources, targets), logarithms, NaN where nothing was searched; all networks of a bag have theirs in the
same places. Smaller than in other networks is suspicious.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from badnets.records.finding import Form

Floats = NDArray[np.float64]
Rows = tuple[tuple[float | None, ...], ...]
ENOUGH = 12
"""Pairs, at least, of a network that is compared with itself too: those of four classes."""
LEAST_SPREAD = 0.1
"""The least spread of pairs within a network that is believed."""
NEVER = -1e6
"""The score of a pair that was not searched, where each source gets a target."""
STEPS = 3
"""Targets that a network may have: several triggers, each with its own."""
TAIL = 20
"""Of many classes those whose distances say how far the first may be from the second."""
FLOOR = 0.05
"""The least spread of a logarithm of a size that is believed: 5 %."""


def as_rows(sizes: Floats) -> Rows:
    """As JSON has them."""
    return tuple(tuple(None if np.isnan(one) else round(float(one), 4) for one in row) for row in sizes)


def from_rows(rows: Sequence[Sequence[float | None]]) -> Floats:
    """Back from JSON."""
    return np.array([[np.nan if one is None else one for one in row] for row in rows], float)


def surprise(sizes: Floats) -> Floats:
    """(m, s, t) of a bag of m networks: how much smaller each size is than in the other m - 1 networks, in standard
    deviations of theirs, less the network's own median, in units of its own spread.

    The deviation is halfway (in variance) between the pair's own and that of all pairs, for a few networks say little
    of one pair. A network that differs from the others everywhere (another recipe, more robust) is so compared with
    itself as well. Every network is treated alike, so that ranks of what is computed from it are exact where the bag is
    exchangeable.
    """
    count = len(sizes)
    total, squares = sizes.sum(0), (sizes**2).sum(0)
    mean = (total - sizes) / (count - 1)
    variance = np.maximum((squares - sizes**2) / (count - 1) - mean**2, 0) * (count - 1) / max(count - 2, 1)
    shared = _over(np.nanmean, variance)
    deviation = np.maximum(np.sqrt((variance + shared) / 2), FLOOR)
    z: Floats = (mean - sizes) / deviation
    if np.isfinite(sizes[0]).sum() < ENOUGH:
        return z
    z = z - _over(np.nanmedian, z)
    spread = 1.4826 * _over(np.nanmedian, np.abs(z))
    result: Floats = z / np.maximum(spread, FLOOR)
    return result


def excess(sizes: Floats) -> Floats:
    """(m, s, t): how much smaller each size is than rows and columns of its own network let expect, a logarithm.

    Tukey's median polish takes the rows (sources that are moved easily) out, but leaves the columns (targets that are
    reached easily), less their median: what an attacker makes of a target, or of a pair.
    """
    return np.stack([_polished(one) for one in sizes])


def _polished(sizes: Floats) -> Floats:
    rows = np.zeros((sizes.shape[0], 1))
    columns = np.zeros((1, sizes.shape[1]))
    with quiet():
        for _ in range(10):
            columns = np.nanmedian(sizes - rows, 0, keepdims=True)
            rows = np.nanmedian(sizes - columns, 1, keepdims=True)
            rows -= np.nanmedian(rows)
        result: Floats = np.nanmedian(columns) - (sizes - rows)
    return result


def summaries(scores: Floats) -> Floats:
    """(m, 3), what may stand out: the largest score of a pair (one source); of a target, the median over its sources
    (all-to-one); what a quarter of the sources stays below when each gets another target, so that the scores sum to
    the most (all-to-all)."""
    with quiet():
        pair = np.nanmax(scores, (1, 2))
        target = np.nanmax(np.nanmedian(scores, 1), 1)
    return np.stack([pair, target, [_assigned(one) for one in scores]], 1)


def _assigned(scores: Floats) -> float:
    there = scores[np.isfinite(scores).any(1)]
    filled = np.where(np.isnan(there), NEVER, there)
    rows, columns = linear_sum_assignment(filled, maximize=True)
    return float(np.quantile(filled[rows, columns], 0.25))


def within_numbers(scores: Floats) -> Floats:
    """(3,) of the excess (s, t) of one network, comparable between networks of other kinds. As in ``summaries``, but
    pairs are counted in the spread of what rows and columns leave over (at least ``LEAST_SPREAD``), for it is wider
    where pictures are harder; and of targets the widest step counts between one of the first ``STEPS`` and the next,
    for classes differ more in some networks than in others, but in a clean one the first are not far apart."""
    with quiet():
        left = scores - np.nanmedian(scores, 0, keepdims=True)
        spread = 1.4826 * np.nanmedian(np.abs(left - np.nanmedian(left)))
        targets = np.nanmedian(scores, 0)
    pair, _, every = summaries(scores[None])[0]
    scale = max(float(spread), LEAST_SPREAD)
    steps = -np.diff(np.sort(targets[np.isfinite(targets)])[::-1])
    return np.array([pair / scale, steps[:STEPS].max(initial=0.0), every / scale])


def fused(numbers: Floats) -> Floats:
    """(m,): of several numbers (m, k) of each network the one that stands out most among the others' of its kind, in
    their standard deviations."""
    count = len(numbers)
    mean = (numbers.sum(0) - numbers) / (count - 1)
    squares = ((numbers**2).sum(0) - numbers**2) / (count - 1)
    deviation = np.sqrt(np.maximum(squares - mean**2, 0) * (count - 1) / max(count - 2, 1))
    result: Floats = ((numbers - mean) / np.maximum(deviation, FLOOR)).max(1)
    return result


def standing(numbers: Floats, usual: Floats) -> Floats:
    """(k,): how far numbers (k,) are above usual ones (n, k), in their standard deviations."""
    far: Floats = (numbers - usual.mean(0)) / np.maximum(usual.std(0), FLOOR)
    return far


def rank_p(suspect: float, others: Floats) -> float:
    """``(1 + those of others that are at least suspect) / (n + 1)``: exact where they are exchangeable."""
    return float((1 + np.count_nonzero(others >= suspect)) / (len(others) + 1))


def spacing_p(values: Floats) -> float:
    """How seldom the largest of many ``values`` (n,) is so far above the second, from how far the next ``TAIL`` are
    apart: exact for values with an exponential tail, and near it for normal and other light tails.

    Times their rank, distances of the largest values of such a tail are independent and have one mean; so the first,
    over the mean of the next ones, is F distributed with 2 and 2 (TAIL - 1) degrees of freedom.

    Source: Renyi, On the theory of order statistics (1953).
    """
    ordered = np.sort(values)[::-1]
    tail = min(TAIL, len(ordered) - 1)
    apart = np.arange(1, tail + 1) * (ordered[:tail] - ordered[1 : tail + 1])
    usual = max(float(apart[1:].mean()), 1e-12)
    return float((1 + apart[0] / usual / (tail - 1)) ** (1 - tail))


@dataclass(frozen=True)
class Named:
    """What stands out: the form, the target, the source of a pair."""

    form: Form
    target: int | None
    source: int | None


def moves_all(numbers: Floats, usual: Floats) -> bool:
    """Whether ``numbers`` (3,) of one network beside ``usual`` (n, 3) are those of an all-to-all backdoor: what they
    say of all sources stands out more than in any clean network, more than any target, and not much less than a pair.
    """
    far = standing(numbers, usual)
    return bool(numbers[2] > usual[:, 2].max() and far[2] > max(far[1], 0.4 * far[0]))


def named(scores: Floats, numbers: Floats, usual: Floats) -> Named:
    """What the scores (s, t) of one network name, whose ``numbers`` (3,) stand beside those of clean networks,
    ``usual`` (n, 3).

    The target, if it stands out at least half as far as the pair that does most, and further than in any clean
    network; else that pair.
    """
    with quiet():
        middle = np.nanmedian(scores, 0)
    target = int(np.nanargmax(middle))
    if len(scores) == 1:
        return Named("all-to-one", target, None)
    far = standing(numbers, usual)
    if numbers[1] > usual[:, 1].max() and far[1] >= 0.5 * far[0]:
        return Named("all-to-one", target, None)
    filled = np.where(np.isnan(scores), -np.inf, scores)
    first, second = divmod(int(filled.argmax()), filled.shape[1])
    return Named("one-source", second, first)


def _over(function: object, values: Floats) -> Floats:
    """``function`` over both axes of each network, with axes kept."""
    with quiet():
        result: Floats = function(values, axis=(1, 2), keepdims=True)  # type: ignore[operator]
    return result


class quiet(warnings.catch_warnings):  # noqa: N801 (used like a function)
    """numpy warns of rows that are all NaN: classes of which there is no picture."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore", RuntimeWarning)
