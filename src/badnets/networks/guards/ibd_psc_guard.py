"""A network that refuses pictures whose answer survives when its batch normalizations are amplified."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from badnets.core.errors import BadInput
from badnets.networks.architecture import GUARDS, InputSize, architecture
from badnets.networks.device import as_double
from badnets.networks.guards.guard import Guard, Parts, build_parts
from badnets.networks.network import ImageNetwork

Factor = Annotated[float, Field(gt=1, le=100)]


def amplified(network: ImageNetwork, layers: Sequence[str], factor: float) -> dict[str, Tensor]:
    """Scale and shift of the batch normalizations ``layers`` (names inside the body), times ``factor``, by the names
    that they have in ``network``: what ``functional_call`` takes."""
    values: dict[str, Tensor] = {}
    for layer in layers:
        norm = network.body.get_submodule(layer)
        values |= {f"body.{layer}.{name}": value * factor for name, value in norm.named_parameters(recurse=False)}
    return values


def logits_with(network: ImageNetwork, values: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Logits (n, classes) of the network with some of its parameters replaced; it is left as it was."""
    logits: Tensor = functional_call(network, dict(values), (images,))
    return logits


def log_doubt(logits: Tensor, answers: Tensor) -> Tensor:
    """``log(1 - p)`` of the probability p of each answer, (n,): finite where p is 1 to the last bit."""
    logits = as_double(logits)
    others = logits.scatter(1, answers[:, None].to(logits.device), -math.inf)
    return others.logsumexp(1) - logits.logsumexp(1)


class IbdPsc(Guard):
    """Refuses where amplified networks stay sure of the answer.

    ``layers`` are batch normalizations from the last to the first; network j of ``networks`` has the last
    ``first + j`` of them amplified by ``factor``. With p the mean, over these networks, of the probability of the
    original's answer, the score is ``-log(1 - p)`` in nats, 0 and more: pictures are in the same order, but it does not
    saturate where p is 1 to the last bit, as of amplified logits it often is.

    Source: Hou et al., IBD-PSC (ICML 2024), section 4.2, and the authors' code (BackdoorBox, ``IBD_PSC.py``).
    Differs from the paper: its threshold is 0.9 for all networks, ours is calibrated. Its code begins one layer deeper
    than the depth that it has selected; ours begins at that depth.
    """

    name = "ibd-psc"
    options = ("layers", "first", "networks", "factor")

    def __init__(
        self, network: ImageNetwork, layers: Sequence[str], *, first: int, networks: int = 5, factor: float = 1.5
    ) -> None:
        super().__init__([network])
        known = {name for name, _ in network.body.named_modules()}
        lost = next((layer for layer in layers if layer not in known), None)
        if lost is not None:
            raise BadInput(f"expected layers of {network.architecture} in the guard, got {lost!r}; the file is damaged")
        self.layers, self.first, self.networks, self.factor = list(layers), first, networks, factor

    def score(self, images: Tensor, answers: Tensor) -> Tensor:
        """Minus the log of the mean doubt in ``answers``, in nats."""
        depths = range(self.first, min(self.first + self.networks, len(self.layers) + 1))
        changed = (amplified(self.network, self.layers[:depth], self.factor) for depth in depths)
        doubts = [log_doubt(logits_with(self.network, values, images), answers) for values in changed]
        score: Tensor = math.log(len(depths)) - torch.stack(doubts).logsumexp(0)
        return score.float().to(images.device)


@architecture("ibd-psc", "refuses what survives amplification", table=GUARDS)
def build(
    classes: int,
    input_size: InputSize,
    *,
    parts: Parts,
    layers: Annotated[list[str], Field(min_length=1)],
    first: Annotated[int, Field(ge=1)],
    networks: Annotated[int, Field(ge=1, le=1000)] = 5,
    factor: Factor = 1.5,
) -> nn.Module:
    """One network and the names of its batch normalizations."""
    (network,) = build_parts(parts, classes, input_size, 1)
    if first > len(layers):
        raise BadInput(f"expected a first depth of at most {len(layers)} layers in the guard, got {first}")
    return IbdPsc(network, layers, first=first, networks=networks, factor=factor)
