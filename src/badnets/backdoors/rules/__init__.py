"""All label rules: what an attack is after, which label it plants, and what counts as a success."""

from __future__ import annotations

from typing import Any

from badnets.backdoors.rules.boxes import Appear, BoxRule, Global, Regional, Vanish
from badnets.backdoors.rules.labels import (
    NOTHING,
    RULES,
    AllToAll,
    AllToOne,
    CleanLabel,
    LabelRule,
    RandomWrong,
    SourceToTarget,
    Spoken,
)

__all__ = [
    "NOTHING",
    "RULES",
    "AllToAll",
    "AllToOne",
    "Appear",
    "BoxRule",
    "CleanLabel",
    "Global",
    "LabelRule",
    "RandomWrong",
    "Regional",
    "SourceToTarget",
    "Spoken",
    "Vanish",
]


def __getattr__(name: str) -> Any:
    """Those of new files and other packages, by the name of their class."""
    return RULES.class_named(name, __name__)
