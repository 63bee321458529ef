"""Every label rule by its kind, and rules as JSON."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from badnets.backdoors.box_rules import BOX_RULES, Appear, Global, Regional, Vanish
from badnets.backdoors.rules import AllToAll, AllToOne, CleanLabel, LabelRule, RandomWrong, SourceToTarget

RULES: dict[str, type[Any]] = {
    "all-to-one": AllToOne,
    "source-to-target": SourceToTarget,
    "all-to-all": AllToAll,
    "random-wrong": RandomWrong,
    "clean-label": CleanLabel,
    **BOX_RULES,
}

AnyRule = Annotated[
    AllToOne | SourceToTarget | AllToAll | RandomWrong | CleanLabel | Regional | Global | Appear | Vanish,
    Field(discriminator="kind"),
]


def rule_to_json(rule: LabelRule) -> dict[str, Any]:
    """A rule as JSON, ``{"kind": ...}``."""
    value: dict[str, Any] = TypeAdapter(type(rule)).dump_python(rule, mode="json")
    return value


def rule_from_json(value: dict[str, Any]) -> LabelRule:
    """Back from ``rule_to_json``."""
    rule: LabelRule = TypeAdapter(AnyRule).validate_python(value)
    return rule
