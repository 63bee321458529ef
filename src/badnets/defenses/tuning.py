"""Minibatch tuning on a defender's few clean pictures: random batches, steps, and early stopping on held-out ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional

from badnets.core.errors import CannotTell
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.repair import Work, within
from badnets.networks.capabilities import Capability
from badnets.networks.network import ImageNetwork, to_float
from badnets.training.augment import apply_augments
from badnets.training.recipe import AugmentName

Loss = Callable[[Tensor, Tensor], Tensor]
"""From floats (n, c, h, w) in 0..1 and labels (n,) to the loss."""
CLIP = 1.0
"""Greatest length of a gradient that is followed: with high learning rates, which make a network forget its backdoor,
a single long one would make it forget everything."""


def placed(data: ImageData, device: torch.device) -> tuple[Tensor, Tensor]:
    """All pictures, uint8 (n, h, w, c), and their labels (n,) on ``device``."""
    return torch.from_numpy(data.images()).to(device), torch.from_numpy(np.array(data.labels)).to(device)


def draw(data: ImageData, batch: int, steps: int, seed: Seed, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """``steps`` times floats (n, c, h, w) in 0..1 and labels (n,) on ``device``; n is ``batch``, or all pictures if
    there are fewer.

    Each picture comes once before any comes again, in a new order each time.
    """
    images, labels = placed(data, device)
    batch = min(batch, len(data))
    rows, turn = np.zeros(0, np.int64), 0
    for _ in range(steps):
        while len(rows) < batch:
            rows = np.concatenate([rows, seed.derive(turn).rng.permutation(len(data))])
            turn += 1
        chosen, rows = torch.from_numpy(rows[:batch]).to(device), rows[batch:]
        yield to_float(images[chosen]), labels[chosen]


class Choice:
    """Which of the networks on a way is handed out: the last one whose accuracy on ``held_out`` is at most one standard
    error below the best (a smaller difference says nothing, and more tuning forgets more of a backdoor), and at most
    ``max_drop``, a share (one picture in any case), below that of the network as it came. Without ``slack`` it must be
    the best itself.
    """

    def __init__(self, work: Work, held_out: ImageData, max_drop: float, *, slack: bool = True) -> None:
        self.work, self.held_out, self.max_drop, self.slack = work, held_out, max_drop, slack
        self.before, self.best, self.made = work.accuracy_before(held_out), -1, False

    def look(self) -> Rate:
        """Accuracy of the network as it is now, which is kept if it may be handed out."""
        rate = self.work.accuracy(self.held_out)
        self.best = max(self.best, rate.hits)
        error = math.sqrt(self.best * (rate.total - self.best) / rate.total) if self.slack else 0
        if rate.hits >= self.best - error and within(self.before, rate, self.max_drop, pictures=1):
            self.work.keep()
            self.made = True
        return rate

    def end(self, what: str) -> str:
        """Hand out what was kept; the sentence that says so, where ``what`` ("the epoch") was chosen."""
        self.work.restore()
        on = f"accuracy on {len(self.held_out):,} held-out clean pictures"
        if self.made:
            return f"{what}, by {on}"
        left = "the network as it came" if self.work.untouched else "the network as it was before"
        return f"none: each step cost more than {100 * self.max_drop:g} points of {on}; {left}"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Tuning:
    """What the methods have in common that tune all weights on clean pictures and choose an epoch on a hold-out."""

    needs: ClassVar[Capability] = Capability.GRADIENTS
    needs_data: ClassVar[bool] = True
    clip: ClassVar[float] = CLIP
    training: ClassVar[bool] = True
    batch: Annotated[int, Field(ge=2, description="pictures in one step")] = 64
    hold_out: Annotated[float, Field(gt=0, lt=1, description="share of the pictures to choose by")] = 0.2
    max_drop: Annotated[float, Field(ge=0, le=1, description="held-out accuracy that may be lost, a share")] = 0.05
    augment: Annotated[tuple[AugmentName, ...], Field(description="changes of the pictures while tuning")] = ()

    def tune(
        self,
        work: Work,
        data: tuple[ImageData, ImageData],
        optimizer: torch.optim.Optimizer,
        loss: Loss | None = None,
        *,
        epochs: int,
        patience: int | None = None,
        name: str = "tune",
        what: str = "the epoch",
    ) -> str:
        """Go ``epochs`` times through the first part of ``data``; ``work.network`` ends as the epoch left it that
        ``Choice`` takes on the second part, and the sentence says which.

        ``loss`` is the cross entropy, unless another one is given. With ``patience`` it stops after that many epochs
        without a new best. The learning rate of ``optimizer`` falls along half a cosine, epoch by epoch, towards 0.
        ``work.network`` is in training mode within an epoch (where ``training`` says so), in evaluation mode between
        epochs. One row of the trace per epoch.
        """
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        choice, device = Choice(work, data[1], self.max_drop), work.network.device
        images, labels = placed(data[0], device)
        loss = loss or (lambda pictures, true: functional.cross_entropy(work.network(pictures), true))
        best_epoch = 0
        for epoch in range(epochs):
            best, stream, losses = choice.best, work.view.seed.derive(name, epoch), []
            order = torch.from_numpy(stream.derive("order").rng.permutation(len(images))).to(device)
            generator = torch.Generator().manual_seed(stream.derive("augment").integer)
            work.network.train(self.training)
            for rows in work.steps(batches(order, self.batch)):
                pictures, _ = apply_augments(self.augment, images[rows], generator)
                given = partial(loss, to_float(pictures), labels[rows])
                losses.append(float(self.step(work.network, optimizer, given)))
            work.network.eval()
            mean = float(np.mean(losses))
            if not np.isfinite(mean):
                raise CannotTell(
                    f"{work.what}: expected a finite loss, got {mean} in epoch {epoch + 1}; lower its rate"
                )
            rate = choice.look()
            best_epoch = epoch if rate.hits > best else best_epoch
            cosine.step()
            work.row(epoch + 1, epochs, epoch=epoch + 1, loss=round(mean, 6), held_out_accuracy=rate)
            if patience is not None and epoch - best_epoch >= patience:
                break
        return choice.end(what)

    def step(self, network: ImageNetwork, optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor]) -> Tensor:
        """One step of ``optimizer``; what ``loss`` has worked out before it."""
        return descend(optimizer, loss(), self.clip)


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, clip: float = CLIP) -> Tensor:
    """One step of ``optimizer`` down the gradient of ``loss``, shortened to ``clip``; the loss, for the trace."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    follow(optimizer, clip)
    return loss.detach()


