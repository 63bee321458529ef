"""Projected gradient descent: the strongest change in a small ball; adversarial training and clean labels with it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.backdoors.plan import Part, Poisoned, make_plan
from badnets.core.errors import BadInput
from badnets.core.seed import Seed, as_seed
from badnets.data.images import ImageData, Pixels

if TYPE_CHECKING:
    from torch import Tensor

    from badnets.networks.network import ImageNetwork


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class PGD:
    """Steps that raise the cross entropy of the true class, kept within a ball around each picture.

    ``epsilon`` is the radius on the 0..1 scale: the largest change of a value (``linf``), or the Euclidean length of
    the change of the whole picture (``l2``). A random start inside the ball (or the picture itself), then ``steps``
    steps of ``step_size`` (on the same scale; None: 2.5 epsilon / steps).

    Source: Madry, Makelov, Schmidt, Tsipras, Vladu, Towards Deep Learning Models Resistant to Adversarial Attacks
    (2018), section 2. Differs from the paper: results are rounded towards the clean picture to whole 8-bit values, so
    they stay inside the ball.
    """

    norm: Annotated[Literal["linf", "l2"], Field(description="of the ball")] = "linf"
    epsilon: Annotated[float, Field(gt=0, description="radius, pictures in 0..1")] = 0.3
    steps: Annotated[int, Field(ge=1, description="gradient steps")] = 20
    step_size: Annotated[float | None, Field(gt=0, description="default: 2.5 epsilon / steps")] = None
    random_start: Annotated[bool, Field(description="begin at a random point of the ball, not at the picture")] = True
    batch: Annotated[int, Field(ge=1, description="pictures at a time")] = 500

    def perturb(self, network: ImageNetwork, images: Pixels, labels: np.ndarray, *, seed: int | Seed = 0) -> Pixels:
        """``images`` uint8 (n, h, w, c) moved within the ball so that ``network`` no longer sees ``labels`` in them."""
        from badnets.networks.inference import check_input

        check_input(network, images.shape)
        rng = as_seed(seed).rng
        parts = [slice(start, start + self.batch) for start in range(0, len(images), self.batch)]
        return np.concatenate([images[:0], *(self._batch(network, images[p], labels[p], rng) for p in parts)])

    def _batch(self, network: ImageNetwork, images: Pixels, labels: np.ndarray, rng: np.random.Generator) -> Pixels:
        import torch
        from torch.nn import functional

        from badnets.networks.device import within_memory
        from badnets.networks.network import evaluating

        clean = network.floats(images)
        target = torch.from_numpy(labels).to(clean.device)
        change = torch.zeros_like(clean)
        if self.random_start:
            noise = torch.from_numpy(rng.uniform(-1, 1, clean.shape).astype(np.float32)).to(clean.device)
            change = self._inside(noise * self.epsilon, clean)
        step = self.step_size or 2.5 * self.epsilon / self.steps
        with evaluating(network), within_memory(clean.device, "how many pictures are changed together (batch)"):
            for _ in range(self.steps):
                change.requires_grad_(True)
                loss = functional.cross_entropy(network(clean + change).float(), target, reduction="sum")
                (gradient,) = torch.autograd.grad(loss, change)
                direction = gradient.sign() if self.norm == "linf" else gradient / _lengths(gradient)
                change = self._inside(change.detach() + step * direction, clean)
        # Towards the clean picture: a rounded picture must not leave the ball. The tiny addend keeps a whole 8-bit step
        # that a float fell short of by its last bit.
        whole = torch.trunc(change * 255 + torch.sign(change) * 1e-3).permute(0, 2, 3, 1).to(torch.int16)
        moved = torch.from_numpy(images.astype(np.int16)) + whole.cpu()
        perturbed: Pixels = moved.clamp_(0, 255).to(torch.uint8).numpy()
        return perturbed

    def _inside(self, change: Tensor, clean: Tensor) -> Tensor:
        """Into the ball and into the range of pictures; clamping afterwards only shortens a change."""
        if self.norm == "linf":
            change = change.clamp(-self.epsilon, self.epsilon)
        else:
            change = change * (self.epsilon / _lengths(change)).clamp(max=1)
        inside: Tensor = ((clean + change).clamp(0, 1) - clean).detach()
        return inside


def _lengths(change: Tensor) -> Tensor:
    """Euclidean, of each picture (n, c, h, w), as (n, 1, 1, 1)."""
    lengths: Tensor = change.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
    return lengths


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class AdversarialTraining:
    """A batch hook for training: every picture of the batch is moved by ``pgd`` against ``network`` as it is then.

    Source: Madry et al. (2018), section 2.1. One device only: each of several would attack a copy of its own.
    """

    network: Any
    pgd: PGD

    def __call__(
        self, images: Pixels, labels: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Pixels, NDArray[np.int64]]:
        """The moved pictures with the labels that they had."""
        return self.pgd.perturb(self.network, images, labels, seed=int(rng.integers(1 << 62))), labels


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class CleanLabelAttack(PGD):
    """PGD around each chosen picture of the target class, against an independently trained network, the surrogate; then
    the trigger.

    With ``adversarial`` the surrogate is trained adversarially: on pictures that this PGD moved against it a moment
    before (all of every batch). What fools such a network carries over to others.

    Source: Turner, Tsipras, Madry, Label-Consistent Backdoor Attacks (2019), section 3.2; Madry et al. (2018) for
    adversarial training. Differs from the paper: the surrogate is normally trained unless ``adversarial`` is given.
    """

    adversarial: Annotated[
        PGD | None, Field(description="train the surrogate against this; default: on clean ones")
    ] = None

    def poison(self, data: ImageData, part: Part, *, network: ImageNetwork, seed: int | Seed = 0) -> Poisoned:
        """Choose rows of the target class, perturb them against ``network``, apply the trigger, keep the labels: who
        can no longer rely on what such a picture shows learns the trigger instead."""
        if part.rule.kind != "clean-label":
            raise BadInput(f"expected a clean-label rule for this attack, got {part.rule.kind}")
        plan = make_plan(data, (part,), mode="replace", seed=seed)
        base = data.images(plan.rows)
        chosen = ~plan.cover  # cover rows are other classes with the trigger; they are not attacked
        labels = data.labels[plan.rows[chosen]]
        base[chosen] = self.perturb(network, base[chosen], labels, seed=as_seed(seed).derive("pgd"))
        return replace(plan, base=base).apply(data)
