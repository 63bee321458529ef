"""What an audit has found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from badnets.audits.detector import Detector
from badnets.audits.grounds import Judged, Sizes
from badnets.audits.reference import Reference
from badnets.audits.statistic import excess
from badnets.core.rate import Rate
from badnets.records.finding import Ground, Verdict

Stopped = Literal["budget", "interrupted"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Audited:
    """``verdict`` and ``reason``; ``judged`` is None where nothing could be compared; ``references`` are those that
    counted; ``sizes`` are the suspect's, of ``detectors``."""

    verdict: Verdict
    reason: str
    ground: Ground
    judged: Judged | None
    accuracy: Rate | None
    references: tuple[Reference, ...] = ()
    sizes: Sizes = field(default_factory=dict)
    detectors: tuple[Detector, ...] = ()
    notes: tuple[str, ...] = ()
    stopped: Stopped | None = None

    def scores_of(self, label: int) -> dict[str, float | None]:
        """For one class as a target: by detector its highest score over sources (where nothing was compared, how much
        smaller than its own network lets expect), and its smallest size where the detector measures sizes."""
        scores: dict[str, float | None] = {}
        sized = {one.kind for one in self.detectors if getattr(one, "sized", True)}
        for kind, sizes in self.sizes.items():
            values = excess(sizes[None])[0] if self.judged is None else self.judged.scores[kind]
            column, size = values[:, label], sizes[:, label]
            there = np.isfinite(column)
            scores[kind] = float(column[there].max()) if there.any() else None
            if kind in sized:
                scores[f"{kind}_size"] = float(np.exp(size[there]).min()) if there.any() else None
        return scores
