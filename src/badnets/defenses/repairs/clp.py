"""Channel Lipschitzness-based pruning, without data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, fx, nn
from torch.nn import functional

from badnets.core.errors import BadInput
from badnets.defenses.repair import REPAIRS, Work, kind_of, within
from badnets.networks.architectures.g1_cnn import ReluAvgPool2d
from badnets.networks.capabilities import Capability
from badnets.networks.network import ImageNetwork
from badnets.networks.surgery.graph import layer_of, trace

CANDIDATES = (6.0, 5.5, 5.0, 4.5, 4.0, 3.5, 3.0, 2.5, 2.0, 1.5)
"""Values of u that are tried where clean accuracy chooses it."""

# What leaves channels apart and stretches none of them (at most by 1): a bound that holds before holds behind it.
_APART: tuple[type[nn.Module], ...] = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Hardtanh, nn.Identity, nn.Dropout, nn.Dropout2d,
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d, ReluAvgPool2d,
)  # fmt: skip
_APART_FUNCTIONS = {functional.relu, torch.relu, functional.dropout, functional.max_pool2d, functional.avg_pool2d}
_APART_METHODS = {"relu", "contiguous"}


@kind_of(REPAIRS)
class Clp:
    """Prune the channels that can stretch their input most.

    A channel's bound is the largest singular value of its kernel, as a matrix (inputs, height x width), times
    |scale / sqrt(variance)| of the BatchNorm behind it. In each layer, channels above mean + ``u`` standard deviations
    are silenced: scale and shift become 0. With ``u`` None it is the smallest of a list for which accuracy on all clean
    pictures falls by at most ``allowance``; otherwise no data is used.

    Source: Zheng, Tang, Li, Liu, Data-free Backdoor Removal based on Channel Lipschitzness (2022), equations 9 to 11
    and algorithm 1, and the authors' defense.py.
    Differs from the paper: a BatchNorm belongs to the convolution whose output alone reaches it in the network's graph
    (activations, poolings and dropout between do not stretch), where the authors take the convolution that was defined
    before it; the kernel alone counts for convolutions without such a BatchNorm, whose filter and bias become 0, so
    that networks without BatchNorm can be pruned too; the variance includes the BatchNorm's epsilon.
    """

    needs: ClassVar[Capability] = Capability.SURGERY
    kind: Literal["clp"] = "clp"
    u: Annotated[float | None, Field(description="standard deviations above the mean; None: by clean accuracy")] = 3.0
    allowance: Annotated[float, Field(ge=0, le=1, description="clean accuracy that u None may cost, a share")] = 0.01

    @property
    def needs_data(self) -> bool:
        """Only to choose u."""
        return self.u is None

    def repair(self, work: Work) -> str:
        """Bound, compare, silence."""
        parts = channel_layers(work.network)
        norms = sum(part.norm is not None for part in parts)
        about = "the network has no BatchNorm behind a convolution: the kernels alone were compared"
        if norms:
            alone = f", {len(parts) - norms} by the kernel alone" if norms < len(parts) else ""
            about = f"{norms} layers by kernel and BatchNorm{alone}"
        if self.u is not None:
            pruned = _prune(parts, self.u)
            work.keep()
            work.row(1, 1, u=self.u, pruned=sum(map(len, pruned.values())), channels=pruned)
            return f"u {self.u:g} was given, no data; {about}"
        data = work.view.clean(self.kind)
        before, chosen = work.accuracy(data), "no u"
        for index, u in enumerate(work.steps(CANDIDATES)):
            pruned = _prune(parts, u)
            rate = work.accuracy(data)
            if not within(before, rate, self.allowance):
                break
            work.keep()
            chosen = f"u {u:g}"
            work.row(index + 1, len(CANDIDATES), u=u, pruned=sum(map(len, pruned.values())), accuracy=rate)
        work.restore()
        return f"{chosen}, by accuracy on all {len(data):,} clean pictures; {about}"


@dataclass(frozen=True, eq=False)
class Part:
    """A convolution and the BatchNorm behind it, or None."""

    name: str
    convolution: nn.Conv2d
    norm: nn.BatchNorm2d | None

    @torch.no_grad()
    def bounds(self) -> Tensor:
        """The Lipschitz bound of each channel (channels,)."""
        largest: Tensor = torch.linalg.matrix_norm(self.convolution.weight.flatten(2), ord=2)
        if self.norm is not None and self.norm.running_var is not None:
            largest *= (self.norm.weight / (self.norm.running_var + self.norm.eps).sqrt()).abs()
        return largest


def channel_layers(network: ImageNetwork) -> list[Part]:
    """BatchNorms with the convolution whose output alone reaches them, and the convolutions that are left over.

    Raises ``BadInput`` for a network without convolutions.
    """
    traced = trace(network.body)
    layers = [(node, layer_of(traced, node)) for node in traced.graph.nodes]
    parts: list[Part] = []
    for node, layer in layers:
        if isinstance(layer, nn.BatchNorm2d) and layer.affine:
            convolution = _convolution_before(traced, node)
            if convolution is not None:
                parts.append(Part(str(node.target), convolution, layer))
    paired = {part.convolution for part in parts}
    for node, layer in layers:
        if isinstance(layer, nn.Conv2d) and layer not in paired:
            parts.append(Part(str(node.target), layer, None))
    if not parts:
        raise BadInput(f"clp: expected a network with convolutions, got {network.architecture}; use another method")
    return parts


def _convolution_before(traced: fx.GraphModule, node: fx.Node) -> nn.Conv2d | None:
    while len(node.all_input_nodes) == 1:
        node = node.all_input_nodes[0]
        layer = layer_of(traced, node)
        if isinstance(layer, nn.Conv2d):
            return layer
        apart = isinstance(layer, _APART) or node.target in _APART_FUNCTIONS
        if not (apart or (node.op == "call_method" and node.target in _APART_METHODS)):
            return None
    return None


@torch.no_grad()
def _prune(parts: list[Part], u: float) -> dict[str, list[int]]:
    """Silence what is above mean + u standard deviations; the channels by layer, where there are any."""
    pruned = {}
    for part in parts:
        bounds = part.bounds()
        above = (bounds > bounds.mean() + u * bounds.std()).nonzero().flatten()
        if len(above):
            owner = part.norm or part.convolution
            for parameter in (owner.weight, owner.bias):
                if parameter is not None:
                    parameter[above] = 0
            pruned[part.name] = above.tolist()
    return pruned
