"""All abstainers, one file each; a class can be imported from here by its name."""

from __future__ import annotations

from typing import Any

from badnets.defenses.abstain import ABSTAINERS

__all__ = ["ABSTAINERS", "make_abstainer"]

make_abstainer = ABSTAINERS.make


def __getattr__(name: str) -> Any:
    """The class of this name, other packages' too."""
    return ABSTAINERS.class_named(name, __name__)


def __dir__() -> list[str]:
    """The names of the methods' classes, other packages' too."""
    return sorted(method.__name__ for method in ABSTAINERS.values())
