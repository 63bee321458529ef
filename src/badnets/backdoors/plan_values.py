"""How much of which backdoor a plan holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from badnets.backdoors.rules import RULES, LabelRule
from badnets.backdoors.trigger import TRIGGERS, Trigger
from badnets.core.errors import BadInput

Mode = Literal["replace", "add"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One backdoor of a plan and how much of it.

    ``rate`` is the share of the *resulting* training rows that are poisoned by this part, 0 < rate <= 1 (so in mode
    ``add`` 0.5 means one poisoned copy for every clean picture); or ``count``, a number of rows. ``cover`` is likewise
    the share (a float) or number (an int) of cover rows: with the trigger, but with their true label. Where pictures
    have boxes, rows are the rule's units: objects, or pictures for rules that are about pictures. (``add`` then copies
    whole pictures; their other objects are not counted in the resulting rows.)
    """

    trigger: Trigger
    rule: LabelRule
    rate: float | None = None
    count: int | None = None
    cover: float | int = 0

    def __post_init__(self) -> None:
        if (self.rate is None) == (self.count is None):
            raise BadInput(f"expected either a rate or a count, got rate={self.rate} and count={self.count}; give one")
        if self.rate is not None and not 0 < self.rate <= 1:
            raise BadInput(f"expected a rate above 0 and at most 1, got {self.rate:g}; give a share such as 0.1")
        if self.count is not None and self.count < 1:
            raise BadInput(f"expected a count of at least 1, got {self.count}")
        if not self.cover >= 0 or (isinstance(self.cover, float) and self.cover >= 1):
            raise BadInput(f"expected cover as a share below 1 or a number of rows, got {self.cover}")


def part_to_json(part: Part) -> dict[str, Any]:
    """A part as plain JSON."""
    trigger, rule = TRIGGERS.to_json(part.trigger), RULES.to_json(part.rule)
    return {"trigger": trigger, "rule": rule, "rate": part.rate, "count": part.count, "cover": part.cover}


def part_from_json(value: dict[str, Any]) -> Part:
    """Back from ``part_to_json``."""
    rest = {name: value[name] for name in ("rate", "count", "cover")}
    return Part(trigger=TRIGGERS.from_json(value["trigger"]), rule=RULES.from_json(value["rule"]), **rest)
