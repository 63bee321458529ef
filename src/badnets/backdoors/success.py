"""Did the attack work? Definitions of docs/design.md, applied to predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import LabelRule
from badnets.core.rate import Rate
from badnets.core.seed import RowRng, Seed
from badnets.data.images import ImageData, Pixels, Rows


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
    robust = Rate.of((predicted == true)[eligible])
    return Success(Rate.of(hits[eligible]), leak, robust, hits, eligible)


def triggered(
    data: ImageData, backdoor: Backdoor, seed: Seed, *, batch: int = 1000
) -> Iterator[tuple[Rows, Pixels, Pixels]]:
    """(rows, clean pictures, the same with the trigger), a batch at a time: both are predicted in one pass."""
    for rows, pictures in data.batches(batch):
        regions = None if data.regions is None else data.regions[rows]
        yield rows, pictures, backdoor.trigger.apply(pictures, regions, RowRng(seed.derive("test-trigger"), rows))
