"""What a suspect is compared with, and so what its p-value means.

``matched``: clean networks of the same architecture, classes and input. ``taught``: copies that the suspect itself
teaches from clean pictures, whose difference to it is compared with that of clean networks of other kinds. ``within``:
its classes with each other, compared with clean networks of other kinds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from badnets.audits.statistic import Floats, Named, excess, fused, named, rank_p, summaries, surprise
from badnets.core.toml import shipped_table
from badnets.records.finding import Ground

Sizes = Mapping[str, Floats]
"""By detector, those of one network."""


@dataclass(frozen=True, eq=False)
class Judged:
    """``p`` by rank, the ``statistic`` of the suspect and those it was ranked among, what stands out, and the
    ``scores`` of each detector (sources, targets)."""

    ground: Ground
    p: float
    statistic: float
    others: Floats
    named: Named
    scores: dict[str, Floats]
    spread: float
    """How much the suspect differs from what it is compared with everywhere: 1 as they do from each other."""


def matched(suspect: Sizes, references: Sequence[Sizes]) -> Judged:
    """Against clean references; exact where suspect and references are exchangeable when clean."""
    bags = {kind: np.stack([suspect[kind], *(one[kind] for one in references)]) for kind in suspect}
    surprises = {kind: surprise(bag) for kind, bag in bags.items()}
    numbers = np.concatenate([_numbers(values) for values in surprises.values()], 1)
    statistic = fused(numbers)
    first = next(iter(surprises))
    limit = float(np.nanmax(surprises[first][1:]))
    return Judged(
        ground="matched",
        p=rank_p(float(statistic[0]), statistic[1:]),
        statistic=float(statistic[0]),
        others=statistic[1:],
        named=named(surprises[first][0], limit),
        scores={kind: values[0] for kind, values in surprises.items()},
        spread=unlike(bags[first]),
    )


def unlike(bag: Floats) -> float:
    """How far the first network is from the others, over all pairs, in their own distances from each other: the median
    over pairs of its distance to their median, over the median of theirs."""
    middle = np.nanmedian(bag[1:], 0)
    apart = np.array([np.nanmedian(np.abs(one - middle)) for one in bag])
    return float(apart[0] / max(np.median(apart[1:]), 1e-6))


def within(suspect: Sizes, null: Floats) -> Judged:
    """Classes against each other; ``null`` (n, k) are the numbers of clean networks of other kinds."""
    return _against("within", {kind: excess(sizes[None])[0] for kind, sizes in suspect.items()}, null)


def taught(suspect: Sizes, students: Sequence[Sizes], null: Floats) -> Judged:
    """The suspect less its students; ``null`` as in ``within``."""
    kinds = {kind: sizes - np.mean([one[kind] for one in students], 0) for kind, sizes in suspect.items()}
    return _against("taught", {kind: excess(sizes[None])[0] for kind, sizes in kinds.items()}, null)


def _against(ground: Ground, scores: dict[str, Floats], null: Floats) -> Judged:
    numbers = np.concatenate([_numbers(values[None]) for values in scores.values()], 1)
    statistic = fused(np.concatenate([numbers, null[:, : numbers.shape[1]]]))
    first = next(iter(scores))
    return Judged(
        ground=ground,
        p=rank_p(float(statistic[0]), statistic[1:]),
        statistic=float(statistic[0]),
        others=statistic[1:],
        named=named(scores[first], float(np.median(null[:, 0]))),
        scores=scores,
        spread=1.0,
    )


def _numbers(values: Floats) -> Floats:
    """The summaries of one detector; where sources are not told apart, one is enough."""
    return summaries(values) if values.shape[1] > 1 else summaries(values)[:, 1:2]


def numbers_of(ground: Ground, suspect: Sizes, students: Sequence[Sizes] = ()) -> Floats:
    """The numbers (k,) of one network on the grounds that need a null: what such a null is made of."""
    if ground == "taught":
        suspect = {kind: sizes - np.mean([one[kind] for one in students], 0) for kind, sizes in suspect.items()}
    parts = [_numbers(excess(sizes[None])) for sizes in suspect.values()]
    numbers: Floats = np.concatenate(parts, 1)[0]
    return numbers


def null_of(ground: Ground, *, apart: bool) -> Floats:
    """The numbers of the clean networks that came with the package (``nulls.toml``, made by ``badnets reproduce
    audit``); ``apart``: of searches by pairs of classes, else of searches by target alone."""
    table = shipped_table(__package__ or "", "nulls.toml")
    return np.array(table[ground]["pairs" if apart else "targets"], float)
