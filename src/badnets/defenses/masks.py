"""Masks on neurons: a number for each channel, which scales it, and pruning by those numbers.

In networks with BatchNorms a neuron is a channel of one, scale and shift together; otherwise it is an output channel of
a convolution or dense layer, its bias included, but for the layer that gives the logits. So a neuron whose mask is 0
gives 0 for every picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.defenses.repair import Work, within
from badnets.networks.network import ImageNetwork
from badnets.networks.surgery.graph import layer_of, trace

Layers = dict[str, nn.BatchNorm1d | nn.BatchNorm2d | nn.Conv2d | nn.Linear]


def neuron_layers(network: ImageNetwork) -> Layers:
    """The layers whose channels are neurons, by their names in ``network``, in the order of the pass.

    Raises ``BadInput`` for a network without any.
    """
    traced = trace(network.body)
    calls = [node for node in traced.graph.nodes if node.op == "call_module"]
    norms: Layers = {}
    weighted: Layers = {}
    for name, layer in ((f"body.{node.target}", layer_of(traced, node)) for node in calls):
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and layer.affine:
            norms[name] = layer
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            weighted[name] = layer
    chosen = norms or dict(list(weighted.items())[:-1])
    if not chosen:
        raise BadInput(
            f"expected a network with BatchNorms, convolutions or hidden dense layers, got {network.architecture}; "
            "use a method that needs no neurons"
        )
    return chosen


@torch.no_grad()
def clamp(masks: Sequence[Tensor], floor: float = 0.0, decay: float = 0.0) -> None:
    """Keep the masks of layer l = 1, 2, ... in [floor * exp(-decay * l), 1]."""
    for depth, mask in enumerate(masks, start=1):
        mask.clamp_(floor * math.exp(-decay * depth), 1)


class Masks:
    """Masks that learn: ``values`` has one (channels,) for each of the ``layers`` of ``network``, ones at first."""

    def __init__(self, network: ImageNetwork) -> None:
        self.network, self.layers = network, neuron_layers(network)
        self.values = [
            torch.ones(len(layer.weight), device=network.device, requires_grad=True) for layer in self.layers.values()
        ]

    def __call__(self, images: Tensor, noise: Sequence[Tensor] = ()) -> Tensor:
        """Logits with each layer's weights and biases times its mask.

        ``noise`` is added to the masks: a tensor (channels,) for each layer's weights, then as many for the biases.
        """
        factors = [*self.values, *self.values]
        if noise:
            factors = [mask + part for mask, part in zip(factors, noise, strict=True)]
        count = len(self.layers)
        logits: Tensor = functional_call(self.network, scaled(self.layers, factors[:count], factors[count:]), (images,))
        return logits


def scaled(layers: Layers, scales: Sequence[Tensor], shifts: Sequence[Tensor]) -> dict[str, Tensor]:
    """The layers' weights times ``scales`` and biases times ``shifts``, by name, with gradients to both."""
    changed = {}
    for (name, layer), scale, shift in zip(layers.items(), scales, shifts, strict=True):
        changed[f"{name}.weight"] = layer.weight.detach() * scale.view(-1, *[1] * (layer.weight.ndim - 1))
        if layer.bias is not None:
            changed[f"{name}.bias"] = layer.bias.detach() * shift
    return changed


@torch.no_grad()
def apply_masks(layers: Layers, masks: Sequence[Tensor]) -> None:
    """Scale the layers themselves."""
    for name, value in scaled(layers, masks, masks).items():
        layer, _, part = name.rpartition(".")
        getattr(layers[layer], part).copy_(value)


def prune_by_masks(work: Work, masks: Sequence[Tensor], held_out: ImageData, *, allowance: float) -> str:
    """Prune ``work.network``'s neurons with the lowest masks; the sentence that says how many.

    Thresholds rise by 0.05; neurons at or below one are pruned. It stops before the first threshold at which
    accuracy on ``held_out`` has fallen by more than ``allowance`` (a share: 0.01 is one point). A layer keeps at least
    its best neuron. One row of the trace per threshold that prunes more than the one before.
    """
    state = {name: value.clone() for name, value in work.network.state_dict().items()}
    before, layers = work.accuracy(held_out), neuron_layers(work.network)
    reached, pruned, count = 0.0, 0, 20
    for index in range(count):
        threshold = round(index / count, 6)
        kept = [(mask > threshold) | (mask == mask.max()) for mask in masks]
        gone = int(sum((~part).sum() for part in kept))
        if gone == pruned and index:
            reached = threshold
            continue
        work.network.load_state_dict(state)
        apply_masks(layers, [part.float() for part in kept])
        rate = work.accuracy(held_out)
        if not within(before, rate, allowance):
            break
        work.keep()
        reached, pruned = threshold, gone
        work.row(index + 1, count, threshold=threshold, pruned=gone, held_out_accuracy=rate)
    work.restore()
    return (
        f"the threshold {reached:g} ({pruned:,} of {sum(map(len, masks)):,} neurons pruned), by accuracy on "
        f"{len(held_out):,} held-out clean pictures"
    )
