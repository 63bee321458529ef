"""The smallest universal perturbation, for every pair of classes."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from badnets.audits.detector import DETECTORS, Floats, Suspect
from badnets.audits.search import Goal, Shift, smallest
from badnets.defenses.repair import kind_of
from badnets.networks.capabilities import Capability


@kind_of(DETECTORS)
class Perturbation:
    """For each pair of classes the smallest change, added to 4 to 12 pictures of the source, that makes the target of
    them; beyond ``pairs`` pairs, for each target, added to 16 to 48 pictures of all other classes; and so without clean
    pictures, to drawn ones.

    A trigger leaves a short way to its target, whatever its form: patches, blends, waves and warps alike. One source
    class shows as one pair, all-to-one as a column, all-to-all as one pair in every row. Sizes (root mean square, on
    the scale 0..1) don't depend on the scale of the logits.

    Source: Moosavi-Dezfooli et al., Universal adversarial perturbations (2017); pairs of classes as in Shen et al.,
    K-Arm (2021). Differs from the paper: the search of ``smallest``; all pairs at once, no bandit; sizes are
    compared with other networks', not with a threshold.
    """

    needs_data: ClassVar[bool] = False
    needs: ClassVar[Capability] = Capability.GRADIENTS
    kind: Literal["perturbation"] = "perturbation"
    steps: Annotated[int, Field(ge=4, description="steps of the search")] = 20
    pictures: Annotated[int, Field(ge=1, description="pictures in one step over all goals, about")] = 2000
    pairs: Annotated[int, Field(ge=0, description="pairs of classes up to which each is searched")] = 420

    def sizes(self, suspect: Suspect) -> Floats:
        """(sources, targets), or (1, targets)."""
        network = suspect.network
        goals, each = self._goals(suspect)
        apart = goals[0].source is not None
        change = Shift(len(goals), network.input_size, self.steps, network.device)
        found = smallest(network, suspect.pictures, goals, change, each=each, check=suspect.check)
        sizes = np.full((network.classes if apart else 1, network.classes), np.nan)
        for goal, size in zip(goals, found, strict=True):
            sizes[goal.source or 0, goal.target] = size
        return sizes

    def passes(self, suspect: Suspect) -> int:
        """Pictures that go through the network and back, at most."""
        goals, each = self._goals(suspect)
        return len(goals) * each * self.steps

    def _goals(self, suspect: Suspect) -> tuple[list[Goal], int]:
        """What is searched, each on how many pictures."""
        pictures, classes = suspect.pictures, suspect.network.classes
        apart = suspect.view.data is not None and classes * (classes - 1) <= self.pairs and len(pictures.present) > 1
        sources: list[int | None] = [*pictures.present] if apart else [None]
        goals = [Goal(t, s) for s in sources for t in range(classes) if s != t]
        return goals, int(np.clip(self.pictures // len(goals), *((4, 12) if apart else (16, 48))))
