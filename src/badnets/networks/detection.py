"""Run a detector over pictures: which objects it sees, where, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.data.images import ImageData, Pixels, Rows
from badnets.networks.inference import check_input
from badnets.networks.network import ImageNetwork, evaluating


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector sees in ``pictures`` pictures, in their order and by falling confidence within one.

    ``boxes (k, 4)`` float32 x0, y0, x1, y1 in pixels, ``labels (k,)`` int64, ``confidence (k,)`` float32, ``image
    (k,)`` int64.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    confidence: NDArray[np.float32]
    image: NDArray[np.int64]
    pictures: int

    def __repr__(self) -> str:
        return f"Detections({len(self.labels):,} objects in {self.pictures:,} pictures)"

    def of(self, picture: int) -> NDArray[np.int64]:
        """The detections of one picture."""
        first, last = np.searchsorted(self.image, [picture, picture + 1])
        return np.arange(first, last, dtype=np.int64)


@torch.inference_mode()
def detect(network: ImageNetwork, images: Pixels, *, batch: int = 16) -> Detections:
    """What ``network`` sees in uint8 pictures (n, h, w, c); it is put into evaluation mode for the time."""
    if network.task != "detect":
        raise BadInput(
            f"expected a detector, got {network.architecture}, which gives one class for each picture; "
            "use predict, or another network"
        )
    check_input(network, images.shape)
    found: list[dict[str, torch.Tensor]] = []
    with evaluating(network):
        for start in range(0, len(images), batch):
            found += network(network.floats(images[start : start + batch]))
    counts = [len(one["labels"]) for one in found]
    return Detections(
        _joined(found, "boxes", (0, 4)).astype(np.float32),
        _joined(found, "labels", (0,)).astype(np.int64) - 1,
        _joined(found, "scores", (0,)).astype(np.float32),
        np.repeat(np.arange(len(images), dtype=np.int64), counts),
        len(images),
    )


def _joined(found: list[dict[str, torch.Tensor]], name: str, empty: tuple[int, ...]) -> NDArray[np.generic]:
    return np.concatenate([np.zeros(empty), *(one[name].float().cpu().numpy() for one in found)])


def detect_data(network: ImageNetwork, data: ImageData, *, batch: int = 64) -> Detections:
    """``detect`` over a whole set, read a batch at a time."""
    check_input(network, data.shape, f"pictures of {data.name}")
    parts = [(rows, detect(network, images)) for rows, images in data.batches(batch)]
    return joined([part for _, part in parts])


def joined(parts: list[Detections]) -> Detections:
    """Detections of one batch of pictures after the other."""
    starts = np.cumsum([0, *(part.pictures for part in parts)])
    empty = Detections(
        np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64), 0
    )
    every = [empty, *parts]
    return Detections(
        np.concatenate([part.boxes for part in every]),
        np.concatenate([part.labels for part in every]),
        np.concatenate([part.confidence for part in every]),
        np.concatenate([empty.image, *(part.image + start for part, start in zip(parts, starts, strict=False))]),
        int(starts[-1]),
    )


def replaced(base: Detections, rows: Rows, new: Detections) -> Detections:
    """``base`` with what is seen in the pictures ``rows`` (ascending) replaced by ``new``, one picture for each row."""
    kept = ~np.isin(base.image, rows)
    image = np.concatenate([base.image[kept], rows[new.image]])
    order = np.argsort(image, kind="stable")
    return Detections(
        np.concatenate([base.boxes[kept], new.boxes])[order],
        np.concatenate([base.labels[kept], new.labels])[order],
        np.concatenate([base.confidence[kept], new.confidence])[order],
        image[order],
        base.pictures,
    )
