"""All repairs, one file each; a class can be imported from here by its name."""

from __future__ import annotations

from typing import Any

from badnets.defenses.repair import REPAIRS

__all__ = ["REPAIRS", "make_repair"]

make_repair = REPAIRS.make


def __getattr__(name: str) -> Any:
    """The class of this name, other packages' too."""
    return REPAIRS.class_named(name, __name__)


def __dir__() -> list[str]:
    """The names of the methods' classes, other packages' too."""
    return sorted(method.__name__ for method in REPAIRS.values())
