"""IBD-PSC: a triggered picture keeps its answer when the batch normalizations are amplified, a clean one does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from badnets.core.errors import BadInput
from badnets.core.rate import Rate
from badnets.data.images import ImageData
from badnets.networks.guards.ibd_psc_guard import amplified, logits_with
from badnets.networks.layers import layer_table
from badnets.networks.network import ImageNetwork, to_float

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


def choose_depth(
    network: ImageNetwork, data: ImageData, layers: Sequence[str], *, factor: float, error: float
) -> tuple[int | None, list[dict[str, Any]]]:
    """How many of the last ``layers`` must be amplified until the clean error exceeds ``error``; None if all do not do.

    Also the trace: for each depth tried ``{"depth", "error"}``.

    Source: Hou et al., IBD-PSC (ICML 2024), algorithm 1.
    Differs from the paper: all layers may be amplified, where the code stops one short of that and then has no answer.
    """
    trace: list[dict[str, Any]] = []
    for depth in range(1, len(layers) + 1):
        rate = amplified_error(network, data, layers[:depth], factor)
        trace.append({"depth": depth, "error": rate.to_json()})
        if rate.hits > error * rate.total:
            return depth, trace
    return None, trace
