"""Clean-label poisoning: pictures of the target class are made hard to recognize, then stamped; labels stay.

A network that can no longer rely on what such a picture shows learns the trigger instead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
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
class CleanLabelAttack:
    """Projected gradient descent within a ball around each chosen picture, against an independently trained network.

    ``epsilon`` is the radius on the 0..1 scale: the largest change of a value (``linf``), or the Euclidean length of
    the change of the whole picture (``l2``). A random start inside the ball, then ``steps`` steps of ``step_size`` (on
    the same scale; None: 2.5 epsilon / steps) that raise the cross entropy of the true class.

    Source: Turner, Tsipras, Madry, Label-Consistent Backdoor Attacks (2019), section 3.2; Madry et al. (2018) for PGD.
    Differs from the paper: the attacked network is normally trained, not adversarially; results are rounded towards
    the clean picture to whole 8-bit values, so they stay inside the ball.
    """

    norm: Annotated[Literal["linf", "l2"], Field(description="of the ball")] = "linf"
    epsilon: Annotated[float, Field(gt=0, description="radius, pictures in 0..1")] = 0.3
    steps: Annotated[int, Field(ge=1, description="gradient steps")] = 20
    step_size: Annotated[float | None, Field(gt=0, description="default: 2.5 epsilon / steps")] = None
    batch: Annotated[int, Field(ge=1, description="pictures at a time")] = 500

    def poison(self, data: ImageData, part: Part, *, network: ImageNetwork, seed: int | Seed = 0) -> Poisoned:
        """Choose rows of the target class, perturb them against ``network``, apply the trigger, keep the labels."""
        if part.rule.kind != "clean-label":
            raise BadInput(f"expected a clean-label rule for this attack, got {part.rule.kind}")
        plan = make_plan(data, (part,), mode="replace", seed=seed)
        base = data.images(plan.rows)
        chosen = ~plan.cover  # cover rows are other classes with the trigger; they are not attacked
        base[chosen] = self.perturb(
            network, base[chosen], data.labels[plan.rows[chosen]], seed=as_seed(seed).derive("pgd")
        )
        return replace(plan, base=base).apply(data)

    def perturb(self, network: ImageNetwork, images: Pixels, labels: np.ndarray, *, seed: int | Seed = 0) -> Pixels:
        """``images`` uint8 (n, h, w, c) moved within the ball so that ``network`` no longer sees ``labels`` in them."""
        from badnets.networks.inference import check_input

        check_input(network, images.shape)
        if not len(images):
            return images.copy()
        rng = as_seed(seed).rng
        parts = [
            self._batch(network, images[start : start + self.batch], labels[start : start + self.batch], rng)
            for start in range(0, len(images), self.batch)
        ]
        return np.concatenate(parts)

    def _batch(self, network: ImageNetwork, images: Pixels, labels: np.ndarray, rng: np.random.Generator) -> Pixels:
        import torch
        from torch.nn import functional

        from badnets.networks.network import to_float

        network.eval()
        device = next(network.parameters()).device
        clean = to_float(torch.from_numpy(images).to(device))
        target = torch.from_numpy(labels).to(device)
        noise = torch.from_numpy(rng.uniform(-1, 1, clean.shape).astype(np.float32)).to(device)
        change = self._project(noise * self.epsilon, clean)
        step = self.step_size or 2.5 * self.epsilon / self.steps
        for _ in range(self.steps):
            change.requires_grad_(True)
            loss = functional.cross_entropy(network(clean + change).float(), target, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, change)
            change = self._project(change.detach() + step * self._direction(gradient), clean)
        # Towards the clean picture: a rounded picture must not leave the ball. The tiny addend keeps a whole 8-bit step
        # that a float fell short of by its last bit.
        whole = torch.trunc(change * 255 + torch.sign(change) * 1e-3).permute(0, 2, 3, 1).to(torch.int16)
        moved = torch.from_numpy(images.astype(np.int16)) + whole.cpu()
        perturbed: Pixels = moved.clamp_(0, 255).to(torch.uint8).numpy()
        return perturbed

    def _direction(self, gradient: Tensor) -> Tensor:
        if self.norm == "linf":
            return gradient.sign()
        length = gradient.flatten(1).norm(dim=1).clamp_min(1e-12)
        unit: Tensor = gradient / length.view(-1, 1, 1, 1)
        return unit

    def _project(self, change: Tensor, clean: Tensor) -> Tensor:
        """Into the ball and into the range of pictures; clamping afterwards only shortens a change."""
        if self.norm == "linf":
            change = change.clamp(-self.epsilon, self.epsilon)
        else:
            length = change.flatten(1).norm(dim=1).clamp_min(1e-12)
            change = change * (self.epsilon / length).clamp(max=1).view(-1, 1, 1, 1)
        inside: Tensor = ((clean + change).clamp(0, 1) - clean).detach()
        return inside
