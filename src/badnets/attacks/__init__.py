"""Attacks that are more than poisoned rows; each name is imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from badnets.attacks.pgd import PGD as PGD
    from badnets.attacks.pgd import AdversarialTraining as AdversarialTraining
    from badnets.attacks.pgd import CleanLabelAttack as CleanLabelAttack
    from badnets.attacks.pruning_aware import PruningAware as PruningAware
    from badnets.attacks.transfer import retrain as retrain
    from badnets.attacks.transfer import strengthen as strengthen
    from badnets.attacks.transfer import trigger_units as trigger_units

_HOMES = {
    **dict.fromkeys(("AdversarialTraining", "CleanLabelAttack", "PGD"), "pgd"),
    "PruningAware": "pruning_aware",
    **dict.fromkeys(("retrain", "strengthen", "trigger_units"), "transfer"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(_HOMES)
