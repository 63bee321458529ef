"""A small patch, tried at all places, for every class."""

from __future__ import annotations

import itertools
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from badnets.audits.detector import DETECTORS, Floats, Suspect
from badnets.defenses.repair import kind_of
from badnets.networks.capabilities import Capability
from badnets.networks.network import ImageNetwork

AT_ONCE = 256
"""Pictures in one pass, about."""
NOISY = 2
"""Patches of noise beside those of one color."""
TIMES = 4.0
"""A margin of a quarter of the usual one counts as most of a success."""


@kind_of(DETECTORS)
class Patches:
    """For each class how far a square patch, a sixth of the picture's side, sends pictures of other classes there:
    tried in black, white, full colors and noise at all places, and improved, pixel by pixel, where it does best.

    What leads a search by gradients from clean pictures astray, a trigger of which each pixel alone says nothing, is
    found here; what is no patch is not.

    Source: Brown and others, Adversarial patch (2017). Differs from the paper: one place at a time, no rotation;
    patches are tried before they are improved; success counts softly, by margins on the scale of the network's own.
    """

    needs_data: ClassVar[bool] = False
    needs: ClassVar[Capability] = Capability.GRADIENTS
    sized: ClassVar[bool] = False
    kind: Literal["patches"] = "patches"
    pictures: Annotated[int, Field(ge=2, description="pictures that each patch is laid on")] = 24
    kept: Annotated[int, Field(ge=1, description="places for each class at which it is improved")] = 3
    steps: Annotated[int, Field(ge=0, description="of the improvement")] = 10
    improved: Annotated[int, Field(ge=1, description="classes, at most, for which it is improved")] = 20

    def sizes(self, suspect: Suspect) -> Floats:
        """(1, targets): less the log-odds of success."""
        search = _Search(self, suspect)
        return -_log_odds(search.best(), self.pictures)[None]

    def passes(self, suspect: Suspect) -> int:
        """Pictures that go through the network and back; one that only goes through counts a third."""
        search = _Search(self, suspect)
        tried = len(search.places) * len(search.fills) // 3
        return self.pictures * (tried + self.kept * self.steps * min(self.improved, suspect.network.classes))


class _Search:
    """One network's pictures, patches and places."""

    def __init__(self, settings: Patches, suspect: Suspect) -> None:
        self.settings, self.check = settings, suspect.check
        self.network: ImageNetwork = suspect.network
        device = self.network.device
        pictures = suspect.pictures
        # no class is left out, though the first rows of every other class are used
        rows = pictures.rows_of(None, -1, settings.pictures)
        self.images = pictures.images[rows].to(device)
        self.labels = torch.from_numpy(pictures.labels[rows.numpy()]).to(device)
        c, h, w = self.network.input_size
        self.side = max(2, round(min(h, w) / 6))
        step = max(1, round(0.6 * self.side))
        self.places = list(itertools.product(starts(h, self.side, step), starts(w, self.side, step)))
        noise = torch.from_numpy(suspect.seed.derive(settings.kind).rng.random((NOISY, c, self.side, self.side)))
        plain = torch.tensor(list(itertools.product((0.0, 1.0), repeat=c)))[:, :, None, None]
        whole = plain.expand(-1, -1, self.side, self.side).double()
        self.fills = torch.cat([whole, noise]).to(device, self.images.dtype)
        with torch.no_grad():
            top = self.network(self.images).topk(2, 1).values
        self.usual = float((top[:, 0] - top[:, 1]).median().clamp_min(1e-6))

    def best(self) -> Floats:
        """(targets,): the success of the best patch."""
        tried = self._tried()  # (places * fills, targets)
        best: Floats = tried.max(0)
        for target in np.argsort(-best)[: self.settings.improved]:
            first = np.argsort(-tried[:, target])[: self.settings.kept]
            best[target] = max(best[target], self._improved(int(target), first))
        return best

    @torch.no_grad()
    def _tried(self) -> Floats:
        results = []
        group = max(1, AT_ONCE // len(self.images))
        every = list(itertools.product(range(len(self.places)), range(len(self.fills))))
        for start in range(0, len(every), group):
            self.check()
            some = every[start : start + group]
            shown = torch.stack([self._shown(self.places[place], self.fills[fill]) for place, fill in some])
            logits = self.network(shown.flatten(0, 1)).view(len(some), len(self.images), -1)
            results.append(self._success(logits).cpu().numpy())
        return np.concatenate(results)

    def _success(self, logits: Tensor) -> Tensor:
        """(k, targets) of logits (k, n, targets): over the pictures of other classes, softly."""
        classes = logits.shape[2]
        top = logits.topk(min(2, classes), 2)
        rivals = top.values[..., :1].expand(-1, -1, classes).clone()
        rivals.scatter_(2, top.indices[..., :1], top.values[..., -1:])
        reached = torch.sigmoid(TIMES * (logits - rivals) / self.usual).double()
        others = (self.labels[:, None] != torch.arange(classes, device=logits.device)).double()
        success: Tensor = (reached * others).sum(1) / others.sum(0).clamp_min(1)
        return success

    def _improved(self, target: int, tried: NDArray[np.int64]) -> float:
        """The success towards one class after some steps uphill, from the best of what was tried."""
        rows = [divmod(int(one), len(self.fills)) for one in tried]
        places = [self.places[place] for place, _ in rows]
        patches = torch.stack([self.fills[fill] for _, fill in rows])
        best, pace = 0.0, 0.5
        for step in range(self.settings.steps + 1):
            self.check()
            patches.requires_grad_()
            shown = torch.stack([self._shown(place, patch) for place, patch in zip(places, patches, strict=True)])
            logits = self.network(shown.flatten(0, 1)).view(len(rows), len(self.images), -1)
            success = self._success(logits)[:, target]
            best = max(best, float(success.detach().max()))
            if step == self.settings.steps:
                break
            (gradient,) = torch.autograd.grad(torch.logit(success, 1e-6).sum(), patches)
            with torch.no_grad():
                patches = (patches + pace * gradient.sign()).clamp(0, 1)
            pace *= 0.8
        return best

    def _shown(self, place: tuple[int, int], patch: Tensor) -> Tensor:
        """The pictures with a patch at a place."""
        y, x = place
        shown = self.images.clone()
        shown[:, :, y : y + self.side, x : x + self.side] = patch
        return shown


def starts(length: int, side: int, step: int) -> list[int]:
    """Where a patch begins along one side; the last touches the edge."""
    return sorted({*range(0, length - side, step), length - side})


def _log_odds(success: Floats, pictures: int) -> Floats:
    few = 0.5 / pictures
    inside = np.clip(success, few, 1 - few)
    odds: Floats = np.log(inside / (1 - inside))
    return odds
