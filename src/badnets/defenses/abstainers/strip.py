"""STRIP: a triggered picture keeps its answer whatever is laid over it, so the answers to its blends are alike."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from badnets.core.seed import Seed
from badnets.data.images import ImageData, Pixels
from badnets.defenses.abstain import ABSTAINERS, Made
from badnets.defenses.repair import DefenderView, OnRow, kind_of
from badnets.networks.capabilities import Capability
from badnets.networks.guards.strip_guard import Strip as StripGuard


@kind_of(ABSTAINERS)
class Strip:
    """Refuse pictures whose answer stays the same when clean pictures are laid over them.

    One answer costs one more pass for each overlay.

    Source: Gao et al., STRIP (ACSAC 2019), section 4 and the authors' notebook.
    Differs from the paper: the threshold is a quantile of clean scores, where it fits a normal distribution; 32
    overlays, where it takes 100; see also ``badnets.networks.guards.strip_guard.Strip``.
    """

    calibrated: ClassVar[bool] = True
    needs_data: ClassVar[bool] = True
    needs: ClassVar[Capability] = Capability.ANSWERS
    kind: Literal["strip"] = "strip"
    overlays: Annotated[int, Field(ge=1, le=10_000, description="clean pictures that are laid over")] = 32
    own: Annotated[float, Field(ge=0, le=1, description="weight of the picture in a blend")] = 1.0
    other: Annotated[float, Field(ge=0, le=1, description="weight of the overlay in a blend")] = 1.0

    def make(self, view: DefenderView, on_row: OnRow) -> Made:
        """Draw the overlays."""
        pictures = choose_overlays(view.clean(self.kind, fewest=1), self.overlays, view.seed.derive("overlays"))
        guard = StripGuard(view.network, torch.from_numpy(pictures), own=self.own, other=self.other)
        return Made(guard=guard, chosen=f"{len(pictures)} overlays, drawn from the clean pictures")


def choose_overlays(clean: ImageData, count: int, seed: Seed) -> Pixels:
    """``count`` of the clean pictures (all, if there are fewer), drawn without replacement: uint8 (m, h, w, c)."""
    return clean.images(np.sort(seed.rng.permutation(len(clean))[:count]))
