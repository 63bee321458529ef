"""All abstainers, one file each, and their table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from badnets.defenses.abstain import Abstainer
from badnets.defenses.abstainers.agreement import Agreement
from badnets.defenses.abstainers.ibd_psc import IbdPsc
from badnets.defenses.abstainers.refuse_class import RefuseClass
from badnets.defenses.abstainers.strip import Strip
from badnets.defenses.settings import method_from, with_plugins

ABSTAINERS: dict[str, type[Abstainer]] = {
    "agreement": Agreement,
    "strip": Strip,
    "ibd-psc": IbdPsc,
    "refuse-class": RefuseClass,
}
"""Names for ``badnets guard --method``; other packages add theirs as entry points of ``badnets.abstainers``."""


def make_abstainer(kind: str, settings: Mapping[str, Any] | None = None) -> Abstainer:
    """The abstainer ``kind`` with ``settings``; ``BadInput`` for an unknown name or a wrong value."""
    return method_from(with_plugins("badnets.abstainers", ABSTAINERS), "guard", kind, settings or {})


def __dir__() -> list[str]:
    """The names of the methods' classes, other packages' too."""  # BORDER: keep it with the registry's __getattr__
    return sorted(method.__name__ for method in ABSTAINERS.values())
