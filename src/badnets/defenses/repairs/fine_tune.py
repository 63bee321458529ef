"""Fine-tuning on clean data."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional

from badnets.defenses.registry import REPAIRS
from badnets.defenses.repair import Work
from badnets.defenses.tuning import descend, sgd, tune
from badnets.training.recipe import AugmentName


@REPAIRS.add
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class FineTune:
    """Train on with clean data, all layers; the epoch is chosen on a clean hold-out.

    Source: Liu, Dolan-Gavitt, Garg, Fine-Pruning (2018), which discusses it as a defense.
    Differs from the paper: early stopping on a clean hold-out, where it trains a fixed number of epochs; a high
    learning rate that falls to 0, with gradients shortened to length 1, where it goes on with the small one at which
    training ended: that leaves most backdoors alive.
    """

    needs_data: ClassVar[bool] = True
    kind: Literal["fine-tune"] = "fine-tune"
    epochs: Annotated[int, Field(ge=1, description="passes over the clean pictures")] = 10
    learning_rate: Annotated[float, Field(gt=0, description="of SGD with momentum 0.9 at first; falls to 0")] = 0.1
    batch: Annotated[int, Field(ge=2, description="pictures in one step")] = 64
    hold_out: Annotated[float, Field(gt=0, lt=1, description="share of the pictures to stop by")] = 0.2
    patience: Annotated[int, Field(ge=1, description="epochs without a new best before it stops")] = 10
    augment: Annotated[tuple[AugmentName, ...], Field(description="changes of the pictures while tuning")] = ()

    def repair(self, work: Work) -> str:
        """SGD on the cross entropy."""
        fit, held_out = work.split(self.hold_out)
        network = work.network
        optimizer = sgd(network, self.learning_rate, decay=5e-4)

        def step(images: Tensor, labels: Tensor) -> Tensor:
            return descend(optimizer, functional.cross_entropy(network(images), labels))

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
        return f"the epoch, by accuracy on {len(held_out):,} held-out clean pictures"
