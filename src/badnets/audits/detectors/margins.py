"""The largest margin that any picture reaches, for every class: no data is needed."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from badnets.audits.detector import DETECTORS, MANY, Floats, Suspect
from badnets.defenses.repair import kind_of
from badnets.networks.capabilities import Capability
from badnets.networks.network import evaluating

AT_ONCE = 256
SCREENING, SCREENED = 8, 128
"""Of very many classes, the starts by which the first ones are chosen, and how many of those are looked at closely."""


@kind_of(DETECTORS)
class Margins:
    """For each class the largest margin, its logit less the largest other one, that pictures climb to from random
    starts. A trigger that overrules what a picture shows lets the margin of its class grow far. Of very many classes
    the mean margin of many starts after a few steps: the way to a trigger's class is short, and soon others catch up.

    Source: Wang, Xiang, Miller, Kesidis, MM-BD (2024), and their univ_bd.py.
    Differs from the paper: fewer starts and steps by default (there 30 and up to 300), and of many classes ``early``;
    margins are compared with other networks' or, of many classes, with each other by the distances of the first ones,
    where the paper fits a gamma distribution to all classes but one (``studies.audit.published``).
    """

    needs_data: ClassVar[bool] = False
    sized: ClassVar[bool] = False
    needs: ClassVar[Capability] = Capability.GRADIENTS
    kind: Literal["margins"] = "margins"
    starts: Annotated[int, Field(ge=1, description="random pictures for each class")] = 4
    steps: Annotated[int, Field(ge=1, description="of Adam")] = 60
    rate: Annotated[float, Field(gt=0, description="of Adam, on the scale 0..1")] = 0.2
    early: Annotated[int, Field(ge=1, description="steps where there are a hundred classes or more")] = 3
    early_starts: Annotated[int, Field(ge=1, description="random pictures for each of the first classes then")] = 64

    def sizes(self, suspect: Suspect) -> Floats:
        """(1, targets): less the logarithm of the largest margin, or, of ``MANY`` classes, less the mean margin of all
        starts; the larger the margin, the smaller."""
        every = np.arange(suspect.network.classes)
        if len(every) < MANY:
            largest: Floats = self._climbed(suspect, every, self.starts, self.steps).max(1)
            return -np.log(np.maximum(largest, 1e-3))[None]
        early: Floats = self._climbed(suspect, every, SCREENING, self.early).mean(1)
        first = np.argsort(-early)[:SCREENED]
        # other starts than those that they were chosen by, which flatter them
        early[first] = self._climbed(suspect, first, self.early_starts, self.early, "again").mean(1)
        return -early[None]

    def passes(self, suspect: Suspect) -> int:
        """Pictures that go through the network and back."""
        classes = suspect.network.classes
        if classes < MANY:
            return classes * self.starts * self.steps
        return (classes * SCREENING + min(classes, SCREENED) * self.early_starts) * self.early

    def _climbed(
        self, suspect: Suspect, classes: NDArray[np.int64], starts: int, steps: int, stream: str = "margins"
    ) -> Floats:
        """(classes, starts): the margin that each start climbs to."""
        network = suspect.network
        goals = torch.from_numpy(classes).repeat_interleave(starts)
        rng = suspect.seed.derive(stream).rng
        best = []
        with evaluating(network):
            for wanted in torch.split(goals, AT_ONCE):
                noise = rng.random((len(wanted), *network.input_size), np.float32)
                images = torch.from_numpy(noise).to(network.device).requires_grad_()
                target = wanted.to(network.device)[:, None]
                optimizer = torch.optim.Adam([images], lr=self.rate)
                for _ in range(steps):
                    suspect.check()
                    (images.grad,) = torch.autograd.grad(-_margin(network(images), target).sum(), images)
                    optimizer.step()
                    with torch.no_grad():
                        images.clamp_(0, 1)
                with torch.no_grad():
                    best.append(_margin(network(images), target).double().cpu().numpy())
        reached: Floats = np.concatenate(best).reshape(len(classes), starts)
        return reached


def _margin(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    rivals = logits.scatter(1, target, -torch.inf).amax(1)
    return logits.gather(1, target).squeeze(1) - rivals
