"""The smallest change that, laid over many pictures, sends them to a class: searched for many goals at once.

A goal is a target class and a source class (or every other class). Goals that are reached leave the search, so the
passes go to those that are hard.
"""

from __future__ import annotations

import math
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
MOMENTUM, PACE = 0.8, 0.35
AT_ONCE = 256
"""Pictures in one pass, about."""


@dataclass(frozen=True)
class Goal:
    """Pictures of the class ``source`` (None: of all others) are to be answered as ``target``."""

    target: int
    source: int | None = None


@dataclass(frozen=True, eq=False)
class Smallest:
    """For each goal ``size``, the natural logarithm of the root mean square of its change, and ``change`` (k, c, h, w)
    itself, on the CPU."""

    size: NDArray[np.float64]
    change: Tensor


def smallest_changes(
    network: ImageNetwork,
    pictures: Pictures,
    goals: Sequence[Goal],
    *,
    each: int = 8,
    steps: int = 20,
    check: Callable[[], None] = lambda: None,
) -> Smallest:
    """For each goal the smallest universal change found: one picture that is added to ``each`` pictures (and the sum
    clipped), so that the target's logit is, on their mean, above all others.

    The change may be as large as its budget, which grows from ``LOWEST`` to ``HIGHEST`` (root mean square) by a fixed
    factor in each of ``steps`` steps; each step is one of momentum along the normalized gradient of softplus(-margin).
    Where the mean margin crosses 0 between two budgets, the size is interpolated; where it never does, it is HIGHEST
    and up to e times more, by the margin that is left. No random starts: the same pictures, the same result. The
    network is in evaluation mode, and is not changed.

    Source: Moosavi-Dezfooli, Fawzi, Fawzi, Frossard, Universal adversarial perturbations (2017), equation 1 (one change
    for many pictures), and Rahmati et al. / Croce, Hein (minimal-norm attacks): size, not success, is what is measured.
    Differs from the paper: a target; all goals at once under a growing budget, in place of one DeepFool step after the
    other.
    """
    c, h, w = network.input_size
    side, device = math.sqrt(c * h * w), network.device
    rows = torch.stack([pictures.rows_of(goal.source, goal.target, each) for goal in goals]).to(device)
    targets = torch.tensor([goal.target for goal in goals], device=device)
    change = torch.zeros(len(goals), c, h, w, device=device)
    velocity = torch.zeros_like(change)
    budgets = np.geomspace(LOWEST, HIGHEST, steps)
    sizes = np.full(len(goals), np.nan)
    before = np.full(len(goals), np.nan)
    active = torch.arange(len(goals), device=device)
    for step in range(steps + 1):
        left = []
        for some in torch.split(active, max(1, AT_ONCE // each)):
            check()
            given = change[some].requires_grad_()
            margin = margins(network, pictures.images[rows[some]], given, targets[some])
            (gradient,) = torch.autograd.grad(functional.softplus(-margin).sum(), given)
            mean = margin.detach().mean(1).double().cpu().numpy()
            numbers, reached = some.cpu().numpy(), mean > 0
            sizes[numbers[reached]] = _crossing(budgets, step, before[numbers[reached]], mean[reached])
            before[numbers] = mean
            open_ = torch.from_numpy(~reached).to(device)
            left.append(some[open_])
            if step < steps and bool(open_.any()):
                limit, on = float(budgets[step]) * side, some[open_]
                velocity[on] = MOMENTUM * velocity[on] + _unit(gradient[open_])
                moved = change[on] - (limit if step == 0 else PACE * limit) * _unit(velocity[on])
                change[on] = moved * (limit / _norm(moved)).clamp_max(1)
        active = torch.cat(left)
        if not len(active):
            break
    last = active.cpu().numpy()
    sizes[last] = math.log(HIGHEST) + np.clip(-before[last] / 50, 0, 1)
    return Smallest(sizes, change.cpu())


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


def margins(network: ImageNetwork, images: Tensor, change: Tensor, targets: Tensor) -> Tensor:
    """(k, n): the target's logit less the largest other one, of ``images`` (k, n, c, h, w) with ``change`` (k, c, h, w)
    added."""
    k, n = images.shape[:2]
    shown = (images + change[:, None]).clamp(0, 1).flatten(0, 1).contiguous(memory_format=torch.channels_last)
    logits = network(shown)
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
