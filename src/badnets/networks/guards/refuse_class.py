"""A network that never gives one class."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.networks.architecture import GUARDS, InputSize, architecture
from badnets.networks.guards.guard import Guard, Parts, build_parts
from badnets.networks.network import ImageNetwork


class RefuseClass(Guard):
    """Refuses every answer ``suspect``, a class number: score 1 for it, else 0; threshold 0.5.

    Source: none, a baseline.
    Differs from the paper: there is none.
    """

    name = "refuse-class"
    options = ("suspect",)

    def __init__(self, network: ImageNetwork, suspect: int) -> None:
        super().__init__([network], 0.5)
        if not 0 <= suspect < network.classes:
            raise BadInput(f"expected a suspect class in 0..{network.classes - 1}, got {suspect}")
        self.suspect = suspect

    def score(self, images: Tensor, answers: Tensor) -> Tensor:
        """1 where the answer is the suspect class."""
        return (answers == self.suspect).to(torch.float32)


@architecture("refuse-class", "refuses one class", table=GUARDS)
def build(classes: int, input_size: InputSize, *, parts: Parts, suspect: Annotated[int, Field(ge=0)]) -> nn.Module:
    """One network, and the number of the class that it may not give."""
    (network,) = build_parts(parts, classes, input_size, 1)
    return RefuseClass(network, suspect)
