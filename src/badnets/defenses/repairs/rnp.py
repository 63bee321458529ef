"""Reconstructive neuron pruning."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from badnets.data.images import ImageData
from badnets.defenses.masks import Masks, clamp, prune_by_masks
from badnets.defenses.repair import REPAIRS, Work, kind_of
from badnets.defenses.tuning import descend, draw, sgd
from badnets.networks.capabilities import Capability
from badnets.networks.network import ImageNetwork


@kind_of(REPAIRS)
class Rnp:
    """Make a copy forget the clean task, let masks bring the task back, and prune the neurons they switch off.

    First a copy's loss on clean pictures is raised, until its accuracy on them is at most ``forget``; then masks on its
    neurons, in [0, 1] and 1 at first, learn to lower the loss again. In the network itself the neurons with low masks
    are pruned, by a threshold that clean accuracy on a hold-out fixes.

    Source: Li, Lyu, Ma, Koren, Lyu, Li, Jiang, Reconstructive Neuron Pruning for Backdoor Defense (2023), equations 2
    to 4, and the authors' main.py.
    Differs from the paper: the threshold is the largest at which clean accuracy on a hold-out falls by at most
    ``allowance``, where the authors' code prints a table with the attack success to choose from; gradients are clipped
    after they are computed (their code clips the ones of the step before); all clean pictures at hand are used, where
    it takes 500; masks scale a channel's bias too, so that a pruned neuron is zero; networks without BatchNorm have
    masks on convolutions and hidden dense layers; masks learn with BatchNorms in evaluation mode.
    """

    needs_data: ClassVar[bool] = True
    needs: ClassVar[Capability] = Capability.SURGERY
    kind: Literal["rnp"] = "rnp"
    forget: Annotated[float, Field(gt=0, lt=1, description="clean accuracy at which forgetting ends, a share")] = 0.2
    forget_epochs: Annotated[int, Field(ge=1, description="most passes to forget in")] = 20
    forget_rate: Annotated[float, Field(gt=0, description="learning rate of forgetting, SGD with momentum 0.9")] = 0.01
    epochs: Annotated[int, Field(ge=1, description="passes in which the masks learn")] = 20
    learning_rate: Annotated[float, Field(gt=0, description="of the masks, SGD with momentum 0.9")] = 0.2
    alpha: Annotated[float, Field(gt=0, description="weight of the masks' loss")] = 0.2
    batch: Annotated[int, Field(ge=2, description="pictures in one step")] = 128
    allowance: Annotated[float, Field(ge=0, le=1, description="clean accuracy that pruning may cost, a share")] = 0.01
    hold_out: Annotated[float, Field(gt=0, lt=1, description="share of the pictures to choose the threshold by")] = 0.2

    def repair(self, work: Work) -> str:
        """Forget in a copy, learn masks on it, prune the network."""
        fit, held_out = work.split(self.hold_out)
        forgetful = copy.deepcopy(work.network)
        self._forget(work, forgetful, fit)
        masks = Masks(forgetful)
        optimizer = torch.optim.SGD(masks.values, lr=self.learning_rate, momentum=0.9)
        for epoch in range(self.epochs):
            loss = torch.zeros(())
            for images, labels in self._pass(work, fit, "recover", epoch):
                loss = functional.cross_entropy(masks(images), labels)
                descend(optimizer, self.alpha * loss, math.inf)
                clamp(masks.values)
            work.row(self.forget_epochs + epoch + 1, self.forget_epochs + self.epochs, loss=round(loss.item(), 6))
        return prune_by_masks(work, masks.values, held_out, allowance=self.allowance)

    def _forget(self, work: Work, network: ImageNetwork, fit: ImageData) -> None:
        optimizer = sgd(network, self.forget_rate, decay=5e-4)
        for epoch in range(self.forget_epochs):
            right = seen = 0
            network.train()
            for images, labels in self._pass(work, fit, "forget", epoch):
                logits = network(images)
                right += int((logits.argmax(1) == labels).sum())
                seen += len(labels)
                descend(optimizer, -functional.cross_entropy(logits, labels), clip=20)
            network.eval()
            share, total = right / seen, self.forget_epochs + self.epochs
            work.row(epoch + 1, total, forgetting=epoch + 1, fit_accuracy=round(share, 4))
            if share <= self.forget:
                return

    def _pass(self, work: Work, fit: ImageData, name: str, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        stream = work.view.seed.derive(name, epoch)
        return work.steps(draw(fit, self.batch, max(1, len(fit) // self.batch), stream, work.network.device))
