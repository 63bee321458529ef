"""Minibatch tuning on a defender's few clean pictures, with early stopping on held-out ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from badnets.core.errors import CannotTell
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.repair import Work
from badnets.networks.network import to_float
from badnets.training.augment import apply_augments
from badnets.training.recipe import AugmentName

Step = Callable[[Tensor, Tensor], Tensor]
"""From floats (n, c, h, w) in 0..1 and labels (n,) to the loss, after having changed the weights."""


CLIP = 1.0
"""Greatest length of a gradient that is followed: with high learning rates, which make a network forget its backdoor,
a single long one would make it forget everything."""


def tune(
    work: Work,
    step: Step,
    fit: ImageData,
    held_out: ImageData,
    *,
    epochs: int,
    batch: int,
    augment: Sequence[AugmentName] = (),
    patience: int | None = None,
    anneal: torch.optim.Optimizer | None = None,
    name: str = "tune",
) -> None:
    """Go ``epochs`` times through ``fit`` with ``step``; ``work.network`` ends as the chosen epoch left it.

    The chosen epoch is the last one whose accuracy on ``held_out`` is at most one standard error below the best: a
    smaller difference says nothing, and more tuning forgets more of a backdoor. The untuned network is no candidate.
    With ``patience`` it stops after that many epochs without a new best. The learning rate of ``anneal`` falls along
    half a cosine, epoch by epoch, towards 0. ``work.network`` is in training mode within an epoch, in evaluation mode
    between epochs. One row of the trace per epoch.
    """
    cosine = None if anneal is None else torch.optim.lr_scheduler.CosineAnnealingLR(anneal, epochs)
    images, labels = torch.from_numpy(fit.images()), torch.from_numpy(np.array(fit.labels))
    best, best_epoch = -1, 0
    for epoch in range(epochs):
        stream = work.view.seed.derive(name, epoch)
        work.network.train()
        loss = _pass(step, images, labels, batch, augment, stream)
        work.network.eval()
        if not np.isfinite(loss):
            raise CannotTell(f"{work.what}: expected a finite loss, got {loss} in epoch {epoch + 1}; lower its rate")
        rate = work.accuracy(held_out)
        if rate.hits > best:
            best, best_epoch = rate.hits, epoch
        if rate.hits >= best - standard_error(best, rate.total):
            work.keep()
        if cosine is not None:
            cosine.step()
        work.row(epoch + 1, epochs, epoch=epoch + 1, loss=round(loss, 6), held_out_accuracy=rate)
        if patience is not None and epoch - best_epoch >= patience:
            break
    work.restore()


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    """One step of ``optimizer`` down the gradient of ``loss``, shortened to ``CLIP``; the loss, for the trace."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    follow(optimizer)
    return loss.detach()


def follow(optimizer: torch.optim.Optimizer) -> None:
    """One step of ``optimizer`` with the gradients that the weights have, shortened to ``CLIP``."""
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], CLIP)
    optimizer.step()


def epochs_of(steps: int, pictures: int, batch: int) -> int:
    """The epochs in which ``steps`` batches of ``pictures`` are done."""
    return math.ceil(steps / math.ceil(pictures / batch))


def standard_error(hits: int, total: int) -> float:
    """Of ``hits`` among ``total``, as a number of pictures."""
    return math.sqrt(hits * (total - hits) / total)


def _pass(
    step: Step, images: Tensor, labels: Tensor, batch: int, augment: Sequence[AugmentName], stream: Seed
) -> float:
    """One epoch; the mean loss. A last batch of one picture joins the one before (BatchNorm needs two)."""
    order = torch.from_numpy(stream.derive("order").rng.permutation(len(images)))
    generator = torch.Generator().manual_seed(stream.derive("augment").integer)
    losses = []
    for rows in batches(order, batch):
        pictures, _ = apply_augments(augment, images[rows], generator)
        losses.append(float(step(to_float(pictures), labels[rows]).detach()))
    return float(np.mean(losses))


def batches(order: Tensor, batch: int) -> list[Tensor]:
    """``order`` in pieces of ``batch``; a last piece of one row joins the piece before."""
    parts = list(torch.split(order, batch))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def sgd(network: nn.Module, learning_rate: float, *, momentum: float = 0.9, decay: float = 0.0) -> torch.optim.SGD:
    """SGD over all weights of ``network`` that may change."""
    return torch.optim.SGD(
        [p for p in network.parameters() if p.requires_grad], lr=learning_rate, momentum=momentum, weight_decay=decay
    )
