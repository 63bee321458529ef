"""The rows of the last layer against each other: no data, no passes."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from badnets.audits.detector import DETECTORS, Floats, Suspect
from badnets.core.errors import BadInput
from badnets.defenses.repair import kind_of
from badnets.networks.capabilities import Capability
from badnets.networks.network import ImageNetwork
from badnets.networks.surgery.tail import head_of


@kind_of(DETECTORS)
class LastLayer:
    """For each class how much its weights in the last dense layer sum to: a class that a trigger has to win against all
    features has a heavier row. In face networks with 1,283 classes the target stands out; with ten it says little.

    Source: Fields, Samragh, Javaheripi, Koushanfar, Javidi, Trojan signatures in DNN weights (2021).
    Differs from the paper: the mean weight of a row in standard deviations of all weights of the layer, compared with
    other networks', where the paper tests for an outlier among classes.
    """

    needs_data: ClassVar[bool] = False
    sized: ClassVar[bool] = False
    needs: ClassVar[Capability] = Capability.SURGERY
    kind: Literal["last-layer"] = "last-layer"

    def sizes(self, suspect: Suspect) -> Floats:
        """(1, targets): less the mean of the row, in standard deviations of all weights."""
        network = suspect.network
        head: Any = network.body.get_submodule(head_of(network))
        rows = head.weight.detach().flatten(1).double().cpu().numpy()
        sizes: Floats = -(rows.mean(1) / max(float(rows.std()), 1e-12))[None]
        return sizes


def has_head(network: ImageNetwork) -> bool:
    """Whether there is a last dense layer to look at."""
    try:
        head_of(network)
    except BadInput:
        return False
    return True
