"""Clean-label poisoning: pictures of the target class are made hard to recognize, then stamped; labels stay.

A network that can no longer rely on what such a picture shows learns the trigger instead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.attacks.pgd import PGD
from badnets.backdoors.plan import Part, Poisoned, make_plan
from badnets.core.errors import BadInput
from badnets.core.seed import Seed, as_seed
from badnets.data.images import ImageData

if TYPE_CHECKING:
    from badnets.networks.network import ImageNetwork


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class CleanLabelAttack(PGD):
    """PGD around each chosen picture of the target class, against an independently trained network, the surrogate; then
    the trigger.

    With ``adversarial`` the surrogate is trained adversarially: on pictures that this PGD moved against it a moment
    before (all of every batch). What fools such a network carries over to others.

    Source: Turner, Tsipras, Madry, Label-Consistent Backdoor Attacks (2019), section 3.2; Madry et al. (2018) for
    adversarial training. Differs from the paper: the surrogate is normally trained unless ``adversarial`` is given.
    """

    adversarial: Annotated[
        PGD | None, Field(description="train the surrogate against this; default: on clean ones")
    ] = None

    def poison(self, data: ImageData, part: Part, *, network: ImageNetwork, seed: int | Seed = 0) -> Poisoned:
        """Choose rows of the target class, perturb them against ``network``, apply the trigger, keep the labels."""
        if part.rule.kind != "clean-label":
            raise BadInput(f"expected a clean-label rule for this attack, got {part.rule.kind}")
        plan = make_plan(data, (part,), mode="replace", seed=seed)
        base = data.images(plan.rows)
        chosen = ~plan.cover  # cover rows are other classes with the trigger; they are not attacked
        base[chosen] = self.perturb(
            network, base[chosen], data.labels[plan.rows[chosen]], seed=as_seed(seed).derive("pgd")
        )
        return replace(plan, base=base).apply(data)
