"""Fine-pruning: pruning, then fine-tuning of what is left."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional

from badnets.defenses.registry import REPAIRS
from badnets.defenses.repair import Work
from badnets.defenses.repairs.prune import ranking, sweep, within
from badnets.defenses.tuning import descend, sgd, tune
from badnets.networks.surgery.channels import Point, find_layer, hold, rank_channels
from badnets.training.recipe import AugmentName


@REPAIRS.add
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class FinePrune:
    """Prune the least active channels while accuracy on a clean hold-out holds, then fine-tune the others.

    Pruned channels stay pruned: they are silenced again after each step. Without any step of pruning that fits it is
    fine-tuning alone.

    Source: Liu, Dolan-Gavitt, Garg, Fine-Pruning (2018), section 3.3.
    Differs from the paper: the allowance of pruning is a setting (there: until accuracy falls); the epoch is chosen on
    a clean hold-out, where it trains a fixed number; a higher learning rate, as in fine-tune; the batch norms behind a
    channel are silenced with it.
    """

    needs_data: ClassVar[bool] = True
    kind: Literal["fine-prune"] = "fine-prune"
    layer: Annotated[str | None, Field(description="convolution; by default the last one that can be pruned")] = None
    at: Annotated[Point, Field(description="rank after the first activation, or after the pooling that follows")] = (
        "activation"
    )
    max_drop: Annotated[float, Field(ge=0, le=1, description="accuracy that pruning may cost, a share")] = 0.05
    epochs: Annotated[int, Field(ge=1, description="passes over the clean pictures")] = 10
    learning_rate: Annotated[float, Field(gt=0, description="of SGD with momentum 0.9 at first; falls to 0")] = 0.1
    batch: Annotated[int, Field(ge=2, description="pictures in one step")] = 64
    hold_out: Annotated[float, Field(gt=0, lt=1, description="share of the pictures to choose both by")] = 0.2
    patience: Annotated[int, Field(ge=1, description="epochs without a new best before it stops")] = 10
    augment: Annotated[tuple[AugmentName, ...], Field(description="changes of the pictures while tuning")] = ()

    def repair(self, work: Work) -> str:
        """Rank, sweep and prune, then SGD on the cross entropy."""
        fit, held_out = work.split(self.hold_out)
        layer = find_layer(work.network, self.layer)
        means = rank_channels(work.network, fit, layer, at=self.at)
        pruned = sweep(
            work,
            layer,
            ranking(means),
            means,
            held_out,
            lambda _number, before, _last, now: within(before, now, self.max_drop),
        )
        network = work.network
        silence = hold(network, layer, pruned)
        optimizer = sgd(network, self.learning_rate, decay=5e-4)

        def step(images: Tensor, labels: Tensor) -> Tensor:
            loss = descend(optimizer, functional.cross_entropy(network(images), labels))
            silence()
            return loss

        tune(
            work,
            step,
            fit,
            held_out,
            epochs=self.epochs,
            batch=self.batch,
            augment=self.augment,
            patience=self.patience,
            anneal=optimizer,
        )
        on = f"by accuracy on {len(held_out):,} held-out clean pictures"
        return f"{len(pruned)} channels of {layer} and the epoch, {on}"
