"""N+1 networks: an answer counts when a second network gives it too."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from badnets.networks.architecture import GUARDS, InputSize, architecture
from badnets.networks.guards.guard import Guard, Parts, build_parts
from badnets.networks.network import ImageNetwork


class Agreement(Guard):
    """Answers as the first network, unless the second, a repaired copy, disagrees.

    ``hard``: refuses where their answers differ (score 1, else 0; threshold 0.5). Otherwise the score is
    -log of the probability that the second network gives to the first one's answer (0 and more, in nats), so the
    threshold says how much doubt is let through.

    Source: Vora, GoodNet (CSAW-HackML-2020; study C1): the hard form, with a pruned copy.
    Differs from the paper: the soft form is ours.
    """

    name = "agreement"
    options = ("hard",)

    def __init__(self, network: ImageNetwork, copy: ImageNetwork, *, hard: bool = False) -> None:
        super().__init__([network, copy], 0.5 if hard else float("inf"))
        self.hard = hard

    def score(self, images: Tensor, answers: Tensor) -> Tensor:
        """Doubt (n,) of the second network."""
        other: Tensor = self.parts[1](images)
        if self.hard:
            return (other.argmax(1) != answers).to(torch.float32)
        return functional.cross_entropy(other.float(), answers, reduction="none")


@architecture("agreement", "answers where a second network agrees", table=GUARDS)
def build(classes: int, input_size: InputSize, *, parts: Parts, hard: bool = False) -> nn.Module:
    """Two networks as ``parts`` describe them, the original first."""
    first, second = build_parts(parts, classes, input_size, 2)
    return Agreement(first, second, hard=hard)
