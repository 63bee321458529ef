"""STRIP: a triggered picture keeps its answer whatever is laid over it, so the answers to its blends are alike."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from badnets.core.seed import Seed
from badnets.data.images import ImageData, Pixels
from badnets.networks.guards.strip_guard import blend_entropy
from badnets.networks.network import ImageNetwork, to_float


def choose_overlays(clean: ImageData, count: int, seed: Seed) -> Pixels:
    """``count`` of the clean pictures (all, if there are fewer), drawn without replacement: uint8 (m, h, w, c)."""
    rows = seed.rng.permutation(len(clean))[:count]
    return clean.images(np.sort(rows))


@torch.inference_mode()
def entropies(
    network: ImageNetwork,
    pictures: Pixels,
    overlays: Pixels,
    *,
    own: float = 1.0,
    other: float = 1.0,
    batch: int = 1000,
) -> NDArray[np.float32]:
    """For each of ``pictures`` (n, h, w, c) the mean entropy over *classes*, in bits, of the answers to its blends.

    Low is suspicious. Blends are ``own * picture + other * overlay`` in 0..1, cut there, before the network's own
    normalization.

    Source: Gao et al., STRIP (ACSAC 2019), equations 2 to 4.
    Differs from the paper: see ``badnets.networks.guards.strip_guard.Strip``.
    """
    over = torch.from_numpy(overlays)
    parts = [
        blend_entropy(network, to_float(torch.from_numpy(pictures[start : start + batch])), over, own, other).numpy()
        for start in range(0, len(pictures), batch)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
