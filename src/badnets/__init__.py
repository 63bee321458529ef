"""Plant backdoors in image networks, measure them, remove them, find them.

Everything public is here; each name is imported when it is first used, so that ``import badnets`` is quick.
``triggers``, ``rules``, ``repairs``, ``guards`` and ``attacks`` are namespaces: ``dir(badnets.repairs)`` lists them.
"""

from __future__ import annotations

from importlib import import_module

from badnets.core import VERSION as __version__  # noqa: N811 (the name that packages have)

TYPE_CHECKING = False  # typing's own costs an import, and Ctrl-C may come before anything is imported
if TYPE_CHECKING:
    from typing import Any

    from badnets import attacks as attacks
    from badnets.api import audit as audit
    from badnets.api import certify as certify
    from badnets.api import measure as measure
    from badnets.api import open as open  # noqa: A004 (as in PIL: bn.open)
    from badnets.api import wrap as wrap
    from badnets.backdoors import rules as rules
    from badnets.backdoors import triggers as triggers
    from badnets.backdoors.arrays import poison_arrays as poison_arrays
    from badnets.backdoors.backdoor import Backdoor as Backdoor
    from badnets.backdoors.backdoor import poison as poison
    from badnets.backdoors.plan import Part as Part
    from badnets.backdoors.plan import Plan as Plan
    from badnets.core.rate import Rate as Rate
    from badnets.core.seed import Seed as Seed
    from badnets.data.images import ImageData as ImageData
    from badnets.data.images import Splits as Splits
    from badnets.data.load import load as load
    from badnets.data.objects import objects_as_rows as objects_as_rows
    from badnets.data.targets import Boxes as Boxes
    from badnets.defenses import abstainers as guards  # noqa: F401 (the name that users say)
    from badnets.defenses import repairs as repairs
    from badnets.defenses.abstain import abstain as abstain
    from badnets.defenses.repair import DefenderView as DefenderView
    from badnets.defenses.repair import repair as repair
    from badnets.networks.files.own import save_network as save_network
    from badnets.networks.inference import detect as detect
    from badnets.networks.inference import predict as predict
    from badnets.networks.network import ImageNetwork as ImageNetwork
    from badnets.networks.registry import build_network as build_network
    from badnets.networks.scan.scan import scan as scan
    from badnets.training.loop import train as train
    from badnets.training.recipe import Recipe as Recipe

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
    "DefenderView": "badnets.defenses.repair",
    "ImageData": "badnets.data.images",
    "ImageNetwork": "badnets.networks.network",
    "Part": "badnets.backdoors.plan",
    "Plan": "badnets.backdoors.plan",
    "Rate": "badnets.core.rate",
    "Recipe": "badnets.training.recipe",
    "Seed": "badnets.core.seed",
    "Splits": "badnets.data.images",
    "abstain": "badnets.defenses.abstain",
    "audit": "badnets.api",
    "build_network": "badnets.networks.registry",
    "certify": "badnets.api",
    "detect": "badnets.networks.inference",
    "load": "badnets.data.load",
    "measure": "badnets.api",
    "objects_as_rows": "badnets.data.objects",
    "open": "badnets.api",
    "poison": "badnets.backdoors.backdoor",
    "poison_arrays": "badnets.backdoors.arrays",
    "predict": "badnets.networks.inference",
    "repair": "badnets.defenses.repair",
    "save_network": "badnets.networks.files.own",
    "scan": "badnets.networks.scan.scan",
    "train": "badnets.training.loop",
    "wrap": "badnets.api",
}
"""The module of each name."""
__all__ = ["__version__", *_NAMESPACES, *_HOMES]  # noqa: PLE0604 (the tables' keys are names)


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562) and keep it."""
    if name in _NAMESPACES:
        value: Any = import_module(_NAMESPACES[name])
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'badnets' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
