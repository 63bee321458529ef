"""Plant backdoors in image networks, measure them, remove them, find them.

Everything public is here; each name is imported when it is first used, so that ``import badnets`` is quick.
``triggers``, ``rules``, ``repairs``, ``guards`` and ``attacks`` are namespaces: ``dir(badnets.repairs)`` lists them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from badnets import attacks
    from badnets.api import certify, measure, open, wrap  # noqa: A004 (as in PIL: bn.open)
    from badnets.backdoors import rules, triggers
    from badnets.backdoors.arrays import poison_arrays
    from badnets.backdoors.backdoor import Backdoor, poison
    from badnets.backdoors.plan import Part, Plan
    from badnets.core.rate import Rate
    from badnets.core.seed import Seed
    from badnets.data.images import ImageData, Splits
    from badnets.data.load import load
    from badnets.data.objects import objects_as_rows
    from badnets.data.targets import Boxes
    from badnets.defenses import abstainers as guards
    from badnets.defenses import repairs
    from badnets.defenses.abstain import abstain
    from badnets.defenses.repair import repair
    from badnets.defenses.view import DefenderView
    from badnets.networks.detection import detect
    from badnets.networks.files.own import save_network
    from badnets.networks.inference import predict
    from badnets.networks.network import ImageNetwork
    from badnets.networks.registry import build_network
    from badnets.training.loop import train
    from badnets.training.recipe import Recipe

    __version__: str

__all__ = [
    "Backdoor",
    "Boxes",
    "DefenderView",
    "ImageData",
    "ImageNetwork",
    "Part",
    "Plan",
    "Rate",
    "Recipe",
    "Seed",
    "Splits",
    "__version__",
    "abstain",
    "attacks",
    "build_network",
    "certify",
    "detect",
    "guards",
    "load",
    "measure",
    "objects_as_rows",
    "open",
    "poison",
    "poison_arrays",
    "predict",
    "repair",
    "repairs",
    "rules",
    "save_network",
    "train",
    "triggers",
    "wrap",
]

_NAMESPACES = {
    "attacks": "badnets.attacks",
    "guards": "badnets.defenses.abstainers",
    "repairs": "badnets.defenses.repairs",
    "rules": "badnets.backdoors.rules",
    "triggers": "badnets.backdoors.triggers",
}
_HOMES = {
    "Backdoor": "badnets.backdoors.backdoor",
    "Boxes": "badnets.data.targets",
    "DefenderView": "badnets.defenses.view",
    "ImageData": "badnets.data.images",
    "ImageNetwork": "badnets.networks.network",
    "Part": "badnets.backdoors.plan",
    "Plan": "badnets.backdoors.plan",
    "Rate": "badnets.core.rate",
    "Recipe": "badnets.training.recipe",
    "Seed": "badnets.core.seed",
    "Splits": "badnets.data.images",
    "abstain": "badnets.defenses.abstain",
    "build_network": "badnets.networks.registry",
    "certify": "badnets.api",
    "detect": "badnets.networks.detection",
    "load": "badnets.data.load",
    "measure": "badnets.api",
    "objects_as_rows": "badnets.data.objects",
    "open": "badnets.api",
    "poison": "badnets.backdoors.backdoor",
    "poison_arrays": "badnets.backdoors.arrays",
    "predict": "badnets.networks.inference",
    "repair": "badnets.defenses.repair",
    "save_network": "badnets.networks.files.own",
    "train": "badnets.training.loop",
    "wrap": "badnets.api",
}
"""The module of each name."""


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562) and keep it."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("badnets")
    elif name in _NAMESPACES:
        value = import_module(_NAMESPACES[name])
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'badnets' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
