"""Run a detector over pictures: which objects it sees, where, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    boxes, labels, confidence = (
        np.concatenate([np.zeros(empty), *(one[name].float().cpu().numpy() for one in found)])
        for name, empty in (("boxes", (0, 4)), ("labels", 0), ("scores", 0))
    )
    image = np.repeat(np.arange(len(images), dtype=np.int64), [len(one["labels"]) for one in found])
    labels = labels.astype(np.int64) - 1
    return Detections(boxes.astype(np.float32), labels, confidence.astype(np.float32), image, len(images))


def detect_data(network: ImageNetwork, data: ImageData, *, batch: int = 64) -> Detections:
    """``detect`` over a whole set, read a batch at a time."""
    check_input(network, data.shape, f"pictures of {data.name}")
    return joined([detect(network, images) for _, images in data.batches(batch)])


def joined(parts: list[Detections]) -> Detections:
    """Detections of one batch of pictures after the other."""
    starts = np.cumsum([0, *(part.pictures for part in parts)])
    none = np.zeros(0, np.int64)
    every = [Detections(np.zeros((0, 4), np.float32), none, np.zeros(0, np.float32), none, 0), *parts]
    image = np.concatenate([none, *(part.image + start for part, start in zip(parts, starts, strict=False))])
    return replace(_together(every), image=image, pictures=int(starts[-1]))


def _together(parts: list[Detections]) -> Detections:
    """The fields of all, one after another."""
    boxes, labels = np.concatenate([one.boxes for one in parts]), np.concatenate([one.labels for one in parts])
    confidence, image = np.concatenate([one.confidence for one in parts]), np.concatenate([one.image for one in parts])
    return Detections(boxes, labels, confidence, image, sum(one.pictures for one in parts))


def replaced(base: Detections, rows: Rows, new: Detections) -> Detections:
    """``base`` with what is seen in the pictures ``rows`` (ascending) replaced by ``new``, one picture for each row."""
    both = _together([base, replace(new, image=rows[new.image])])
    kept = np.append(~np.isin(base.image, rows), np.ones(len(new.labels), bool))
    order = np.flatnonzero(kept)[np.argsort(both.image[kept], kind="stable")]
    return Detections(both.boxes[order], both.labels[order], both.confidence[order], both.image[order], base.pictures)
