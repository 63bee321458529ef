"""Networks that end in a softmax or a log-softmax: how they are recognized, and logits of them.

Everything else here takes logits and a softmax of them. Of probabilities p, ``log(p)`` are logits whose softmax is p.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from badnets.core.seed import Seed
from badnets.networks.network import ImageNetwork, evaluating

PREFIX = "logits-of:"
"""``logits-of:NAME`` in a file is architecture ``NAME`` inside ``LogProbabilities``."""

Kind = Literal["logits", "probabilities", "log-probabilities"]
_PROBES = 4
_TOLERANCE = 1e-3  # half precision included; rows of logits sum to 1 by chance far more seldom


class LogProbabilities(nn.Module):
    """The logarithm of what ``network`` gives: logits whose softmax is the network's own probabilities.

    Probabilities that are 0 become the smallest positive number of their dtype, so that logits stay finite.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, c, h, w) to logits (n, classes)."""
        probabilities: Tensor = self.network(x)
        return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


@torch.no_grad()
def kind_of_outputs(network: ImageNetwork) -> Kind:
    """What ``network.body`` gives, seen from four pictures of seeded noise.

    Probabilities: nowhere negative, and each row sums to 1; log-probabilities: nowhere positive, and each row's
    exponentials sum to 1. The network is left as it was.
    """
    if network.classes == 1:
        return "logits"
    noise = Seed(0).derive("probe outputs").rng.random((_PROBES, *network.input_size))
    like = next(network.parameters(), network.mean)
    with evaluating(network):
        rows = network(torch.from_numpy(noise).to(like.device, like.dtype)).float()
    if bool((rows >= 0).all()) and _sum_to_one(rows):
        return "probabilities"
    return "log-probabilities" if bool((rows <= 0).all()) and _sum_to_one(rows.exp()) else "logits"


def _sum_to_one(rows: Tensor) -> bool:
    return bool(((rows.sum(1) - 1).abs() < _TOLERANCE).all())
