"""Fine-pruning: pruning, then fine-tuning of what is left."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.defenses.registry import REPAIRS
from badnets.defenses.repair import Work, within
from badnets.defenses.repairs.prune import ranking, sweep
from badnets.defenses.tuning import Tuning, clean_step, sgd
from badnets.networks.surgery.channels import Point, hold, rank_channels
from badnets.networks.surgery.graph import site


@REPAIRS.add
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class FinePrune(Tuning):
    """Prune the least active channels while accuracy on a clean hold-out holds, then fine-tune the others.

    Pruned channels stay pruned: they are silenced again after each step. Without any step of pruning that fits it is
    fine-tuning alone.

    Source: Liu, Dolan-Gavitt, Garg, Fine-Pruning (2018), section 3.3.
    Differs from the paper: the allowance of pruning is a setting (there: until accuracy falls); the epoch is chosen on
    a clean hold-out, where it trains a fixed number; a higher learning rate, as in fine-tune; the batch norms behind a
    channel are silenced with it.
    """

    kind: Literal["fine-prune"] = "fine-prune"
    layer: Annotated[str | None, Field(description="convolution; by default the last one that can be pruned")] = None
    at: Annotated[Point, Field(description="rank after the first activation, or after the pooling that follows")] = (
        "activation"
    )
    epochs: Annotated[int, Field(ge=1, description="passes over the clean pictures")] = 10
    learning_rate: Annotated[float, Field(gt=0, description="of SGD with momentum 0.9 at first; falls to 0")] = 0.1
    patience: Annotated[int, Field(ge=1, description="epochs without a new best before it stops")] = 10

    def repair(self, work: Work) -> str:
        """Rank, sweep and prune, then SGD on the cross entropy."""
        fit, held_out = work.split(self.hold_out)
        layer = site(work.network, self.layer).layer
        means = rank_channels(work.network, fit, layer, at=self.at, on_batch=work.check)
        pruned = sweep(
            work,
            layer,
            ranking(means),
            means,
            held_out,
            lambda _number, before, _last, now: within(before, now, self.max_drop),
        )
        optimizer = sgd(work.network, self.learning_rate, decay=5e-4)
        step = clean_step(work.network, optimizer, hold(work.network, layer, pruned))
        what, data = f"{len(pruned)} channels of {layer} and the epoch", (fit, held_out)
        return self.tune(work, step, data, optimizer, epochs=self.epochs, patience=self.patience, what=what)
