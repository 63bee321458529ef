"""The largest margin that any picture reaches, for every class: no data is needed."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from badnets.audits.detector import DETECTORS, Floats, Suspect
from badnets.defenses.repair import kind_of
from badnets.networks.capabilities import Capability
from badnets.networks.network import evaluating

AT_ONCE = 256
SCREENED = 128
"""Classes that are looked at closely."""


@kind_of(DETECTORS)
class Margins:
    """For each class the largest margin, its logit less the largest other one, that pictures climb to from random
    starts. A trigger that overrules what a picture shows lets the margin of its class grow far.

    Source: Wang, Xiang, Miller, Kesidis, MM-BD (2024), and their univ_bd.py.
    Differs from the paper: fewer starts and steps by default (there 30 and up to 300); margins are compared with other
    networks', where the paper fits a gamma distribution to all classes but one (``studies.audit.published``).
    """

    needs_data: ClassVar[bool] = False
    sized: ClassVar[bool] = False
    needs: ClassVar[Capability] = Capability.GRADIENTS
    kind: Literal["margins"] = "margins"
    starts: Annotated[int, Field(ge=1, description="random pictures for each class")] = 4
    steps: Annotated[int, Field(ge=1, description="of Adam")] = 60
    rate: Annotated[float, Field(gt=0, description="of Adam, on the scale 0..1")] = 0.2

    def sizes(self, suspect: Suspect) -> Floats:
        """(1, targets): less the logarithm of the margin; the larger the margin, the smaller."""
        return -np.log(np.maximum(self.margins(suspect), 1e-3))[None]

    def margins(self, suspect: Suspect) -> Floats:
        """(targets,): the largest margins. Of more than ``SCREENED`` classes all climb a third of the way from one
        start, and the first of them, ``SCREENED``, the whole way from all."""
        classes = suspect.network.classes
        if classes <= SCREENED:
            return self._climbed(suspect, np.arange(classes), self.starts, self.steps)
        largest = self._climbed(suspect, np.arange(classes), 1, max(1, self.steps // 3))
        first = np.sort(np.argsort(-largest)[:SCREENED])
        largest[first] = np.maximum(largest[first], self._climbed(suspect, first, self.starts, self.steps))
        return largest

    def passes(self, suspect: Suspect) -> int:
        """Pictures that go through the network and back."""
        classes = suspect.network.classes
        screened = classes * (self.steps // 3) if classes > SCREENED else 0
        return min(classes, SCREENED) * self.starts * self.steps + screened

    def _climbed(self, suspect: Suspect, classes: NDArray[np.int64], starts: int, steps: int) -> Floats:
        """(classes,): the largest margin of each."""
        network = suspect.network
        goals = torch.from_numpy(classes).repeat_interleave(starts)
        noise = suspect.seed.derive(self.kind).rng.random((len(goals), *network.input_size), np.float32)
        best = []
        with evaluating(network):
            for some, wanted in zip(
                torch.split(torch.from_numpy(noise), AT_ONCE), torch.split(goals, AT_ONCE), strict=True
            ):
                images = some.to(network.device).requires_grad_()
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
        largest: Floats = np.concatenate(best).reshape(len(classes), starts).max(1)
        return largest


def _margin(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    rivals = logits.scatter(1, target, -torch.inf).amax(1)
    return logits.gather(1, target).squeeze(1) - rivals
