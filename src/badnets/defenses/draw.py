"""Random batches of clean pictures, as many as a method takes steps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.networks.network import to_float


def draw(data: ImageData, batch: int, steps: int, seed: Seed) -> Iterator[tuple[Tensor, Tensor]]:
    """``steps`` times floats (n, c, h, w) in 0..1 and labels (n,); n is ``batch``, or all pictures if there are fewer.

    Each picture comes once before any comes again, in a new order each time.
    """
    images, labels = torch.from_numpy(data.images()), torch.from_numpy(np.array(data.labels))
    batch = min(batch, len(data))
    rows, turn = np.zeros(0, np.int64), 0
    for _ in range(steps):
        while len(rows) < batch:
            rows = np.concatenate([rows, seed.derive(turn).rng.permutation(len(data))])
            turn += 1
        chosen, rows = torch.from_numpy(rows[:batch]), rows[batch:]
        yield to_float(images[chosen]), labels[chosen]
