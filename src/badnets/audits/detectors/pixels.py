"""The fewest pixels, for every class."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from badnets.audits.detector import DETECTORS, Floats, Suspect
from badnets.audits.search import Goal, Pixels, smallest
from badnets.defenses.repair import kind_of
from badnets.networks.capabilities import Capability


@kind_of(DETECTORS)
class FewestPixels:
    """For each class the fewest pixels, each as bright or dark as can be, that make 16 to 48 pictures of other classes
    that class: what a patch or a few odd pixels leave open, in networks that are easily moved by a little everywhere.

    Source: Papernot et al., The limitations of deep learning in adversarial settings (2016) (pixels by their
    gradients); Tao et al., Better trigger inversion optimization in backdoor scanning (2022) (pixels, not a mask).
    Differs from the papers: one set of pixels for many pictures, chosen anew at each of a growing number of them.
    """

    needs_data: ClassVar[bool] = False
    needs: ClassVar[Capability] = Capability.GRADIENTS
    kind: Literal["pixels"] = "pixels"
    steps: Annotated[int, Field(ge=4, description="steps of the search")] = 24
    pictures: Annotated[int, Field(ge=1, description="pictures in one step over all classes, about")] = 600

    def sizes(self, suspect: Suspect) -> Floats:
        """(1, targets): the logarithm of the number of pixels."""
        network = suspect.network
        goals = [Goal(target) for target in range(network.classes)]
        change = Pixels(len(goals), network.input_size, self.steps, network.device)
        each = self._each(network.classes)
        return smallest(network, suspect.pictures, goals, change, each=each, check=suspect.check)[None]

    def passes(self, suspect: Suspect) -> int:
        """Pictures that go through the network and back, at most."""
        classes = suspect.network.classes
        return classes * self._each(classes) * self.steps

    def _each(self, classes: int) -> int:
        return int(np.clip(self.pictures // classes, 16, 48))
