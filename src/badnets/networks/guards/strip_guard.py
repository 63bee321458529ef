"""A network that refuses pictures whose answer stays the same whatever is laid over them."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from badnets.networks.architecture import GUARDS, InputSize, architecture
from badnets.networks.guards.guard import Guard, Parts, build_parts
from badnets.networks.network import ImageNetwork, to_float

Weight = Annotated[float, Field(ge=0, le=1)]


def entropy(logits: Tensor) -> Tensor:
    """Shannon entropy in bits over the *classes* of each row of logits (n, k): (n,), 0 .. log2(k)."""
    nats: Tensor = torch.special.entr(logits.float().softmax(1)).sum(1)
    return nats / math.log(2)


def blend_entropy(network: nn.Module, images: Tensor, overlays: Tensor, own: float, other: float) -> Tensor:
    """Mean entropy (n,) of the network's answers to blends of floats (n, c, h, w) in 0..1 with each of ``overlays``.
    ``overlays`` are uint8 (m, h, w, c). A blend is ``own * image + other * overlay``, cut to 0..1, before any
    normalization: the network applies its own."""
    total = torch.zeros(len(images), device=images.device)
    for overlay in to_float(overlays, images.dtype):
        total += entropy(network((own * images + other * overlay).clamp(0, 1)))
    return total / len(overlays)


class Strip(Guard):
    """Refuses where the mean entropy over blends with clean pictures is low; the score is minus that entropy, in bits.

    Source: Gao et al., STRIP (ACSAC 2019), equations 2 to 4, and the authors' notebook: weights 1 and 1.
    Differs from the paper: blends are cut to 0..1, which the notebook does not do; the same clean pictures are laid
    over every input, where the notebook draws others for each.
    """

    name = "strip"
    overlays: Tensor

    def __init__(self, network: ImageNetwork, overlays: Tensor, *, own: float = 1.0, other: float = 1.0) -> None:
        super().__init__([network])
        self.own, self.other = own, other
        self.register_buffer("overlays", overlays)

    @property
    def settings(self) -> dict[str, Any]:
        """How many overlays there are, and the weights."""
        return {"overlays": len(self.overlays), "own": self.own, "other": self.other}

    def score(self, images: Tensor, answers: Tensor) -> Tensor:
        """Minus the mean entropy."""
        return -blend_entropy(self.network, images, self.overlays, self.own, self.other)


@architecture("strip", "refuses what stays the same under overlays", table=GUARDS)
def build(
    classes: int,
    input_size: InputSize,
    *,
    parts: Parts,
    overlays: Annotated[int, Field(ge=1, le=10_000, description="clean pictures that are laid over")],
    own: Weight = 1.0,
    other: Weight = 1.0,
) -> nn.Module:
    """One network, and room for ``overlays`` clean pictures of its size."""
    (network,) = build_parts(parts, classes, input_size, 1)
    channels, height, width = input_size
    room = torch.zeros(overlays, height, width, channels, dtype=torch.uint8)
    return Strip(network, room, own=own, other=other)
