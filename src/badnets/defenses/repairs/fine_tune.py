"""Fine-tuning on clean data, and fine-pruning: pruning, then fine-tuning of what is left."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from badnets.defenses.repair import REPAIRS, Work, kind_of, within
from badnets.defenses.repairs.prune import At, Layer, ranking, sweep
from badnets.defenses.tuning import Tuning, sgd
from badnets.networks.capabilities import Capability
from badnets.networks.surgery.channels import hold, rank_channels
from badnets.networks.surgery.graph import site


@kind_of(REPAIRS)
class FineTune(Tuning):
    """Train on with clean data, all layers; the epoch is chosen on a clean hold-out.

    Source: Liu, Dolan-Gavitt, Garg, Fine-Pruning (2018), which discusses it as a defense.
    Differs from the paper: early stopping on a clean hold-out, where it trains a fixed number of epochs; a high
    learning rate that falls to 0, with gradients shortened to length 1, where it goes on with the small one at which
    training ended: that leaves most backdoors alive.
    """

    kind: Literal["fine-tune"] = "fine-tune"
    epochs: Annotated[int, Field(ge=1, description="passes over the clean pictures")] = 10
    learning_rate: Annotated[float, Field(gt=0, description="of SGD with momentum 0.9 at first; falls to 0")] = 0.1
    patience: Annotated[int, Field(ge=1, description="epochs without a new best before it stops")] = 10

    def repair(self, work: Work) -> str:
        """SGD on the cross entropy."""
        optimizer = sgd(work.network, self.learning_rate, decay=5e-4)
        return self.tune(work, work.split(self.hold_out), optimizer, epochs=self.epochs, patience=self.patience)


@kind_of(REPAIRS)
class FinePrune(Tuning):
    """Prune the least active channels while accuracy on a clean hold-out holds, then fine-tune the others.

    Pruned channels stay pruned: they are silenced again after each step. Without any step of pruning that fits it is
    fine-tuning alone.

    Source: Liu, Dolan-Gavitt, Garg, Fine-Pruning (2018), section 3.3.
    Differs from the paper: the allowance of pruning is a setting (there: until accuracy falls); the epoch is chosen on
    a clean hold-out, where it trains a fixed number; a higher learning rate, as in fine-tune; the batch norms behind a
    channel are silenced with it.
    """

    needs: ClassVar[Capability] = Capability.SURGERY
    kind: Literal["fine-prune"] = "fine-prune"
    layer: Layer = None
    at: At = "activation"
    epochs: Annotated[int, Field(ge=1, description="passes over the clean pictures")] = 10
    learning_rate: Annotated[float, Field(gt=0, description="of SGD with momentum 0.9 at first; falls to 0")] = 0.1
    patience: Annotated[int, Field(ge=1, description="epochs without a new best before it stops")] = 10

    def repair(self, work: Work) -> str:
        """Rank, sweep and prune, then SGD on the cross entropy."""
        fit, held_out = data = work.split(self.hold_out)
        layer = site(work.network, self.layer).layer
        means = rank_channels(work.network, fit, layer, at=self.at, on_batch=work.check)
        pruned = sweep(
            work, layer, ranking(means), means, held_out, lambda _, before, __, now: within(before, now, self.max_drop)
        )
        optimizer = sgd(work.network, self.learning_rate, decay=5e-4)
        silence_again = hold(work.network, layer, pruned)
        optimizer.register_step_post_hook(lambda *_: silence_again())
        what = f"{len(pruned)} channels of {layer} and the epoch"
        return self.tune(work, data, optimizer, epochs=self.epochs, patience=self.patience, what=what)
