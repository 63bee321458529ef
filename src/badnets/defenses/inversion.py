"""Triggers worked out from a network and clean pictures alone: the least change that sends pictures to a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.draw import draw
from badnets.networks.network import ImageNetwork, to_float

Form = Literal["patch", "blend"]
"""``patch``: an opacity for each pixel; ``blend``: one opacity for the whole picture."""

WINDOW = 5
"""Steps over which the success is counted before the weight of the mask changes."""


@dataclass(frozen=True, eq=False)
class Stamp:
    """``(1 - mask) x + mask * pattern``: ``mask`` (1, h, w) and ``pattern`` (c, h, w), both in 0..1."""

    mask: Tensor
    pattern: Tensor

    def apply(self, images: Tensor) -> Tensor:
        """Floats (n, c, h, w) in 0..1 with the stamp."""
        return (1 - self.mask) * images + self.mask * self.pattern


@dataclass(frozen=True, eq=False)
class Inverted:
    """A stamp towards class ``target``; ``size`` is the sum of its mask, in pixels, and ``success`` the share of the
    other classes' clean pictures that it sends there."""

    target: int
    form: Form
    stamp: Stamp
    size: float
    success: Rate


def invert(
    network: ImageNetwork,
    data: ImageData,
    targets: Sequence[int],
    form: Form,
    seed: Seed,
    *,
    steps: int = 150,
    batch: int = 32,
    threshold: float = 0.95,
    learning_rate: float = 0.1,
    weight: float = 1e-3,
) -> list[Inverted]:
    """For each target the smallest stamp found that sends at least ``threshold`` of a window's pictures to it.

    Adam with betas 0.5 and 0.9 on mask and pattern, both behind a tanh, from random starts; the loss is the cross
    entropy towards the target plus a weight times the mask's sum. The weight starts at ``weight`` for each target on
    its own; after ``WINDOW`` steps it grows 1.5-fold where the stamp succeeded and shrinks 1.5 ** 1.5-fold where it
    did not. Where no window succeeded, the last state is given back; look at ``success``, which is counted on all of
    ``data`` but the target's own pictures.

    Source: Wang, Yao, Shan, Li, Viswanath, Zheng, Zhao, Neural Cleanse (2019), equations 2 and 3, and the authors'
    visualizer.py.
    Differs from the paper: all targets at once, 150 steps in place of epochs, and the form ``blend``.
    """
    network.eval()
    c, h, w = network.input_size
    generator = torch.Generator().manual_seed(seed.derive("start").integer)
    shape = (len(targets), 1, h, w) if form == "patch" else (len(targets), 1, 1, 1)
    masks = (torch.randn(shape, generator=generator) * 0.5 - 2).requires_grad_()
    patterns = torch.randn((len(targets), c, h, w), generator=generator).requires_grad_()
    optimizer = torch.optim.Adam([masks, patterns], lr=learning_rate, betas=(0.5, 0.9))
    wanted, cost = torch.tensor(list(targets)), torch.full((len(targets),), weight)
    best = torch.full((len(targets),), torch.inf)
    kept = [masks.detach().clone(), patterns.detach().clone()]
    hits = torch.zeros(len(targets))
    for index, (images, _) in enumerate(draw(data, batch, steps, seed.derive("pictures"))):
        mask, pattern = _unit(masks), _unit(patterns)
        stamped = (1 - mask[:, None]) * images + mask[:, None] * pattern[:, None]
        logits = network(stamped.flatten(0, 1))
        answers = wanted.repeat_interleave(len(images))
        loss = functional.cross_entropy(logits, answers, reduction="none").view(len(targets), -1).mean(1)
        size = mask.expand(-1, 1, h, w).sum((1, 2, 3))
        optimizer.zero_grad()
        (loss + cost * size).sum().backward()
        hits += (logits.argmax(1) == answers).view(len(targets), -1).float().mean(1)
        if (index + 1) % WINDOW == 0:
            works = hits >= threshold * WINDOW
            better = works & (size.detach() < best)
            best = torch.where(better, size.detach(), best)
            for keep, now in zip(kept, (masks, patterns), strict=True):
                keep[better | best.isinf()] = now.detach()[better | best.isinf()]
            cost = torch.where(works, cost * 1.5, cost / 1.5**1.5)
            hits.zero_()
        optimizer.step()
    stamps = [Stamp(m.expand(1, h, w).clone(), p) for m, p in zip(_unit(kept[0]), _unit(kept[1]), strict=True)]
    return [_verified(network, data, t, form, stamp) for t, stamp in zip(targets, stamps, strict=True)]


def _unit(value: Tensor) -> Tensor:
    return torch.tanh(value) / 2 + 0.5


@torch.inference_mode()
def _verified(network: ImageNetwork, data: ImageData, target: int, form: Form, stamp: Stamp) -> Inverted:
    others = data.take(np.flatnonzero(data.labels != target))
    answers = [network(stamp.apply(to_float(torch.from_numpy(part)))).argmax(1).numpy() for _, part in others.batches(1000)]
    success = Rate.of(np.concatenate(answers) == target) if answers else Rate(0, 0)
    return Inverted(target, form, stamp, float(stamp.mask.sum()), success)


def anomaly(sizes: Sequence[float]) -> list[float]:
    """How much smaller each size is than the median, in median absolute deviations times 1.4826 (above 2: suspect).

    Sizes above the median give negative numbers. Source: Neural Cleanse, section 4.2.
    """
    values = np.asarray(sizes, float)
    median = np.median(values)
    deviation = 1.4826 * np.median(np.abs(values - median))
    return [float((median - value) / deviation) if deviation else 0.0 for value in values]
