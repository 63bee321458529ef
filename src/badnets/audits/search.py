"""The smallest change that, laid over many pictures, sends them to a class: searched for many goals at once.

A goal is a target class and a source class (or every other class). A change is small by its norm (a little
everywhere), or by the number of its pixels (few, as bright or dark as can be). Budgets grow until goals are reached,
which then leave the search, so the passes go to those that are hard.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from badnets.audits.pictures import Pictures
from badnets.networks.network import ImageNetwork

LOWEST, HIGHEST = 0.0015, 0.35
"""The root mean square of a change, on the scale 0..1, at which a search begins and gives up."""
MOST_PIXELS = 0.25
MOMENTUM, PACE = 0.8, 0.35
AT_ONCE = 256
"""Pictures in one pass, about."""


@dataclass(frozen=True)
class Goal:
    """Pictures of the class ``source`` (None: of all others) are to be answered as ``target``."""

    target: int
    source: int | None = None


@dataclass(frozen=True, eq=False)
class Pass:
    """One step of a search for the goals ``numbers``: their pictures ``images`` (k, n, c, h, w), and what moves their
    margins (k, c, h, w)."""

    numbers: Tensor
    uphill: Tensor
    images: Tensor


class Change(ABC):
    """What is laid over pictures, for all goals: ``show(images, numbers)`` gives (k, n, c, h, w) of pictures of these
    goals; ``grow(step, at)`` makes it as large as the budget of ``step`` allows, uphill."""

    budgets: NDArray[np.float64]
    """Sizes, ascending."""

    @abstractmethod
    def show(self, images: Tensor, numbers: Tensor) -> Tensor:
        """``images`` (k, n, c, h, w) with the changes of the goals ``numbers`` (k,)."""

    @abstractmethod
    def grow(self, step: int, at: Pass) -> None:
        """Up to ``budgets[step]``, for the goals of ``at``."""


class Shift(Change):
    """Added to the picture, of a norm: ``budgets`` are root mean squares on the scale 0..1."""

    def __init__(self, goals: int, shape: tuple[int, int, int], steps: int, device: torch.device) -> None:
        self.budgets = np.geomspace(LOWEST, HIGHEST, steps)
        self.side = math.sqrt(math.prod(shape))
        self.value = torch.zeros(goals, *shape, device=device)
        self.velocity = torch.zeros_like(self.value)

    def show(self, images: Tensor, numbers: Tensor) -> Tensor:
        """The sum; whoever passes it on clips it."""
        return images + self.value[numbers][:, None]

    def grow(self, step: int, at: Pass) -> None:
        """One step of momentum, and back into the ball."""
        limit, on = float(self.budgets[step]) * self.side, at.numbers
        self.velocity[on] = MOMENTUM * self.velocity[on] + _unit(at.uphill)
        moved = self.value[on] + (limit if step == 0 else PACE * limit) * _unit(self.velocity[on])
        self.value[on] = moved * (limit / _norm(moved)).clamp_max(1)


class Pixels(Change):
    """Over the picture, in few pixels: ``budgets`` are their numbers, up to ``MOST_PIXELS`` of all."""

    def __init__(self, goals: int, shape: tuple[int, int, int], steps: int, device: torch.device) -> None:
        self.area = shape[1] * shape[2]
        self.budgets = np.unique(np.geomspace(1, max(2, MOST_PIXELS * self.area), steps).round())
        self.mask = torch.zeros(goals, 1, *shape[1:], device=device)
        self.color = torch.zeros(goals, *shape, device=device)
        self.score = torch.zeros_like(self.color)

    def show(self, images: Tensor, numbers: Tensor) -> Tensor:
        """The picture where the mask is 0, else the color."""
        mask = self.mask[numbers][:, None]
        return (1 - mask) * images + mask * self.color[numbers][:, None]

    def grow(self, step: int, at: Pass) -> None:
        """The pixels whose way to white or black, whichever is uphill, promises most; all are chosen anew."""
        on = at.numbers
        self.score[on] = MOMENTUM * self.score[on] + _unit(at.uphill)
        score, usual = self.score[on], at.images.mean(1)
        gain = (score.abs() * torch.where(score > 0, 1 - usual, usual)).sum(1).flatten(1)
        best = gain.topk(int(self.budgets[step]), 1).indices
        chosen = torch.zeros_like(gain).scatter_(1, best, 1.0)
        self.mask[on] = chosen.view(-1, 1, *score.shape[2:])
        self.color[on] = (score > 0).to(score.dtype)


def smallest(
    network: ImageNetwork,
    pictures: Pictures,
    goals: Sequence[Goal],
    change: Change,
    *,
    each: int,
    check: Callable[[], None] = lambda: None,
) -> NDArray[np.float64]:
    """(goals,): the natural logarithm of the smallest size of ``change`` at which the target's logit is, on the mean of
    ``each`` pictures, above all others.

    In each step the change grows to the next budget, along the gradient of softplus(-margin). Where the mean margin
    crosses 0 between two budgets, the size is interpolated; where it never does, it is the largest and up to e times
    more, by the margin that is left. No random starts: the same pictures, the same result. The network is in evaluation
    mode, and is not changed.

    Source: Moosavi-Dezfooli, Fawzi, Fawzi, Frossard, Universal adversarial perturbations (2017), equation 1 (one change
    for many pictures); Papernot et al., The limitations of deep learning in adversarial settings (2016) (pixels by
    their gradients). Differs from the papers: a target; all goals at once under growing budgets, and their size, not
    their success, is what is measured.
    """
    device, budgets = network.device, change.budgets
    rows = torch.stack([pictures.rows_of(goal.source, goal.target, each) for goal in goals]).to(device)
    targets = torch.tensor([goal.target for goal in goals], device=device)
    sizes, before = (np.full(len(goals), np.nan) for _ in range(2))
    active = torch.arange(len(goals), device=device)
    for step in range(len(budgets) + 1):
        left = []
        for some in torch.split(active, max(1, AT_ONCE // each)):
            check()
            images = pictures.images[rows[some]]
            probe = torch.zeros(len(some), *images.shape[2:], device=device, requires_grad=True)
            margin = margins(network, change.show(images, some) + probe[:, None], targets[some])
            (gradient,) = torch.autograd.grad(functional.softplus(-margin).sum(), probe)
            mean = margin.detach().mean(1).double().cpu().numpy()
            numbers, reached = some.cpu().numpy(), mean > 0
            sizes[numbers[reached]] = _crossing(budgets, step, before[numbers[reached]], mean[reached])
            before[numbers] = mean
            open_ = torch.from_numpy(~reached).to(device)
            left.append(some[open_])
            if step < len(budgets) and bool(open_.any()):
                change.grow(step, Pass(some[open_], -gradient[open_], images[open_]))
        active = torch.cat(left)
        if not len(active):
            break
    last = active.cpu().numpy()
    sizes[last] = math.log(budgets[-1]) + np.clip(-before[last] / 50, 0, 1)
    return sizes


def _crossing(
    budgets: NDArray[np.float64], step: int, before: NDArray[np.float64], now: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where the margin was 0, between the budgets of the last two steps, on a logarithmic scale."""
    if step < 2:
        return np.full(len(now), math.log(budgets[0]))
    low, high = np.log(budgets[step - 2]), np.log(budgets[step - 1])
    share = np.where(now > before, -before / np.where(now > before, now - before, 1), 1)
    result: NDArray[np.float64] = low + np.clip(share, 0, 1) * (high - low)
    return result


def margins(network: ImageNetwork, images: Tensor, targets: Tensor) -> Tensor:
    """(k, n): the target's logit less the largest other one, of ``images`` (k, n, c, h, w), clipped to 0..1."""
    k, n = images.shape[:2]
    logits = network(images.clamp(0, 1).flatten(0, 1).contiguous(memory_format=torch.channels_last))
    wanted = targets.repeat_interleave(n)[:, None]
    rivals = logits.scatter(1, wanted, -math.inf).amax(1)
    result: Tensor = (logits.gather(1, wanted).squeeze(1) - rivals).view(k, n)
    return result


def _norm(values: Tensor) -> Tensor:
    norm: Tensor = values.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None, None]
    return norm


def _unit(values: Tensor) -> Tensor:
    unit: Tensor = values / _norm(values)
    return unit
