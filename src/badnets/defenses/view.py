"""What a defender sees: a network reopened from its file, clean data or none, a budget, a seed; nothing else.

Nothing in a view leads to a trigger, a plan or a test label, so a method that takes a view cannot peek at the answer.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import torch

from badnets.core.errors import BadInput
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.networks.inference import check_input
from badnets.networks.network import ImageNetwork

FEWEST = 20
"""Clean pictures below which no accuracy on some of them says anything."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DefenderView:
    """``network`` without its file's remarks on how it was made (the weights are those handed in), ``data`` clean
    labelled pictures or None, ``seed``, and ``budget_s``, the seconds after which a method stops with what it has
    (None: as long as it takes).

    Raises ``BadInput`` for data of another size or with other classes than the network's, and for weights that are
    not finite.
    """

    network: ImageNetwork
    data: ImageData | None = None
    seed: Seed = field(default_factory=lambda: Seed(0))
    budget_s: float | None = None

    def __post_init__(self) -> None:
        bare = copy.copy(self.network)
        bare.provenance = {}  # a file says on purpose which backdoor it carries
        object.__setattr__(self, "network", bare)
        for name, tensor in self.network.body.state_dict().items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise BadInput(f"expected finite weights, got NaN or infinity in {name!r}; the network is damaged")
        if self.budget_s is not None and self.budget_s <= 0:
            raise BadInput(f"expected a budget above 0 seconds, got {self.budget_s:g}")
        if self.data is None:
            return
        check_input(self.network, self.data.shape, f"pictures of {self.data.name}")
        if self.data.class_names != self.network.class_names:
            raise BadInput(
                f"{self.data.name}: expected the network's {self.network.classes} classes "
                f"({', '.join(self.network.class_names[:3])}, ...), got {self.data.classes} "
                f"({', '.join(self.data.class_names[:3])}, ...); bring data of the same classes"
            )

    def clean(self, method: str, *, fewest: int = FEWEST) -> ImageData:
        """The clean data, for a method that needs it: at least ``fewest`` pictures of at least 2 classes."""
        if self.data is None:
            raise BadInput(f"{method}: expected clean data, got none; pass --data")
        if len(self.data) < fewest:
            got = f"got {len(self.data)} in {self.data.name}"
            raise BadInput(f"{method}: expected at least {fewest} clean pictures, {got}; bring more")
        present = np.unique(self.data.labels)
        if len(present) < 2:
            only = self.data.class_names[int(present[0])]
            raise BadInput(
                f"{method}: expected clean pictures of at least 2 classes, got only {only!r} in {self.data.name}; "
                "bring pictures of the others"
            )
        return self.data
