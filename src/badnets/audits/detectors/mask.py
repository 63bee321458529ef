"""The smallest mask and pattern, for every class."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from badnets.audits.detector import DETECTORS, Floats, Suspect
from badnets.defenses.repair import kind_of
from badnets.defenses.stamps import invert
from badnets.networks.capabilities import Capability


@kind_of(DETECTORS)
class Mask:
    """For each class the smallest opaque stamp, by the sum of its mask, that sends 95 % of the other classes' pictures
    to it: all classes in one batch. A stamp that never succeeds counts as the whole picture.

    Source: Wang, Yao, Shan, Li, Viswanath, Zheng, Zhao, Neural Cleanse (2019), equations 2 and 3.
    Differs from the paper: all classes at once, fewer steps (see ``invert``); the sizes are compared with other
    networks', where the paper takes an anomaly index above 2.
    """

    needs_data: ClassVar[bool] = True
    needs: ClassVar[Capability] = Capability.GRADIENTS
    kind: Literal["mask"] = "mask"
    steps: Annotated[int, Field(ge=5, description="steps of the search")] = 100
    batch: Annotated[int, Field(ge=2, description="pictures of one step, for each class")] = 16

    def sizes(self, suspect: Suspect) -> Floats:
        """(1, targets): the logarithm of the sum of the mask, in pixels."""
        network, data = suspect.network, suspect.view.clean(self.kind, fewest=1)
        area = float(np.prod(network.input_size[1:]))
        found = invert(
            network,
            data,
            range(network.classes),
            "patch",
            suspect.seed.derive(self.kind),
            steps=self.steps,
            batch=self.batch,
            check=suspect.check,
        )
        sizes = [one.size if (one.success.value or 0) >= 0.5 else area for one in found]
        return np.log(np.maximum(sizes, 0.01))[None]
