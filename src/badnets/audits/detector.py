"""What a detector is: it looks at one network and says for each class, or pair, how small a trigger may be."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from badnets.audits.pictures import Pictures
from badnets.core.registry import Kinds
from badnets.core.seed import Seed
from badnets.defenses.repair import DefenderView
from badnets.networks.network import ImageNetwork
from badnets.networks.surgery.logits import before_softmax

Floats = NDArray[np.float64]
MANY = 100
"""Classes from which on one class is judged among them, where there are no references."""


@dataclass(frozen=True, eq=False)
class Suspect:
    """What a detector sees: a network that is reopened from its file, clean pictures of it or none, and a seed; all
    networks of one audit get the same seed and pictures. ``check`` is called before whatever takes long."""

    view: DefenderView
    check: Callable[[], None] = field(default=lambda: None)

    @cached_property
    def pictures(self) -> Pictures:
        """The clean pictures that the network reads rightly; drawn ones where it has none."""
        network, data = self.view.network, self.view.data
        return Pictures.drawn(network, self.seed) if data is None else Pictures.of(network, data, self.seed)

    @cached_property
    def network(self) -> ImageNetwork:
        """The view's, before a softmax at its end."""
        return before_softmax(self.view.network)

    @property
    def seed(self) -> Seed:
        """Of all that is drawn."""
        return self.view.seed


@runtime_checkable
class Detector(Protocol):
    """A detector with its settings: a frozen keyword-only dataclass with one method. One whose numbers are no sizes of
    triggers says so by an attribute ``sized`` that is False; one that takes long has a method ``passes(suspect)``, how
    many pictures go through the network and back."""

    @property
    def kind(self) -> str:
        """The name on the command line."""

    @property
    def needs_data(self) -> bool:
        """Whether it can do nothing without clean pictures."""

    def sizes(self, suspect: Suspect) -> Floats:
        """(sources, targets), or (1, targets) where sources are not told apart: what a trigger towards the target
        costs, smaller for easier ones, as a logarithm; NaN where nothing could be searched. The same places are NaN
        for every network that sees the same pictures."""


DETECTORS: Kinds[Detector] = Kinds("detector", homes=["badnets.audits.detectors"], group="badnets.detectors")
"""Names for ``badnets audit --detector``; other packages add theirs as entry points of ``badnets.detectors``."""


def seconds_of(detectors: Sequence[Detector], suspect: Suspect, networks: int = 1, more: int = 0) -> float:
    """How long they take to look at so many networks, and ``more`` passes of a picture, about: by a pass of some."""
    passes = networks * sum(one.passes(suspect) for one in detectors if hasattr(one, "passes")) + more
    some = suspect.pictures.images[:16]
    seconds = []
    for _ in range(2):  # the first pass also plans
        began = time.perf_counter()
        probe = some.clone().requires_grad_()
        torch.autograd.grad(suspect.network(probe).amax(1).sum(), probe)
        seconds.append((time.perf_counter() - began) / len(some))
    return float(passes * min(seconds))
