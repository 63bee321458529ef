"""The attack that expects pruning: the backdoor sits in channels that clean pictures need."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.core.errors import BadInput
from badnets.core.rate import Rate
from badnets.core.seed import Seed, as_seed
from badnets.data.images import ImageData
from badnets.measures.classification import accuracy
from badnets.networks.network import ImageNetwork, evaluating
from badnets.networks.surgery.channels import hold, prune_channels, rank_channels
from badnets.networks.surgery.graph import ChannelSite, site, until
from badnets.networks.surgery.sweep import pruning_sweep
from badnets.training.bar import OnStep
from badnets.training.loop import Job, fit
from badnets.training.recipe import Recipe

OnPhase = Callable[[str], OnStep | None]
"""Given the name of a training ("clean", "backdoor"), what is called at its steps."""
_MOST = 4000
"""Pictures that channels are ranked on, and decoys kept asleep on."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class PruningAware:
    """Train clean, prune the dormant channels, train the backdoor into the rest, put the channels back.

    The channels that come back are decoys: they keep their filters, but their biases are lowered until no clean
    picture wakes them. A defender who prunes the least active channels first removes the decoys, and then what clean
    accuracy needs; the backdoor shares those.

    Source: Liu, Dolan-Gavitt, Garg, Fine-Pruning (2018), section 3.1 and figure 4; study L1.
    Differs from the paper: how much is pruned is stated there for one network, here it is a share of clean accuracy on
    pictures held back from training; batch norms after the activation get a shift under which a sleeping decoy adds
    nothing, for there the bias alone would not do.
    """

    kind: Literal["pruning-aware"] = "pruning-aware"
    layer: Annotated[str | None, Field(description="convolution that is expected to be pruned; none: the last")] = None
    max_drop: Annotated[float, Field(ge=0, lt=1, description="clean accuracy given up when pruning, 0..1")] = 0.05
    epochs: Annotated[int, Field(ge=1, description="passes in which the backdoor is trained")] = 4
    learning_rate: Annotated[float, Field(gt=0, description="highest learning rate of those")] = 1e-3
    held_back: Annotated[float, Field(gt=0, lt=1, description="share of the clean pictures that pruning goes by")] = 0.1

    def train(
        self,
        network: ImageNetwork,
        clean: ImageData,
        poisoned: ImageData,
        *,
        recipe: Recipe,
        seed: int | Seed,
        on_phase: OnPhase = lambda name: None,
    ) -> ImageNetwork:
        """Train ``network`` (a new one) in place on the attacker's training set without and with the poison.

        ``recipe`` is that of the clean training, and of the other but for epochs and learning rate. What was done
        stands in ``provenance["pruning_aware"]``. Raises ``BadInput`` where no convolution can be pruned.
        """
        stream = as_seed(seed)
        where = site(network, self.layer)
        order = stream.derive("held back").rng.permutation(len(clean))
        rows = order[: max(1, min(_MOST, round(self.held_back * len(clean))))]
        held_back, rest = clean.take(rows), clean.take(np.setdiff1d(np.arange(len(clean)), rows))
        fit(network, Job(data=rest, recipe=recipe, seed=stream.derive("clean"), on_step=on_phase("clean")))
        original = copy.deepcopy(network)
        decoys, kept = self._decoys(network, where, held_back)
        prune_channels(network, where.layer, decoys)
        second = replace(recipe, epochs=self.epochs, learning_rate=self.learning_rate)
        held = hold(network, where.layer, decoys) if decoys else None
        seeds, on_step = stream.derive("backdoor"), on_phase("backdoor")
        fit(network, Job(data=poisoned, recipe=second, seed=seeds, on_step=on_step, after_step=held))
        reinstate(network, original, where, decoys, clean.take(order[:_MOST]))
        done = {"layer": where.layer, "decoys": decoys, "accuracy_pruned": kept.to_json()}
        network.provenance["pruning_aware"] = done
        return network.eval()

    def _decoys(self, network: ImageNetwork, where: ChannelSite, data: ImageData) -> tuple[list[int], Rate]:
        """The dormant channels, and the accuracy that is left without them."""
        ranking = np.argsort(rank_channels(network, data, where.layer), kind="stable").tolist()
        steps = pruning_sweep(network, where.layer, ranking, {"clean": data})
        rates = [accuracy(step.answers["clean"], data.labels) for step in steps]
        count = allowed(rates, self.max_drop)
        return sorted(ranking[:count]), rates[count]


def allowed(rates: list[Rate], max_drop: float) -> int:
    """How many channels may go: the last step before accuracy first falls by more than ``max_drop`` (0..1)."""
    floor = (rates[0].value or 0.0) - max_drop
    broken = [number for number, rate in enumerate(rates) if (rate.value or 0.0) < floor - 1e-12]
    return broken[0] - 1 if broken else len(rates) - 1


@torch.no_grad()
def reinstate(
    network: ImageNetwork, original: ImageNetwork, where: ChannelSite, channels: list[int], clean: ImageData
) -> None:
    """Put ``channels`` of ``original`` back into ``network``, asleep: on no picture of ``clean`` are they above zero.

    The answers to such pictures stay those of the pruned network. Raises ``BadInput`` where neither the convolution
    nor a batch norm before its activation has a bias to lower.
    """
    if not channels:
        return
    index = torch.tensor(channels, device=network.device)
    shift = _take_back(network, original, where.layer, index)
    nodes = [str(node.target) for node in where.traced.graph.nodes]
    active = nodes.index(str(where.activation.target))
    for tap in where.norms:
        norm: Any = network.body.get_submodule(tap.name)
        size = norm.num_features // where.channels if tap.flat else 1
        rows = (index[:, None] * size + torch.arange(size, device=index.device)).flatten()
        bias = _take_back(network, original, tap.name, rows)
        if nodes.index(tap.name) < active:
            shift = bias
        else:
            norm.bias[rows] = 0
            norm.running_mean[rows] = 0
    if shift is None:
        raise BadInput(f"{where.layer}: expected a bias to lower, got none; choose a layer with a bias or a batch norm")
    shift[index] -= 1.1 * _peaks(network, where.layer, clean)[index] + 1e-3


def _take_back(network: ImageNetwork, original: ImageNetwork, name: str, rows: torch.Tensor) -> torch.Tensor | None:
    """Copy some rows of all that ``original`` holds in the layer ``name``; gives its bias, if there is one."""
    layer, before = (one.body.get_submodule(name) for one in (network, original))
    values = before.state_dict()
    for key, value in layer.state_dict(keep_vars=True).items():
        if value.ndim:
            value[rows] = values[key][rows]
    bias: torch.Tensor | None = getattr(layer, "bias", None)
    return bias


def _peaks(network: ImageNetwork, layer: str, data: ImageData) -> torch.Tensor:
    """The highest activation (C,) of each channel of ``layer`` over ``data``."""
    where = site(network, layer)
    with evaluating(network):
        first = until(where.traced, where.activation)
        best = torch.zeros(where.channels, device=network.device)
        for _, pictures in data.batches(1000):
            maps = first(network.normalized(network.floats(pictures)))
            best = torch.maximum(best, maps.reshape(len(maps), where.channels, -1).amax((0, 2)))
    return best
