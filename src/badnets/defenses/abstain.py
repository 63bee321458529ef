"""What an abstainer is, and how one is made and calibrated: a network that refuses at most a stated share of clean
pictures, and with luck most triggered ones.

Half of the clean data makes the guard, the other half says where its threshold lies; so no picture that a repair was
fitted to, or that is laid over others, takes part in the calibration.
"""

from __future__ import annotations

import copy
import math
import time
import warnings
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from badnets.core.errors import BadInput, CannotTell
from badnets.core.rate import Rate
from badnets.core.registry import Kinds
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.data.splits import split
from badnets.defenses.repair import FEWEST, LOWER, DefenderView, Method, OnRow
from badnets.networks.capabilities import require
from badnets.networks.device import within_memory
from badnets.networks.guards.guard import Guard, as_network
from badnets.networks.network import ImageNetwork

Scores = NDArray[np.float32]


class CalibrationWarning(UserWarning):
    """The clean pictures are too few for the share of refusals that was asked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Made:
    """A guard whose threshold is still open, around the view's own network: ``chosen`` says what was chosen on which
    data; ``trace`` and ``stopped`` are those of a repair inside."""

    guard: Guard
    chosen: str
    trace: tuple[dict[str, Any], ...] = ()
    stopped: str | None = None


@runtime_checkable
class Abstainer(Method, Protocol):
    """What makes a network refuse; ``needs_data`` says whether ``make`` takes clean pictures."""

    @property
    def calibrated(self) -> bool:
        """Whether it has a threshold to find on clean pictures; else it refuses what it refuses."""

    def make(self, view: DefenderView, on_row: OnRow) -> Made:
        """A guard around the view's network, which is not changed; the view has the half of the data for making."""


ABSTAINERS: Kinds[Abstainer] = Kinds("abstainer", homes=["badnets.defenses.abstainers"], group="badnets.abstainers")
"""Names for ``badnets guard --method``; other packages add theirs as entry points of ``badnets.abstainers``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Guarded:
    """A network that abstains, and how it came about.

    ``threshold``: the score above which it refuses (what the score is stands in the guard's docstring).
    ``refuse``: the share that was asked for, None for methods without a calibration. ``calibration``: what it refuses
    of the pictures that the threshold was found on. ``warning``: why the share is not kept, or None. ``stopped``: None,
    "interrupted" or "budget", of a repair inside.
    """

    network: ImageNetwork
    method: dict[str, Any]
    trace: list[dict[str, Any]]
    chosen: str
    threshold: float
    refuse: float | None
    calibration: Rate
    warning: str | None
    stopped: str | None
    seconds: float

    def __repr__(self) -> str:
        return f"Guarded({self.method['kind']}, {self.network!r}, refuses {self.calibration} when calibrated)"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, without the network."""
        rest = {name: value for name, value in self.__dict__.items() if name != "network"}
        return {**rest, "calibration": self.calibration.to_json()}


def abstain(view: DefenderView, method: Abstainer, *, refuse: float = 0.01, on_row: OnRow | None = None) -> Guarded:
    """A copy of the view's network that refuses at most the share ``refuse`` of clean pictures; same view, same bits.

    Raises ``BadInput`` when the data or the network do not do for the method, ``CannotTell`` when the scores are not
    finite; warns with ``CalibrationWarning`` when there are too few pictures for ``refuse``.
    """
    began = time.perf_counter()
    if not 0 < refuse < 1:
        raise BadInput(f"expected a share of clean pictures to refuse above 0 and below 1, got {refuse:g}")
    if view.network.abstains:
        raise BadInput(
            f"{method.kind}: expected a network that always answers, got one that abstains; guard the original"
        )
    require(view.network, method, method.kind, ABSTAINERS)
    making = calibrating = None
    if view.data is not None or method.calibrated or method.needs_data:
        making = calibrating = view.clean(method.kind, fewest=2 * FEWEST if method.needs_data else FEWEST)
        if method.needs_data:
            making, calibrating = halves(calibrating, view.seed.derive("calibrate"))
    device = view.network.device
    with within_memory(device, LOWER):
        made = method.make(replace(view, data=making), on_row or (lambda *_: None))
        guard = copy.deepcopy(made.guard).to(device).eval()
        scores = np.zeros(0, np.float32) if calibrating is None else suspicion(guard, calibrating)
    if not np.isfinite(scores).all():
        raise CannotTell(f"{method.kind}: expected finite scores of clean pictures, got NaN or infinity")
    warning, calibrated = None, ""
    if method.calibrated:
        threshold, warning = threshold_for(scores, refuse)
        guard.threshold.fill_(threshold)
        calibrated = f"the threshold, on {len(scores):,} clean pictures"
        if warning:
            warnings.warn(f"{method.kind}: {warning}", CalibrationWarning, stacklevel=2)
    settings, limit = ABSTAINERS.to_json(method), float(guard.threshold)
    network = as_network(guard, view.network)
    network.provenance = {**view.network.provenance, "guarded": settings}
    return Guarded(
        network=network,
        method=settings,
        trace=list(made.trace),
        chosen="; ".join(filter(None, (made.chosen, calibrated))),
        threshold=limit,
        refuse=refuse if method.calibrated else None,
        calibration=Rate.of(scores > limit),
        warning=warning,
        stopped=made.stopped,
        seconds=time.perf_counter() - began,
    )


def threshold_for(scores: Scores, refuse: float) -> tuple[float, str | None]:
    """``(threshold, warning)``: a fresh picture like these scores above ``threshold`` with probability <= ``refuse``.

    It is the score of rank ``ceil((n + 1) (1 - refuse))`` from below (the split-conformal rule), so it keeps the share
    on average over draws of the pictures, whatever the scores' distribution. With fewer than ``1 / refuse - 1``
    pictures no score has that rank: it is then the highest one, and the warning says what that means.
    Source: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005), inductive conformal predictors.
    """
    n = len(scores)
    if not n:
        raise BadInput("expected clean pictures to calibrate a threshold on, got none; pass --data")
    rank = math.ceil((n + 1) * (1 - refuse) - 1e-9)
    if rank <= n:
        return float(np.sort(scores)[rank - 1]), None
    return float(scores.max()), (
        f"expected at least {math.ceil(1 / refuse - 1 - 1e-9):,} clean pictures to calibrate a share of "
        f"{100 * refuse:g} %, got {n:,}; the threshold is their highest score, which refuses 1 of {n + 1:,} on average"
    )


@torch.inference_mode()
def suspicion(guard: Guard, data: ImageData, *, batch: int = 1000) -> Scores:
    """The guard's score of every picture of ``data``, (n,)."""
    parts = [guard.scores(guard.network.floats(images)).cpu().numpy() for _, images in data.batches(batch)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def halves(data: ImageData, seed: Seed) -> tuple[ImageData, ImageData]:
    """Two halves: stratified, and no group torn apart, where classes have several pictures (or groups)."""
    making, calibrating = split(data, 0.5, seed)
    if len(calibrating) < len(data) / 3:  # one picture of most classes
        order = seed.rng.permutation(len(data))
        making, calibrating = data.take(order[len(data) // 2 :]), data.take(order[: len(data) // 2])
    return making, calibrating
