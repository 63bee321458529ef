"""IBD-PSC: a triggered picture keeps its answer when the batch normalizations are amplified, a clean one does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from badnets.core.errors import BadInput, CannotTell
from badnets.core.rate import Rate
from badnets.data.images import ImageData
from badnets.networks.guards.ibd_psc_guard import amplified, logits_with
from badnets.networks.layers import layer_table
from badnets.networks.network import ImageNetwork, to_float

HIGHEST = 100
"""The factor at which the search ends."""

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def norm_layers(network: ImageNetwork) -> list[str]:
    """Names of the batch normalizations with a scale, from the last that a picture passes to the first.

    Raises ``BadInput`` when there are none.
    """
    names = [row["name"] for row in layer_table(network)[:-1]]
    found = [name for name in names if _has_scale(network.body.get_submodule(name))]
    if not found:
        raise BadInput(
            f"ibd-psc: expected a network with batch normalization, got {network.architecture} without; "
            "use strip or agreement"
        )
    return found[::-1]


def _has_scale(layer: nn.Module) -> bool:
    return isinstance(layer, _NORMS) and layer.weight is not None


@torch.inference_mode()
def amplified_error(network: ImageNetwork, data: ImageData, layers: Sequence[str], factor: float) -> Rate:
    """Share of all pictures of ``data`` that the network gets wrong with ``layers`` amplified."""
    values = amplified(network, layers, factor)
    wrong = [
        logits_with(network, values, to_float(torch.from_numpy(images))).argmax(1).numpy() != data.labels[rows]
        for rows, images in data.batches(1000)
    ]
    return Rate.of(np.concatenate(wrong))


@dataclass(frozen=True)
class Amplification:
    """How many of the last layers are amplified, by which factor; the trace has a row for each pair that was tried."""

    depth: int
    factor: float
    trace: tuple[dict[str, Any], ...]


def choose_depth(
    network: ImageNetwork, data: ImageData, layers: Sequence[str], *, factor: float, error: float
) -> Amplification:
    """The first depth at which the clean error exceeds ``error``; where none does, with a factor raised by half.

    Raises ``CannotTell`` when no factor up to 100 does.

    Source: Hou et al., IBD-PSC (ICML 2024), algorithm 1.
    Differs from the paper: all layers may be amplified, where the code stops one short of that; where that is not
    enough the paper has no answer, and the factor stays 1.5.
    """
    trace: list[dict[str, Any]] = []
    while factor <= HIGHEST:
        for depth in range(1, len(layers) + 1):
            rate = amplified_error(network, data, layers[:depth], factor)
            trace.append({"factor": factor, "depth": depth, "error": rate.to_json()})
            if rate.hits > error * rate.total:
                return Amplification(depth, factor, tuple(trace))
        factor *= 1.5
    raise CannotTell(
        f"ibd-psc: expected a clean error above {100 * error:g} % at some amplification, got none up to {HIGHEST}; "
        "use strip or agreement"
    )
