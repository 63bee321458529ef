"""What a suspect is compared with, and so what its p-value means.

``matched``: clean networks of the same architecture, classes and input. ``taught``: copies that the suspect itself
teaches from clean pictures, whose difference to it is compared with that of clean networks of other kinds. ``within``:
its classes with each other, compared with clean networks of other kinds; of many classes, with the distances of the
first ones.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from badnets.audits.statistic import (
    FLOOR,
    Floats,
    Named,
    excess,
    fused,
    moves_all,
    named,
    quiet,
    rank_p,
    spacing_p,
    standing,
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
    numbers = {kind: summaries(values) for kind, values in surprises.items()}
    statistic = fused(np.concatenate([_those(one, surprises[kind]) for kind, one in numbers.items()], 1))
    first = next(iter(bags))
    scores = {kind: values[0] for kind, values in surprises.items()}
    return Judged(
        ground="matched",
        p=rank_p(float(statistic[0]), statistic[1:]),
        statistic=float(statistic[0]),
        others=statistic[1:],
        named=_named(scores, {kind: (one[0], one[1:]) for kind, one in numbers.items()}),
        scores=scores,
        spread=unlike(bags[first]),
    )


def _named(scores: Mapping[str, Floats], numbers: Mapping[str, tuple[Floats, Floats]]) -> Named:
    """All-to-all, if a detector shows it; else by the one whose numbers stand out most among the usual ones."""
    if any(moves_all(*numbers[kind]) for kind, one in scores.items() if len(one) > 1):
        return Named("all-to-all", None, None)

    def away(kind: str) -> float:
        own, usual = numbers[kind]
        columns = slice(None) if len(scores[kind]) > 1 else slice(1, 2)
        return float(standing(own, usual)[columns].max())

    most = max(scores, key=away)
    return named(scores[most], *numbers[most])


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
    return _against("within", suspect, (), null)


def among(suspect: Sizes) -> Judged:
    """Of many classes the one that is furthest above the others, by the detector that shows it most; ``p`` is that of
    ``spacing_p``, times the number of detectors."""
    ps = {kind: spacing_p(-sizes[0]) for kind, sizes in suspect.items()}
    most = min(ps, key=lambda kind: ps[kind])
    p = min(1.0, len(ps) * ps[most])
    return Judged(
        ground="within",
        p=p,
        statistic=-math.log10(max(p, sys.float_info.min)),
        others=np.empty(0),
        named=Named("all-to-one", int(suspect[most][0].argmin()), None),
        scores={kind: excess(one[None])[0] for kind, one in suspect.items()},
        spread=1.0,
    )


def taught(suspect: Sizes, students: Sequence[Sizes], null: Floats) -> Judged:
    """The suspect less its students, and its classes against each other; ``null`` as in ``within``. Scores are of the
    differences, and of the suspect alone by detectors that have not looked at students."""
    return _against("taught", suspect, students, null)


def numbers_of(suspect: Sizes, students: Sequence[Sizes] = ()) -> Floats:
    """(k,): what is compared with other kinds of networks. With students the differences to them come first, by the
    detectors that have looked at them."""
    return np.concatenate([_those(_within_three(one)[None], one[None])[0] for _, one in _parts(suspect, students)])


def _parts(suspect: Sizes, students: Sequence[Sizes]) -> list[tuple[str, Floats]]:
    """By detector: the differences to students, and then the suspect's own sizes."""
    return [*(_less(suspect, students).items() if students else ()), *suspect.items()]


def _within_three(sizes: Floats) -> Floats:
    return within_numbers(excess(sizes[None])[0])


def _less(suspect: Sizes, students: Sequence[Sizes]) -> dict[str, Floats]:
    return {kind: suspect[kind] - np.mean([one[kind] for one in students], 0) for kind in students[0]}


def _against(ground: Ground, suspect: Sizes, students: Sequence[Sizes], null: Floats) -> Judged:
    numbers = numbers_of(suspect, students)
    statistic = fused(np.concatenate([numbers[None], null]))
    scores: dict[str, Floats] = {}
    beside: dict[str, tuple[Floats, Floats]] = {}
    at = 0
    for kind, one in _parts(suspect, students):  # each detector has three numbers, or that of the target alone
        width = 3 if len(one) > 1 else 1
        if kind not in scores:
            own, usual = numbers[at : at + width], null[:, at : at + width]
            scores[kind] = excess(one[None])[0]
            beside[kind] = (own, usual) if width == 3 else (np.repeat(own, 3), np.repeat(usual, 3, 1))
        at += width
    return Judged(
        ground=ground,
        p=rank_p(float(statistic[0]), statistic[1:]),
        statistic=float(statistic[0]),
        others=statistic[1:],
        named=_named(scores, beside),
        scores=scores,
        spread=1.0,
    )


def _those(numbers: Floats, sizes: Floats) -> Floats:
    """The numbers (m, 3) of one detector, whose ``sizes`` are (m, sources, targets); where sources are not told apart,
    that of the target is enough."""
    return numbers if sizes.shape[1] > 1 else numbers[:, 1:2]


def null_of(
    ground: Ground, input_size: tuple[int, int, int], classes: int, width: int | None, *, pictures: bool
) -> Floats:
    """(n, width), or (n, 0) for any width: the numbers of the clean networks that came with the package
    (``nulls.toml``, made of ``results/audit-pool``) and are like one at hand: as many channels, and between half and
    twice as many classes; searched with clean ``pictures``, or without."""
    rows = [
        numbers
        for one in shipped_table(__package__ or "", "nulls.toml").get("null", [])
        if (one["ground"], one["pictures"]) == (ground, pictures)
        and alike((one["channels"], one["classes"]), (input_size[0], classes))
        for numbers in one["numbers"]
        if width in (None, len(numbers))
    ]
    return np.empty((len(rows), 0)) if width is None else np.array(rows, float).reshape(len(rows), width)


def alike(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether networks of so many (channels, classes) say of each other what is usual: as many channels, and at most
    twice as many classes."""
    few, many = sorted((first[1], second[1]))
    return first[0] == second[0] and many <= 2 * few
