"""A backdoor is a trigger and a rule: planted in a set, alone or with others, and the count of its successes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from badnets.backdoors.plan import Mode, Part, Poisoned, make_plan
from badnets.backdoors.rules import LabelRule
from badnets.backdoors.trigger import Trigger
from badnets.core.rate import Rate
from badnets.core.seed import RowRng, Seed
from badnets.data.images import ImageData, Pixels, Rows, Splits
from badnets.data.splits import one_set


@dataclass(frozen=True)
class Backdoor:
    """What the attacker plants: pictures with ``trigger`` are to be answered as ``rule`` says."""

    trigger: Trigger
    rule: LabelRule

    def poison(
        self,
        data: ImageData | Splits,
        *,
        rate: float | None = None,
        count: int | None = None,
        mode: Mode = "replace",
        cover: float = 0,
        seed: int | Seed = 0,
    ) -> Poisoned:
        """Poison a training set, or the training part of three sets.

        ``rate`` (share of the resulting rows, 0 < rate <= 1) or ``count``; ``mode`` replaces rows or adds poisoned
        copies; ``cover`` rows (share or number) carry the trigger and their true label.
        Raises ``BadInput`` when more rows are asked for than are eligible, or a class isn't there.
        """
        part = Part(trigger=self.trigger, rule=self.rule, rate=rate, count=count, cover=cover)
        return poison(data, [part], mode=mode, seed=seed)


def poison(
    data: ImageData | Splits, parts: Sequence[Part], *, mode: Mode = "replace", seed: int | Seed = 0
) -> Poisoned:
    """Plant several backdoors in one set (of three sets the training part); see ``Part`` for how much of each."""
    pictures = one_set(data, "train")
    return make_plan(pictures, tuple(parts), mode=mode, seed=seed).apply(pictures)


@dataclass(frozen=True, eq=False)
class Success:
    """One network on triggered test pictures.

    ``asr``: hits among eligible objects. ``leak``: hits among the other classes when the rule is about one source, else
    None. ``robust_accuracy``: eligible triggered objects predicted as their true class. ``hits (n,)`` and
    ``eligible (n,)`` are per picture, for paired comparisons.
    """

    asr: Rate
    leak: Rate | None
    robust_accuracy: Rate
    hits: NDArray[np.bool_]
    eligible: NDArray[np.bool_]


def success(rule: LabelRule, predicted: NDArray[np.int64], true: NDArray[np.int64], classes: int) -> Success:
    """Count hits; ``predicted`` are the answers to triggered pictures whose true classes are ``true``.

    An answer outside 0..classes-1 (an abstention) is neither a hit nor robustly right.
    """
    answered = (predicted >= 0) & (predicted < classes)
    hits = rule.hit(predicted, true, classes) & answered
    eligible = rule.eligible(true)
    leak = None
    if rule.kind == "source-to-target":
        # A picture of the target class answered as the target is right, not leaked.
        others = ~eligible & ~rule.hit(true, true, classes)
        leak = Rate.of(hits[others])
    return Success(Rate.of(hits[eligible]), leak, Rate.of((predicted == true)[eligible]), hits, eligible)


def triggered(
    data: ImageData, backdoor: Backdoor, seed: Seed, *, batch: int = 1000
) -> Iterator[tuple[Rows, Pixels, Pixels]]:
    """(rows, clean pictures, the same with the trigger), a batch at a time: both are predicted in one pass."""
    for rows, pictures in data.batches(batch):
        regions = None if data.regions is None else data.regions[rows]
        yield rows, pictures, backdoor.trigger.apply(pictures, regions, RowRng(seed.derive("test-trigger"), rows))
