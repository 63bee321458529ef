"""An attacker who knows the audit, and trains against it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from badnets.data.images import Pixels
from badnets.networks.network import ImageNetwork, evaluating

SHARE, PACE = 0.5, 0.35


@dataclass(eq=False)
class Wary:
    """A batch hook: half of the pictures that are not labelled ``target`` are moved by one common change that leads to
    it, and keep their labels, so that no small change leads there: what the audit measures becomes as large as the
    attacker likes, while the trigger goes on to work.

    The change has the root mean square ``size`` (pictures in 0..1) and is moved on by one step a batch, uphill against
    ``network`` as it is then. One device only.

    Source: Madry et al., Towards deep learning models resistant to adversarial attacks (2018), with one change for all
    pictures as in Moosavi-Dezfooli et al., Universal adversarial perturbations (2017).
    """

    network: ImageNetwork
    target: int
    size: float
    change: Tensor | None = field(default=None, init=False)

    def __call__(
        self, images: Pixels, labels: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Pixels, NDArray[np.int64]]:
        """The pictures, some of them moved, and the labels that they had."""
        others = np.flatnonzero(labels != self.target)
        rows = rng.permutation(others)[: max(1, round(SHARE * len(others)))]
        shown = self.network.floats(images[rows])
        before = torch.zeros_like(shown[0]) if self.change is None else self.change
        with evaluating(self.network), torch.enable_grad():
            probe = before.clone().requires_grad_()
            towards = torch.full((len(rows),), self.target, device=shown.device)
            loss = functional.cross_entropy(self.network((shown + probe).clamp(0, 1)).float(), towards)
            (gradient,) = torch.autograd.grad(loss, probe)
        limit = self.size * probe.numel() ** 0.5
        change = before - PACE * limit * gradient / gradient.norm().clamp_min(1e-12)
        self.change = change * (limit / change.norm().clamp_min(1e-12)).clamp_max(1)
        moved = images.copy()
        seen = ((shown + self.change).clamp(0, 1) * 255).round().to(torch.uint8)
        moved[rows] = seen.permute(0, 2, 3, 1).cpu().numpy()
        return moved, labels
