"""Fine-tuning on clean data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.defenses.registry import REPAIRS
from badnets.defenses.repair import Work
from badnets.defenses.tuning import Tuning, clean_step, sgd


@REPAIRS.add
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
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
        step, data = clean_step(work.network, optimizer), work.split(self.hold_out)
        return self.tune(work, step, data, optimizer, epochs=self.epochs, patience=self.patience)
