"""Triggers worked out from a network and clean pictures alone: the least change that sends pictures to a class."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
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

AT_ONCE = 3 << 19
"""Numbers in the pictures of one pass, at most, whatever the number of targets: 512 pictures of 32x32 in color."""

JUDGES = 500
"""Pictures, at most, on which a stamp's success is counted in the end."""


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
    check: Callable[[], None] = lambda: None,
) -> Iterator[Inverted]:
    """For each target the smallest stamp found that sends at least ``threshold`` of a window's pictures to it.

    Adam with betas 0.5 and 0.9 on mask and pattern, both behind a tanh, from random starts; the loss is the cross
    entropy towards the target plus a weight times the mask's sum. The weight starts at ``weight`` for each target on
    its own; after ``WINDOW`` steps it grows 1.5-fold where the stamp succeeded and shrinks 1.5 ** 1.5-fold where it
    did not. Where no window succeeded, the last state is given back; look at ``success``, which is counted on up to
    ``JUDGES`` pictures of ``data``, less the target's own. ``check`` is called before each step.

    Source: Wang, Yao, Shan, Li, Viswanath, Zheng, Zhao, Neural Cleanse (2019), equations 2 and 3, and the authors'
    visualizer.py.
    Differs from the paper: several targets at once (as many as ``AT_ONCE`` has room for, then the next), 150 steps in
    place of epochs, and the form ``blend``.
    """
    network.eval()
    judges = data.take(np.sort(seed.derive("judges").rng.permutation(len(data))[:JUDGES]))
    count = max(1, AT_ONCE // (math.prod(network.input_size) * min(batch, len(data))))
    for first in range(0, len(targets), count):
        some = targets[first : first + count]
        start = seed.derive("start", first) if first else seed.derive("start")
        search = _Search(network.input_size, some, form, start, learning_rate, weight)
        for index, (images, _) in enumerate(draw(data, batch, steps, seed.derive("pictures"))):
            check()
            search.step(network, images)
            if (index + 1) % WINDOW == 0:
                search.judge(threshold)
            search.optimizer.step()
        for target, stamp in zip(some, search.stamps(), strict=True):
            check()
            yield _verified(network, judges, target, form, stamp)


class _Search:
    """Masks (k, 1, h, w) or (k, 1, 1, 1) and patterns (k, c, h, w) of k targets, behind a tanh, and the best so far."""

    def __init__(
        self,
        input_size: tuple[int, int, int],
        targets: Sequence[int],
        form: Form,
        seed: Seed,
        learning_rate: float,
        weight: float,
    ) -> None:
        c, h, w = input_size
        k, generator = len(targets), torch.Generator().manual_seed(seed.integer)
        shape = (k, 1, h, w) if form == "patch" else (k, 1, 1, 1)
        self.masks = (torch.randn(shape, generator=generator) * 0.5 - 2).requires_grad_()
        self.patterns = torch.randn((k, c, h, w), generator=generator).requires_grad_()
        self.optimizer = torch.optim.Adam([self.masks, self.patterns], lr=learning_rate, betas=(0.5, 0.9))
        self.targets, self.weights = torch.tensor(list(targets)), torch.full((k,), weight)
        self.hits, self.sizes, self.best = torch.zeros(k), torch.zeros(k), torch.full((k,), torch.inf)
        self.kept = [self.masks.detach().clone(), self.patterns.detach().clone()]

    def step(self, network: ImageNetwork, images: Tensor) -> None:
        """Gradients of each target's own loss, its hits and its mask's size; all targets in one pass."""
        k, (_, h, w) = len(self.targets), network.input_size
        mask, pattern = _unit(self.masks), _unit(self.patterns)
        stamped = ((1 - mask[:, None]) * images + mask[:, None] * pattern[:, None]).flatten(0, 1)
        logits = network(stamped.contiguous(memory_format=torch.channels_last))
        answers = self.targets.repeat_interleave(len(images))
        losses = functional.cross_entropy(logits, answers, reduction="none").view(k, -1).mean(1)
        sizes = mask.expand(-1, 1, h, w).sum((1, 2, 3))
        total = (losses + self.weights * sizes).sum()
        self.masks.grad, self.patterns.grad = torch.autograd.grad(total, [self.masks, self.patterns])
        self.hits += (logits.argmax(1) == answers).view(k, -1).float().mean(1)
        self.sizes = sizes.detach()

    def judge(self, threshold: float) -> None:
        """At a window's end: keep what succeeded and is smaller, and change the weights of the masks."""
        works = self.hits >= threshold * WINDOW
        better = (works & (self.sizes < self.best)) | self.best.isinf()
        for kept, now in zip(self.kept, (self.masks, self.patterns), strict=True):
            kept[better] = now.detach()[better]
        self.best = torch.where(works & better, self.sizes, self.best)
        self.weights = torch.where(works, self.weights * 1.5, self.weights / 1.5**1.5)
        self.hits.zero_()

    def stamps(self) -> list[Stamp]:
        """The best of each target; the last state where none succeeded."""
        _, _, h, w = self.patterns.shape
        pairs = zip(_unit(self.kept[0]), _unit(self.kept[1]), strict=True)
        return [Stamp(mask.expand(1, h, w).clone(), pattern) for mask, pattern in pairs]


def _unit(value: Tensor) -> Tensor:
    return torch.tanh(value) / 2 + 0.5


@torch.inference_mode()
def _verified(network: ImageNetwork, data: ImageData, target: int, form: Form, stamp: Stamp) -> Inverted:
    others = data.take(np.flatnonzero(data.labels != target))
    answers = [
        network(stamp.apply(to_float(torch.from_numpy(part)))).argmax(1).numpy() for _, part in others.batches(1000)
    ]
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
