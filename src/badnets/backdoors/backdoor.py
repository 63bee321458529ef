"""A backdoor is a trigger and a rule; several of them can be planted in one set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from badnets.backdoors.plan import Mode, Part, Poisoned, make_plan
from badnets.backdoors.rules import LabelRule
from badnets.backdoors.trigger import Trigger
from badnets.core.seed import Seed
from badnets.data.images import ImageData


@dataclass(frozen=True)
class Backdoor:
    """What the attacker plants: pictures with ``trigger`` are to be answered as ``rule`` says."""

    trigger: Trigger
    rule: LabelRule

    def poison(
        self,
        data: ImageData,
        *,
        rate: float | None = None,
        count: int | None = None,
        mode: Mode = "replace",
        cover: float = 0,
        seed: int | Seed = 0,
    ) -> Poisoned:
        """Poison a training set.

        ``rate`` (share of the resulting rows, 0 < rate <= 1) or ``count``; ``mode`` replaces rows or adds poisoned
        copies; ``cover`` rows (share or number) carry the trigger and their true label.
        Raises ``BadInput`` when more rows are asked for than are eligible, or a class isn't there.
        """
        part = Part(trigger=self.trigger, rule=self.rule, rate=rate, count=count, cover=cover)
        return poison(data, [part], mode=mode, seed=seed)


def poison(data: ImageData, parts: Sequence[Part], *, mode: Mode = "replace", seed: int | Seed = 0) -> Poisoned:
    """Plant several backdoors in one set; see ``Part`` for how much of each."""
    return make_plan(data, tuple(parts), mode=mode, seed=seed).apply(data)
