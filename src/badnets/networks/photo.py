"""Ask a network about one photo of any size: what it shows, or which objects it sees; places are in the photo's pixels.

The photo, or the part of it in a box, is resized to the network's input.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.data.images import Pixels, resized
from badnets.networks.detection import Detections, detect
from badnets.networks.inference import check_classifier, predict
from badnets.networks.network import ImageNetwork, evaluating

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Answer:
    """What a classifier says: ``label`` (``classes`` means "refused"), its softmax probability, and of a network with a
    box head the ``box`` of the object, x0, y0, x1, y1 in the photo's pixels."""

    label: int
    confidence: float
    box: Box | None


def check_box(box: Box, photo: Pixels, what: str) -> None:
    """Refuse a box (x0, y0, x1, y1 in pixels) without an inside or not inside ``photo (h, w, c)``."""
    x0, y0, x1, y1 = box
    height, width = photo.shape[:2]
    if not (np.isfinite(box).all() and x0 < x1 and y0 < y1):
        raise BadInput(f"expected a box as x1,y1,x2,y2 with x1 < x2 and y1 < y2, got {_words(box)}")
    if min(x0, y0) < 0 or x1 > width or y1 > height:
        raise BadInput(f"expected a box inside {what}, which is {width}x{height} pixels, got {_words(box)}")


def _words(box: Box) -> str:
    return ",".join(f"{side:g}" for side in box)


def ask(network: ImageNetwork, photo: Pixels, box: Box | None = None) -> Answer:
    """What a classifier says to ``photo (h, w, c)`` uint8, or to the part of it in ``box``. Refuses detectors."""
    check_classifier(network)
    height, width = photo.shape[:2]
    x0, y0, x1, y1 = part = box or (0, 0, width, height)
    check_box(part, photo, "the photo")
    pictures = _resized(photo, part, network)
    given = predict(network, pictures)
    found = None
    if network.task == "locate":
        _, rows, columns = network.input_size
        scale = np.array([(x1 - x0) / columns, (y1 - y0) / rows] * 2)
        sides = np.clip(_located(network, pictures) * scale + (x0, y0, x0, y0), 0, (width, height, width, height))
        first, second = np.minimum(sides[:2], sides[2:]), np.maximum(sides[:2], sides[2:])
        found = float(first[0]), float(first[1]), float(second[0]), float(second[1])
    return Answer(int(given.labels[0]), float(given.confidence[0]), found)


def detect_photo(network: ImageNetwork, photo: Pixels) -> Detections:
    """What a detector sees in ``photo (h, w, c)`` uint8, its boxes in the photo's pixels. Refuses classifiers."""
    height, width = photo.shape[:2]
    _, rows, columns = network.input_size
    seen = detect(network, _resized(photo, (0, 0, width, height), network))
    scale = np.array([width / columns, height / rows] * 2, np.float32)
    return replace(seen, boxes=seen.boxes * scale)


def _resized(photo: Pixels, box: Box, network: ImageNetwork) -> Pixels:
    """The part in ``box`` as one picture (1, h, w, c) of the network's input size, bilinear with anti-aliasing."""
    _, rows, columns = network.input_size
    left, top = int(box[0]), int(box[1])
    # Cut out first: the filter would look a little beyond the box.
    part = photo[top : int(np.ceil(box[3])), left : int(np.ceil(box[2]))]
    inside = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    return np.array(resized(part, (rows, columns), inside)[None])


@torch.inference_mode()
def _located(network: ImageNetwork, pictures: Pixels) -> NDArray[np.float64]:
    """The box (4,) of one picture, in pixels of the input."""
    with evaluating(network):
        _, boxes = network(network.floats(pictures), True)
    sides: NDArray[np.float64] = boxes[0].double().cpu().numpy()
    return sides
