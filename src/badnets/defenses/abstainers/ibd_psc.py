"""IBD-PSC: a triggered picture keeps its answer when the batch normalizations are amplified, a clean one does not."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn.modules.batchnorm import _BatchNorm

from badnets.core.errors import BadInput, CannotTell
from badnets.core.rate import Rate
from badnets.data.images import ImageData
from badnets.defenses.abstain import ABSTAINERS, Made
from badnets.defenses.repair import DefenderView, OnRow, kind_of
from badnets.networks.capabilities import Capability
from badnets.networks.guards.ibd_psc_guard import IbdPsc as IbdPscGuard
from badnets.networks.guards.ibd_psc_guard import amplified, logits_with
from badnets.networks.network import ImageNetwork, layer_table

HIGHEST = 100
"""The factor at which the search ends."""


@kind_of(ABSTAINERS)
class IbdPsc:
    """Refuse pictures whose answer survives when the last batch normalizations are amplified.

    Network j of ``networks`` has the last ``k + j`` of them amplified; k is the first depth at which the clean error
    exceeds ``error``. Only for networks with batch normalization. One answer costs ``networks`` more passes.

    Source: Hou et al., IBD-PSC (ICML 2024), algorithms 1 and 2, and the authors' code (BackdoorBox, ``IBD_PSC.py``).
    Differs from the paper: the threshold is calibrated, where it is 0.9; where no depth exceeds ``error``, as in
    networks with few layers, the factor is raised by half until one does; batch normalizations of dense layers count
    too; where not enough layers are left, there are fewer networks; see also
    ``badnets.networks.guards.ibd_psc_guard.IbdPsc``.
    """

    calibrated: ClassVar[bool] = True
    needs_data: ClassVar[bool] = True
    needs: ClassVar[Capability] = Capability.ANSWERS
    kind: Literal["ibd-psc"] = "ibd-psc"
    factor: Annotated[float, Field(gt=1, le=100, description="of scale and shift, at first")] = 1.5
    error: Annotated[float, Field(gt=0, lt=1, description="clean error that the first network exceeds")] = 0.6
    networks: Annotated[int, Field(ge=1, le=1000, description="amplified networks, one layer deeper each")] = 5

    def make(self, view: DefenderView, on_row: OnRow) -> Made:
        """Find the depth."""
        layers = norm_layers(view.network)
        clean = view.clean(self.kind, fewest=1)
        network = copy.deepcopy(view.network).eval()
        depth, factor, trace = choose_depth(network, clean, layers, factor=self.factor, error=self.error)
        guard = IbdPscGuard(network, layers, first=depth, networks=self.networks, factor=factor)
        chosen = f"the depth, {depth}, and the factor, {factor:.3g}, by clean error on {len(clean):,} pictures"
        return Made(guard=guard, chosen=chosen, trace=trace)


def norm_layers(network: ImageNetwork) -> list[str]:
    """Names of the batch normalizations with a scale, from the last that a picture passes to the first.

    Raises ``BadInput`` when there are none.
    """
    layers = {row["name"]: network.body.get_submodule(row["name"]) for row in layer_table(network)[:-1]}
    norms = [name for name, layer in layers.items() if isinstance(layer, _BatchNorm) and layer.weight is not None]
    if not norms:
        raise BadInput(
            f"ibd-psc: expected a network with batch normalization, got {network.architecture} without; "
            "use strip or agreement"
        )
    return norms[::-1]


@torch.inference_mode()
def amplified_error(network: ImageNetwork, data: ImageData, layers: Sequence[str], factor: float) -> Rate:
    """Share of all pictures of ``data`` that the network gets wrong with ``layers`` amplified."""
    values = amplified(network, layers, factor)
    wrong = [
        logits_with(network, values, network.floats(images)).argmax(1).cpu().numpy() != data.labels[rows]
        for rows, images in data.batches(1000)
    ]
    return Rate.of(np.concatenate(wrong))


def choose_depth(
    network: ImageNetwork, data: ImageData, layers: Sequence[str], *, factor: float, error: float
) -> tuple[int, float, tuple[dict[str, Any], ...]]:
    """How many of the last layers are amplified, by which factor, and a row of trace for each pair that was tried: the
    first depth at which the clean error exceeds ``error``; where none does, with a factor raised by half.

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
                return depth, factor, tuple(trace)
        factor *= 1.5
    raise CannotTell(
        f"ibd-psc: expected a clean error above {100 * error:g} % at some amplification, got none up to {HIGHEST}; "
        "use strip or agreement"
    )
