"""Neural mask fine-tuning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from badnets.defenses.masks import Masks, apply_masks, clamp
from badnets.defenses.repair import REPAIRS, Work, kind_of
from badnets.defenses.tuning import Choice, descend, draw
from badnets.networks.capabilities import Capability


@kind_of(REPAIRS)
class Nft:
    """Train one mask for each neuron, and nothing else, on mixed clean pictures.

    Pictures and labels of a batch are mixed with those of the same batch in another order (MixUp). The loss is the
    cross entropy of the mixture plus ``regularizer / (pictures per class)`` times the sum of |1 - mask|. After each
    step the masks of layer l = 1, 2, ... are kept in [floor * exp(-decay * l), 1]. At the end they scale the weights.

    Source: Karim, Al Arafat, Khalid, Guo, Rahnavard, Augmented Neural Fine-Tuning for Efficient Backdoor Purification
    (2024), equations 5 to 8, and the authors' Remove_Backdoor.py.
    Differs from the paper: the best of ten points of the way is kept by clean accuracy on a hold-out (a later one wins
    a tie); masks scale a channel's bias too; networks without BatchNorm have masks on convolutions and hidden dense
    layers; BatchNorms are in evaluation mode.
    """

    needs_data: ClassVar[bool] = True
    needs: ClassVar[Capability] = Capability.SURGERY
    kind: Literal["nft"] = "nft"
    steps: Annotated[int, Field(ge=1, description="changes of the masks")] = 1000
    batch: Annotated[int, Field(ge=2, description="pictures in one step")] = 128
    learning_rate: Annotated[float, Field(gt=0, description="SGD with momentum 0.95; falls to 0.02, cosine")] = 0.05
    regularizer: Annotated[float, Field(ge=0, description="weight of the distance of the masks from 1")] = 0.001
    floor: Annotated[float, Field(ge=0, le=1, description="how low a mask may go, before the decay")] = 0.8
    decay: Annotated[float, Field(ge=0, description="deeper layers' masks may go lower by exp(-decay)")] = 0.5
    hold_out: Annotated[float, Field(gt=0, lt=1, description="share of the pictures to stop by")] = 0.2
    max_drop: Annotated[float, Field(ge=0, le=1, description="held-out accuracy that may be lost, a share")] = 0.05

    def repair(self, work: Work) -> str:
        """Learn the masks and scale the weights with them."""
        fit, held_out = work.split(self.hold_out)
        masks = Masks(work.network)
        original = {name: value.clone() for name, value in work.network.state_dict().items()}
        optimizer = torch.optim.SGD(masks.values, lr=self.learning_rate, momentum=0.95)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps, min(0.02, self.learning_rate))
        weight = self.regularizer * work.view.network.classes / len(fit)
        stream, look = work.view.seed, max(1, self.steps // 10)
        choice = Choice(work, held_out, self.max_drop, slack=False)
        rng = stream.derive("mix").rng
        batches = work.steps(draw(fit, self.batch, self.steps, stream.derive("batches"), work.network.device))
        for index, (images, labels) in enumerate(batches):
            share, order = float(rng.beta(1, 1)), torch.from_numpy(rng.permutation(len(labels))).to(labels.device)
            mixed, other = mix_up(images, labels, share, order)
            logits = masks(mixed)
            loss = share * functional.cross_entropy(logits, labels)
            loss = loss + (1 - share) * functional.cross_entropy(logits, other) + weight * distance(masks.values)
            descend(optimizer, loss, math.inf)
            schedule.step()
            clamp(masks.values, self.floor, self.decay)
            if (index + 1) % look == 0:
                apply_masks(masks.layers, masks.values)
                rate = choice.look()
                work.network.load_state_dict(original)
                work.row(index + 1, self.steps, loss=round(float(loss.detach()), 6), held_out_accuracy=rate)
        return choice.end("the masks")


def mix_up(images: Tensor, labels: Tensor, share: float, order: Tensor) -> tuple[Tensor, Tensor]:
    """``share`` of each picture and the rest of the one that ``order`` puts beside it; that one's label."""
    return share * images + (1 - share) * images[order], labels[order]


def distance(masks: Sequence[Tensor]) -> Tensor:
    """The sum of |1 - mask| over all neurons."""
    return torch.stack([(1 - mask).abs().sum() for mask in masks]).sum()
