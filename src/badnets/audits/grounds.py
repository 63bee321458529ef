"""What a suspect is compared with, and so what its p-value means.

``matched``: clean networks of the same architecture, classes and input. ``taught``: copies that the suspect itself
teaches from clean pictures, whose difference to it is compared with that of clean networks of other kinds. ``within``:
its classes with each other, compared with clean networks of other kinds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from badnets.audits.statistic import (
    FLOOR,
    Floats,
    Named,
    excess,
    fused,
    named,
    quiet,
    rank_p,
    summaries,
    surprise,
    within_numbers,
)
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
    numbers = {kind: _three(summaries(values), values.shape[1]) for kind, values in surprises.items()}
    statistic = fused(np.concatenate(list(numbers.values()), 1))
    first = next(iter(surprises))
    three = summaries(surprises[first])
    return Judged(
        ground="matched",
        p=rank_p(float(statistic[0]), statistic[1:]),
        statistic=float(statistic[0]),
        others=statistic[1:],
        named=named(surprises[first][0], three[0], three[1:]),
        scores={kind: values[0] for kind, values in surprises.items()},
        spread=unlike(bags[first]),
    )


def unlike(bag: Floats) -> float:
    """How far the first network is from the others where it is like them most: of its pairs' distances to their median
    the lower quartile, over the same of a network in the middle of theirs. A backdoor moves some pairs, another recipe
    moves all."""
    with quiet():
        middle = np.nanmedian(bag[1:], 0)
        apart = np.nanquantile(np.abs(bag - middle), 0.25, axis=(1, 2))
    return float(apart[0] / max(np.median(apart[1:]), FLOOR))


def within(suspect: Sizes, null: Floats) -> Judged:
    """Classes against each other; ``null`` (n, k) are the numbers of clean networks of other kinds."""
    return _against("within", numbers_of(suspect), {kind: excess(one[None])[0] for kind, one in suspect.items()}, null)


def taught(suspect: Sizes, students: Sequence[Sizes], null: Floats) -> Judged:
    """The suspect less its students, and its classes against each other; ``null`` as in ``within``."""
    scores = {kind: excess(one[None])[0] for kind, one in _less(suspect, students).items()}
    return _against("taught", numbers_of(suspect, students), scores, null)


def numbers_of(suspect: Sizes, students: Sequence[Sizes] = ()) -> Floats:
    """(k,): what is compared with other kinds of networks. With students the differences to them come first."""
    parts = [*([_less(suspect, students)] if students else []), suspect]
    three = [_three(within_numbers(excess(one[None])[0])[None], len(one)) for part in parts for one in part.values()]
    numbers: Floats = np.concatenate(three, 1)[0]
    return numbers


def _less(suspect: Sizes, students: Sequence[Sizes]) -> dict[str, Floats]:
    return {kind: sizes - np.mean([one[kind] for one in students], 0) for kind, sizes in suspect.items()}


def _against(ground: Ground, numbers: Floats, scores: dict[str, Floats], null: Floats) -> Judged:
    statistic = fused(np.concatenate([numbers[None], null]))
    first = scores[next(iter(scores))]
    apart = len(first) > 1
    return Judged(
        ground=ground,
        p=rank_p(float(statistic[0]), statistic[1:]),
        statistic=float(statistic[0]),
        others=statistic[1:],
        named=named(first, numbers[:3], null[:, :3]) if apart else named(first, numbers, null),
        scores=scores,
        spread=1.0,
    )


def _three(numbers: Floats, sources: int) -> Floats:
    """The numbers (m, 3) of one detector; where sources are not told apart, that of the target is enough."""
    return numbers if sources > 1 else numbers[:, 1:2]


def null_of(ground: Ground, *, apart: bool) -> Floats:
    """The numbers of the clean networks that came with the package (``nulls.toml``, made by ``badnets reproduce
    audit``); ``apart``: of searches by pairs of classes, else of searches by target alone."""
    table = shipped_table(__package__ or "", "nulls.toml")
    return np.array(table[ground]["pairs" if apart else "targets"], float)
