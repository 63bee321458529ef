"""IBD-PSC as an abstainer."""

from __future__ import annotations

import copy
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.defenses.abstain import Made
from badnets.defenses.registry import ABSTAINERS
from badnets.defenses.repair import OnRow
from badnets.defenses.screens.ibd_psc import choose_depth, norm_layers
from badnets.defenses.view import DefenderView
from badnets.networks.guards.ibd_psc_guard import IbdPsc as IbdPscGuard


@ABSTAINERS.add
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class IbdPsc:
    """Refuse pictures whose answer survives when the last batch normalizations are amplified.

    Network j of ``networks`` has the last ``k + j`` of them amplified; k is the first depth at which the clean error
    exceeds ``error``. Only for networks with batch normalization. One answer costs ``networks`` more passes.

    Source: Hou et al., IBD-PSC (ICML 2024), algorithms 1 and 2, and the authors' code (BackdoorBox, ``IBD_PSC.py``).
    Differs from the paper: the threshold is calibrated, where it is 0.9; where no depth exceeds ``error``, as in
    networks with few layers, the factor is raised by half until one does; batch normalizations of dense layers count
    too; where not enough layers are left, there are fewer networks; see also
    ``badnets.networks.guards.ibd_psc_guard.IbdPsc``.
    """

    calibrated: ClassVar[bool] = True
    needs_data: ClassVar[bool] = True
    kind: Literal["ibd-psc"] = "ibd-psc"
    factor: Annotated[float, Field(gt=1, le=100, description="of scale and shift, at first")] = 1.5
    error: Annotated[float, Field(gt=0, lt=1, description="clean error that the first network exceeds")] = 0.6
    networks: Annotated[int, Field(ge=1, le=1000, description="amplified networks, one layer deeper each")] = 5

    def make(self, view: DefenderView, on_row: OnRow) -> Made:
        """Find the depth."""
        layers = norm_layers(view.network)
        clean = view.clean(self.kind, fewest=1)
        network = copy.deepcopy(view.network).eval()
        found = choose_depth(network, clean, layers, factor=self.factor, error=self.error)
        guard = IbdPscGuard(network, layers, first=found.depth, networks=self.networks, factor=found.factor)
        chosen = (
            f"the depth, {found.depth}, and the factor, {found.factor:.3g}, by clean error on {len(clean):,} pictures"
        )
        return Made(guard=guard, chosen=chosen, trace=found.trace)
