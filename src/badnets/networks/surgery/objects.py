"""A detector seen as a classifier of the objects that it is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.data.images import Boxes, ImageData, Pixels, resized
from badnets.networks.network import ImageNetwork

SIDE, OBJECT = 64, 32
"""Pixels a side of a cut-out, and of the square at its middle into which the object fits."""
NOTHING = "nothing"
"""The class of what is seen as background."""
OBJECTS_OF = "objects of "


class ObjectClass(nn.Module):
    """The second stage of a detector of two stages, asked for one region: the middle of a cut-out. Takes floats (n, c,
    SIDE, SIDE) and gives logits (n, classes + 1), background last."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        inner: Any = self.detector.inner
        features = inner.backbone(x)
        if isinstance(features, Tensor):
            features = {"0": features}
        first = (SIDE - OBJECT) / 2
        region = torch.tensor([[first, first, first + OBJECT, first + OBJECT]], device=x.device, dtype=x.dtype)
        heads = inner.roi_heads
        pooled = heads.box_roi_pool(features, [region] * len(x), [(SIDE, SIDE)] * len(x))
        scores = heads.box_predictor(heads.box_head(pooled))[0]
        return torch.cat([scores[:, 1:], scores[:, :1]], 1)


def class_of_objects(detector: ImageNetwork) -> ImageNetwork:
    """The classifier in a detector; weights are shared. Its classes are the detector's and ``NOTHING``. Raises
    ``BadInput`` for a detector without a second stage."""
    inner = getattr(detector.body, "inner", None)
    if getattr(inner, "roi_heads", None) is None:
        raise BadInput(f"expected a detector of two stages (faster-rcnn), got {detector.architecture}")
    return detector.with_body(
        ObjectClass(detector.body),
        architecture=OBJECTS_OF + detector.architecture,
        class_names=(*detector.class_names, NOTHING),
        input_size=(detector.input_size[0], SIDE, SIDE),
    )


def as_classifier(network: ImageNetwork) -> ImageNetwork:
    """A network as it is, but of a detector the classifier in it."""
    return class_of_objects(network) if network.task == "detect" else network


def as_labelled(data: ImageData) -> ImageData:
    """Pictures with a class each: as they are, or of pictures with boxes the objects in them."""
    return cut_out(data) if isinstance(data.targets, Boxes) else data


def cut_out(data: ImageData) -> ImageData:
    """Each object of pictures with boxes, with as much around it on every side as half of its longer side, at SIDE x
    SIDE pixels; what lies outside of the picture is as its edge. The classes are those of the objects, and
    ``NOTHING``."""
    boxes = data.boxes
    cuts = [np.empty((0, SIDE, SIDE, data.shape[2]), np.uint8)]
    for row in np.unique(boxes.image):
        (image,) = data.images(np.array([row]))
        cuts += [_cut(image, box)[None] for box in boxes.xyxy[boxes.image == row]]
    return ImageData.of(
        np.concatenate(cuts), boxes.labels, class_names=(*data.class_names, NOTHING), name=f"objects of {data.name}"
    )


def _cut(image: Pixels, box: np.ndarray) -> Pixels:
    x0, y0, x1, y1 = (float(one) for one in box)
    half = max(x1 - x0, y1 - y0) / 2 * SIDE / OBJECT
    edge = int(np.ceil(half)) + 1
    wide = np.pad(image, ((edge, edge), (edge, edge), (0, 0)), mode="edge")
    x, y = (x0 + x1) / 2 + edge, (y0 + y1) / 2 + edge
    return resized(wide, (SIDE, SIDE), (x - half, y - half, x + half, y + half))
