"""Plant backdoors in image networks, measure them, remove them, find them.

Everything public is here; each name is imported when it is first used, so that ``import badnets`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from badnets.attacks.clean_label import CleanLabelAttack
    from badnets.attacks.pruning_aware import PruningAware
    from badnets.attacks.transfer import retrain, strengthen, trigger_units
    from badnets.backdoors import triggers
    from badnets.backdoors.arrays import poison_arrays
    from badnets.backdoors.backdoor import Backdoor, poison
    from badnets.backdoors.plan import Part, Plan
    from badnets.backdoors.rules import (
        AllToAll,
        AllToOne,
        Appear,
        CleanLabel,
        Global,
        RandomWrong,
        Regional,
        SourceToTarget,
        Vanish,
    )
    from badnets.core.rate import Rate
    from badnets.core.seed import Seed
    from badnets.data.images import ImageData, Splits
    from badnets.data.load import load
    from badnets.data.objects import objects_as_rows
    from badnets.data.targets import Boxes
    from badnets.defenses.repair import repair
    from badnets.defenses.repairs import make_repair
    from badnets.defenses.view import DefenderView
    from badnets.networks.detection import detect
    from badnets.networks.files.foreign import ForeignOptions, open_any, open_foreign
    from badnets.networks.files.own import open_network, save_network
    from badnets.networks.network import ImageNetwork
    from badnets.networks.registry import build_network
    from badnets.referee.certify import RepairCase, certify
    from badnets.referee.measure import measure
    from badnets.training.loop import train
    from badnets.training.recipe import Recipe

    __version__: str

__all__ = [
    "AllToAll",
    "AllToOne",
    "Appear",
    "Backdoor",
    "Boxes",
    "CleanLabel",
    "CleanLabelAttack",
    "DefenderView",
    "ForeignOptions",
    "Global",
    "ImageData",
    "ImageNetwork",
    "Part",
    "Plan",
    "PruningAware",
    "RandomWrong",
    "Rate",
    "Recipe",
    "Regional",
    "RepairCase",
    "Seed",
    "SourceToTarget",
    "Splits",
    "Vanish",
    "__version__",
    "build_network",
    "certify",
    "detect",
    "load",
    "make_repair",
    "measure",
    "objects_as_rows",
    "open_any",
    "open_foreign",
    "open_network",
    "poison",
    "poison_arrays",
    "repair",
    "retrain",
    "save_network",
    "strengthen",
    "train",
    "trigger_units",
    "triggers",
]

_HOMES = {
    "badnets.networks.detection": ("detect",),
    "badnets.data.targets": ("Boxes",),
    "badnets.attacks.transfer": ("retrain", "strengthen", "trigger_units"),
    "badnets.attacks.clean_label": ("CleanLabelAttack",),
    "badnets.attacks.pruning_aware": ("PruningAware",),
    "badnets.backdoors": ("triggers",),
    "badnets.backdoors.arrays": ("poison_arrays",),
    "badnets.backdoors.backdoor": ("Backdoor", "poison"),
    "badnets.backdoors.plan": ("Part", "Plan"),
    "badnets.backdoors.rules": (
        "AllToAll",
        "AllToOne",
        "Appear",
        "CleanLabel",
        "Global",
        "RandomWrong",
        "Regional",
        "SourceToTarget",
        "Vanish",
    ),
    "badnets.core.rate": ("Rate",),
    "badnets.core.seed": ("Seed",),
    "badnets.data.images": ("ImageData", "Splits"),
    "badnets.data.load": ("load",),
    "badnets.data.objects": ("objects_as_rows",),
    "badnets.defenses.repair": ("repair",),
    "badnets.defenses.repairs": ("make_repair",),
    "badnets.defenses.view": ("DefenderView",),
    "badnets.referee.certify": ("RepairCase", "certify"),
    "badnets.referee.measure": ("measure",),
    "badnets.networks.files.own": ("open_network", "save_network"),
    "badnets.networks.files.foreign": ("ForeignOptions", "open_any", "open_foreign"),
    "badnets.networks.network": ("ImageNetwork",),
    "badnets.networks.registry": ("build_network",),
    "badnets.training.loop": ("train",),
    "badnets.training.recipe": ("Recipe",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562) and keep it."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("badnets")
    elif name == "triggers":
        value = import_module("badnets.backdoors.triggers")
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'badnets' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
