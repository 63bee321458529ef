"""Two detectors as their authors published them, thresholds included: what the audit is measured beside."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import gamma
from torch import Tensor
from torch.nn import functional

from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.networks.network import ImageNetwork, evaluating
from badnets.networks.surgery.logits import before_softmax
from badnets.records.model import Model

BATCH, SAMPLE, ROUNDS, PATIENCE, ENOUGH, UP, WEIGHT = 32, 1000, 1000, 5, 0.99, 2.0, 1e-3
ANOMALOUS = 2.0
"""Neural Cleanse's index above which a class is called a target."""
STARTS, STEPS, RATE, SETTLED = 30, 300, 1e-2, 1e-5
SIGNIFICANT = 0.05
"""MM-BD's p-value below which a network is called backdoored."""


class Published(Model):
    """What both measure in one network, by class: ``masks``, the sums of the smallest masks, and ``margins``, the
    largest ones; and their seconds."""

    masks: tuple[float, ...]
    margins: tuple[float, ...]
    seconds: dict[str, float]

    @classmethod
    def of(cls, network: ImageNetwork, data: ImageData, seed: Seed) -> Published:
        """Both, class by class."""
        began = time.perf_counter()
        masks = tuple(smallest_mask(network, data, one, seed) for one in range(network.classes))
        between = time.perf_counter()
        margins = tuple(largest_margin(network, one, seed) for one in range(network.classes))
        ended = time.perf_counter()
        seconds = {"neural-cleanse": round(between - began, 2), "mm-bd": round(ended - between, 2)}
        return cls(masks=masks, margins=margins, seconds=seconds)

    @property
    def targets(self) -> dict[str, int | None]:
        """By detector the class that it calls a target, None where it calls the network clean."""
        smallest, largest = int(np.argmin(self.masks)), int(np.argmax(self.margins))
        return {
            "neural-cleanse": smallest if anomaly_index(self.masks) > ANOMALOUS else None,
            "mm-bd": largest if gamma_p(self.margins) < SIGNIFICANT else None,
        }


def smallest_mask(network: ImageNetwork, data: ImageData, target: int, seed: Seed) -> float:
    """The sum of the smallest mask that, with its pattern, sends 99 % of clean pictures to ``target``; that of the last
    one where none does. Batches of 32 pictures, rounds of 31 batches, at most 1,000 rounds.

    Source: Wang, Yao, Shan, Li, Viswanath, Zheng, Zhao, Neural Cleanse (2019), and the authors' visualizer.py and
    gtsrb_visualize_example.py.
    """
    generator = torch.Generator().manual_seed(seed.derive("neural-cleanse", target).integer)
    images = network.floats(data.images())
    c, h, w = network.input_size
    device = network.device

    def raw(*shape: int) -> Tensor:
        drawn = torch.rand(1, *shape, generator=generator)
        return torch.atanh((drawn - 0.5) * (2 - 1e-7)).to(device).requires_grad_()

    mask, pattern = raw(1, h, w), raw(c, h, w)
    wanted = torch.full((BATCH,), target, device=device)
    optimizer = torch.optim.Adam([mask, pattern], lr=0.1, betas=(0.5, 0.9))
    weight, best, reached, ups, downs, still = 0.0, float("inf"), 0, 0, 0, 0
    raised = lowered = False
    sums: list[float] = []
    logits_of = before_softmax(network)
    with evaluating(network):
        for _ in range(ROUNDS):
            hits = torch.zeros((), device=device)
            sums = []
            for _ in range(SAMPLE // BATCH):
                rows = torch.randint(len(images), (BATCH,), generator=generator)
                opacity, color = (torch.tanh(one) / 2 + 0.5 for one in (mask, pattern))
                logits = logits_of((1 - opacity) * images[rows].to(device) + opacity * color)
                loss = functional.cross_entropy(logits, wanted) + weight * opacity.sum()
                mask.grad, pattern.grad = torch.autograd.grad(loss, [mask, pattern])
                optimizer.step()
                hits += (logits.argmax(1) == wanted).sum()
                sums.append(float(opacity.detach().sum()))
            success, size = float(hits) / (BATCH * len(sums)), float(np.mean(sums))
            before = best
            if success >= ENOUGH:
                best = min(best, size)
            if best < float("inf"):
                still = still + 1 if best >= before else 0
            if raised and lowered and still >= 5 * PATIENCE:
                break
            reached = reached + 1 if weight == 0 and success >= ENOUGH else 0
            if reached >= PATIENCE:
                weight, reached, ups, downs, raised, lowered = WEIGHT, 0, 0, 0, False, False
            ups, downs = (ups + 1, 0) if success >= ENOUGH else (0, downs + 1)
            if ups >= PATIENCE:
                ups, weight, raised = 0, weight * UP, True
            elif downs >= PATIENCE:
                downs, weight, lowered = 0, weight / UP**1.5, True
    return best if best < float("inf") else sums[-1]


def anomaly_index(masks: Sequence[float]) -> float:
    """How far the smallest of ``masks`` is below their median, in median absolute deviations times 1.4826.

    Source: the authors' mad_outlier_detection.py. Calibrated by nobody: a third of clean networks with ten classes lie
    above 2 when all classes are alike.
    """
    middle = float(np.median(masks))
    deviation = 1.4826 * float(np.median(np.abs(np.asarray(masks) - middle)))
    return (middle - min(masks)) / max(deviation, 1e-12)


def largest_margin(network: ImageNetwork, target: int, seed: Seed) -> float:
    """The largest margin of ``target`` over 30 pictures that climb from noise: at most 300 steps of 0.01, until the sum
    of the margins settles.

    Source: Wang, Xiang, Miller, Kesidis, MM-BD (2024), and the authors' univ_bd.py.
    """
    generator = torch.Generator().manual_seed(seed.derive("mm-bd", target).integer)
    drawn = torch.rand(STARTS, *network.input_size, generator=generator)
    images = drawn.to(network.device).requires_grad_()
    others = torch.ones(network.classes, dtype=torch.bool, device=network.device)
    others[target] = False
    logits_of, before, margins = before_softmax(network), 1000.0, torch.zeros(1)
    with evaluating(network):
        for _ in range(STEPS):
            logits = logits_of(images.clamp(0, 1))
            margins = logits[:, target] - logits[:, others].amax(1)
            (gradient,) = torch.autograd.grad(-margins.sum(), images)
            with torch.no_grad():
                images -= RATE * gradient
            loss = -float(margins.detach().sum())
            if abs(before - loss) / max(abs(before), 1e-12) < SETTLED:
                break
            before = loss
    return float(margins.detach().max())


def gamma_p(margins: Sequence[float]) -> float:
    """MM-BD's own p-value: a gamma distribution is fitted to all margins but the largest, and the largest of K draws
    from it is compared with that one. Calibrated by nobody: of clean networks with ten classes 16 to 28 % lie below
    0.05 in simulations."""
    values = np.asarray(margins)
    largest = int(values.argmax())
    shape, place, scale = gamma.fit(np.delete(values, largest))
    return float(1 - gamma.cdf(values[largest], shape, loc=place, scale=scale) ** len(values))
