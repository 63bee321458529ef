"""What was planted, in numbers and words."""

from __future__ import annotations

from typing import Any

import numpy as np

from badnets.backdoors.plan import Poisoned


def describe(poisoned: Poisoned) -> str:
    """``"poisoned 6,000 of 60,000 pictures: pattern -> 0"``."""
    facts = summary(poisoned)
    covers = f" and {facts['cover_rows']:,} cover rows" if facts["cover_rows"] else ""
    return f"poisoned {facts['rows']:,} of {facts['of']:,} {facts['unit']}{covers}: {facts['sentence']}"


def summary(poisoned: Poisoned) -> dict[str, Any]:
    """How many rows a plan changed, in numbers and words: objects where all rules are about those, else pictures."""
    plan, names = poisoned.plan, poisoned.data.class_names
    words = "; ".join(f"{part.trigger.kind} -> {_goal(part.rule, names)}" for part in plan.parts)
    boxed = plan.objects is not None and all(part.rule.unit == "object" for part in plan.parts)
    rows, covers = (int(np.count_nonzero(own)) for own in (~plan.cover, plan.cover))
    if plan.objects is not None and not boxed:
        poisonous, covered = (np.unique(poisoned.pictures[own]) for own in (~plan.cover, plan.cover))
        rows, covers = len(poisonous), len(np.setdiff1d(covered, poisonous))
    # Boxes that the attack took out are counted: of what was there.
    total = max(len(poisoned.data.objects), len(poisoned.clean.objects)) if boxed else len(poisoned)
    return {
        "rows": rows,
        "cover_rows": covers,
        "of": total,
        "unit": "objects" if boxed else "pictures",
        "share": rows / total,
        "mode": plan.mode,
        "sentence": words,
    }


_GOALS = {"all-to-all": "the next class", "random-wrong": "a random wrong class", "vanish": "nothing"}


def _goal(rule: Any, names: tuple[str, ...]) -> str:
    target = getattr(rule, "target", None)
    if target is None:
        return _GOALS.get(rule.kind, str(rule.kind))
    source = getattr(rule, "source", None)
    return str(names[target]) if source is None else f"{names[target]} for {names[source]}"
