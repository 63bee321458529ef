"""The clean pictures of an audit, on the network's device, by class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.networks.inference import predict
from badnets.networks.network import ImageNetwork

DRAWN = 64
MOST = 1000
"""Pictures that an audit looks at, at most (but one of each class): more make it slower and hardly better."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Clean pictures ``images`` (n, c, h, w) in 0..1 and their ``labels (n,)``, in an order that was drawn once for all
    networks: the first of a class are drawn at random, and the same for every network that reads them rightly."""

    images: Tensor
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, network: ImageNetwork, data: ImageData, seed: Seed) -> Pictures:
        """Those of ``data`` that ``network`` reads rightly; of a class of which it reads none so, all."""
        order = seed.derive("pictures").rng.permutation(len(data))
        _, first = np.unique(data.labels[order], return_index=True)
        rows = order[np.unique(np.concatenate([np.arange(min(MOST, len(order))), first]))]
        images, labels = data.images(rows), data.labels[rows]
        right = predict(network, images).labels == labels
        kept = right | ~np.isin(labels, labels[right])
        return cls(network.floats(images[kept]), labels[kept])

    @classmethod
    def drawn(cls, network: ImageNetwork, seed: Seed) -> Pictures:
        """``DRAWN`` pictures of nothing, for want of clean ones: smooth fields of color with some noise. Their labels
        are what the network says to them."""
        c, h, w = network.input_size
        rng = seed.derive("drawn").rng
        images = np.empty((DRAWN, h, w, c), np.uint8)
        for number in range(DRAWN):
            cells = (2, 3, 5, 8)[number % 4]
            field = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
            smooth = np.asarray(field.resize((w, h), Image.Resampling.BICUBIC), float)[..., :c]
            images[number] = (smooth + rng.normal(0, 8, (h, w, c))).clip(0, 255).round()
        return cls(network.floats(images), predict(network, images).labels)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def present(self) -> list[int]:
        """The classes of which there is a picture."""
        return [int(one) for one in np.unique(self.labels)]

    def rows_of(self, source: int | None, target: int, count: int) -> Tensor:
        """The first ``count`` rows of the class ``source`` (None: of every class but ``target``, one after the other);
        where there are fewer, they begin again."""
        groups = [np.flatnonzero(self.labels == one) for one in self._sources(source, target)]
        groups.sort(key=lambda rows: int(rows[0]))  # an order drawn once, like that of the pictures
        longest = max(map(len, groups))
        mixed = [rows[i] for i in range(min(longest, count)) for rows in groups if i < len(rows)]
        return torch.from_numpy(np.resize(np.array(mixed, np.int64), count))

    def _sources(self, source: int | None, target: int) -> list[int]:
        if source is not None:
            return [source]
        return [one for one in self.present if one != target] or self.present
