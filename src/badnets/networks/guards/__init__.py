"""Networks that may refuse to answer (class N+1), as architectures that a file can name: ``guard:agreement``.

They are made by ``badnets.defenses.abstainers``; ``open_network`` builds them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from badnets.core.errors import BadInput, nearest
from badnets.networks.guards import agreement, ibd_psc_guard, refuse_class, strip_guard
from badnets.networks.guards.guard import Guard, part_of
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import GUARD, Architecture

_ALL = (
    Architecture(name="guard:agreement", summary="answers where a second network agrees", build=agreement.build),
    Architecture(name="guard:strip", summary="refuses what stays the same under overlays", build=strip_guard.build),
    Architecture(name="guard:ibd-psc", summary="refuses what survives amplification", build=ibd_psc_guard.build),
    Architecture(name="guard:refuse-class", summary="refuses one class", build=refuse_class.build),
)
GUARDS: Mapping[str, Architecture] = MappingProxyType({entry.name: entry for entry in _ALL})


def find_guard(name: str) -> Architecture:
    """The guard ``guard:NAME``; ``BadInput`` with the nearest known one for another name."""
    if name not in GUARDS:
        raise BadInput(f"expected a guard's name, got {name!r}; {nearest(name, GUARDS)}")
    return GUARDS[name]


def as_network(guard: Guard, of: ImageNetwork) -> ImageNetwork:
    """``guard`` as a network of the classes, size and provenance of ``of``; ``save_network`` can write it."""
    parts = [part_of(part) for part in guard.parts if isinstance(part, ImageNetwork)]
    return ImageNetwork(
        guard,
        architecture=GUARD + guard.name,
        arguments={"parts": parts, **guard.settings},
        class_names=of.class_names,
        input_size=of.input_size,
        provenance=of.provenance,
    ).eval()
