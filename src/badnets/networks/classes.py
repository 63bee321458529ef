"""Data with the classes of a network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.data.images import ImageData, Labels
from badnets.data.targets import Targets
from badnets.networks.network import ImageNetwork


def align_classes(data: ImageData, network: ImageNetwork) -> ImageData:
    """``data`` with the network's class names, so that label k is the network's output k.

    Equal names: as it is. Names that are some of the network's: labels follow their names. As many other names as a
    foreign network has, whose file says none (``provenance["foreign"]``): labels keep their numbers. Anything else is
    ``BadInput``.
    """
    given, known = data.class_names, network.class_names
    if given == known:
        return data
    if len(set(given)) == len(given) and set(given) <= set(known):
        numbers = {name: number for number, name in enumerate(known)}
        table = np.array([numbers[name] for name in given], np.int64)
        return replace(data, targets=_renumbered(data.targets, table), class_names=known)
    if network.provenance.get("foreign") and len(given) == len(known):
        return replace(data, class_names=known)
    raise BadInput(
        f"expected data with the network's {network.classes} classes ({', '.join(known[:5])}, ...), "
        f"got {data.classes} ({', '.join(given[:5])}, ...)"
    )


def _renumbered(targets: Targets, table: NDArray[np.int64]) -> Targets:
    """The same with class k called ``table[k]``."""
    if isinstance(targets, Labels):
        return Labels(table[targets.values], targets.region)
    return replace(targets, labels=table[targets.labels])