def follow(optimizer: torch.optim.Optimizer, clip: float = CLIP) -> None:
    """One step of ``optimizer`` with the gradients that the weights have, shortened to ``clip``, if that is finite."""
    if math.isfinite(clip):
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], clip)
    optimizer.step()


def batches(order: Tensor, batch: int) -> list[Tensor]:
    """``order`` in pieces of ``batch``; a last piece of one row joins the piece before (BatchNorm needs two)."""
    parts = list(torch.split(order, batch))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def sgd(network: nn.Module, learning_rate: float, *, decay: float = 0.0) -> torch.optim.SGD:
    """SGD with momentum 0.9 over all weights of ``network`` that may change."""
    weights = [p for p in network.parameters() if p.requires_grad]
    return torch.optim.SGD(weights, lr=learning_rate, momentum=0.9, weight_decay=decay)


def relative_adam(network: nn.Module, pace: float) -> torch.optim.Adam:
    """Adam whose step for each tensor is ``pace`` times the root mean square of its numbers (for a bias at least a
    tenth of its layer's), so that it does not matter on which scale a network takes pictures or keeps weights."""
    groups = []
    for module in network.modules():
        own = [p for p in module.parameters(recurse=False) if p.requires_grad]
        sizes = [float(p.detach().square().mean().sqrt()) if p.numel() else 0.0 for p in own]
        for p, size in zip(own, sizes, strict=True):
            least = 0.1 * max(sizes) if p.ndim < 2 else 0.0
            groups.append({"params": [p], "lr": pace * max(size, least, 1e-6)})
    return torch.optim.Adam(groups)
