"""Adversarial neuron pruning."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from badnets.defenses.masks import Masks, clamp, prune_by_masks
from badnets.defenses.repair import REPAIRS, Work, kind_of
from badnets.defenses.tuning import descend, draw
from badnets.networks.capabilities import Capability


@kind_of(REPAIRS)
class Anp:
    """Find neurons whose disturbance makes clean pictures go wrong, and prune them.

    In each step noise on the neurons is drawn from [-eps, eps] and moved by eps in the direction of the sign of the
    gradient of the loss; then the masks m, in [0, 1] and 1 at first, take a step down
    ``alpha * loss(m) + (1 - alpha) * loss(m + noise)``. Neurons with low masks are pruned, by a threshold that clean
    accuracy on a hold-out fixes.

    Source: Wu, Wang, Adversarial Neuron Pruning Purifies Backdoored Deep Models (2021), equations 3 to 6, and the
    authors' optimize_mask_cifar.py: one inner step, weights times (m + noise), biases times (1 + noise).
    Differs from the paper: the threshold is the largest at which clean accuracy on a hold-out falls by at most
    ``allowance``, where the paper fixes it beforehand and ports pick it by attack success; 400 steps by default, where
    it takes 2,000; masks scale a channel's bias too, so that a pruned neuron is zero; networks without BatchNorm have
    masks on convolutions and hidden dense layers; BatchNorms are in evaluation mode, where the authors use the
    batch's own statistics, once with noise and once without.
    """

    needs_data: ClassVar[bool] = True
    needs: ClassVar[Capability] = Capability.SURGERY
    kind: Literal["anp"] = "anp"
    steps: Annotated[int, Field(ge=1, description="changes of the masks")] = 400
    batch: Annotated[int, Field(ge=2, description="pictures in one step")] = 128
    learning_rate: Annotated[float, Field(gt=0, description="of the masks, SGD with momentum 0.9")] = 0.2
    eps: Annotated[float, Field(ge=0, description="largest noise on a neuron, relative to its weights")] = 0.4
    alpha: Annotated[float, Field(ge=0, le=1, description="weight of the loss without noise")] = 0.2
    allowance: Annotated[float, Field(ge=0, le=1, description="clean accuracy that pruning may cost, a share")] = 0.01
    hold_out: Annotated[float, Field(gt=0, lt=1, description="share of the pictures to choose the threshold by")] = 0.2

    def repair(self, work: Work) -> str:
        """Learn the masks, then prune."""
        fit, held_out = work.split(self.hold_out)
        masks = Masks(work.network)
        optimizer = torch.optim.SGD(masks.values, lr=self.learning_rate, momentum=0.9)
        generator = torch.Generator().manual_seed(work.view.seed.derive("noise").integer)
        batches = draw(fit, self.batch, self.steps, work.view.seed.derive("batches"), work.network.device)
        for index, (images, labels) in enumerate(work.steps(batches)):
            noise = worst_noise(masks, images, labels, eps=self.eps, generator=generator)
            clean = functional.cross_entropy(masks(images), labels)
            noisy = functional.cross_entropy(masks(images, noise), labels)
            descend(optimizer, self.alpha * clean + (1 - self.alpha) * noisy, math.inf)
            clamp(masks.values)
            if (index + 1) % 50 == 0:
                losses = {"loss": round(clean.item(), 6), "disturbed_loss": round(noisy.item(), 6)}
                work.row(index + 1, self.steps, **losses)
        return prune_by_masks(work, masks.values, held_out, allowance=self.allowance)


def worst_noise(
    masks: Masks, images: Tensor, labels: Tensor, *, eps: float, generator: torch.Generator
) -> list[Tensor]:
    """Uniform noise in [-eps, eps], moved by eps up the sign of the loss's gradient (so it lies in [-2 eps, 2 eps])."""
    draws = [torch.rand(len(m), generator=generator).to(m.device) for m in (*masks.values, *masks.values)]
    noise = [((uniform * 2 - 1) * eps).requires_grad_() for uniform in draws]
    loss = functional.cross_entropy(masks(images, noise), labels)
    slopes = torch.autograd.grad(loss, noise, materialize_grads=True)  # a layer may have no bias
    return [part.detach() + eps * slope.sign() for part, slope in zip(noise, slopes, strict=True)]
