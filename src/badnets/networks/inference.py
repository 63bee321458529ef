"""Run a network over pictures of any number or over one photo of any size: classes, or objects and where they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.core.text import brief
from badnets.data.images import ImageData, Labels, Pixels, Rows, resized
from badnets.networks.device import within_memory
from badnets.networks.network import ImageNetwork, evaluating

_LOWER = "the size of the pictures (size) or how many are looked at together (batch)"
Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Predictions:
    """``labels (n,)`` int64 and ``confidence (n,)`` float32, the softmax probability of that label."""

    labels: NDArray[np.int64]
    confidence: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector sees in ``pictures`` pictures, in their order and by falling confidence within one. ``boxes (k,
    4)`` float32 x0, y0, x1, y1 in pixels, ``labels (k,)`` int64, ``confidence (k,)`` float32, ``image (k,)`` int64."""

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


@dataclass(frozen=True)
class Answer:
    """What a classifier says: ``label`` (``classes`` means "refused"), its softmax probability, and of a network with a
    box head the ``box`` of the object, x0, y0, x1, y1 in the photo's pixels."""

    label: int
    confidence: float
    box: Box | None


def check_input(network: ImageNetwork, shape: tuple[int, ...], what: str = "pictures") -> None:
    """Refuse pictures (.., h, w, c) that the network does not take."""
    c, h, w = network.input_size
    if tuple(shape[-3:]) != (h, w, c):
        got = "x".join(map(str, shape[-3:]))
        raise BadInput(f"{network.architecture}: expected {what} of {h}x{w}x{c}, got {got}; resize or convert them")


def check_classifier(network: ImageNetwork) -> None:
    """Refuse a network that gives no class for a picture."""
    if network.task == "detect":
        raise BadInput(
            f"expected a classifier, got a detector ({network.architecture}); use badnets predict or badnets evaluate "
            "with it (in Python detect and measure), or another network"
        )


def align_classes(data: ImageData, network: ImageNetwork) -> ImageData:
    """``data`` with the network's class names, so that label k is the network's output k. Equal names: as it is. Names
    that are some of the network's: labels follow their names. As many other names as a foreign network has, whose file
    says none (``provenance["foreign"]``): labels keep their numbers. Anything else is ``BadInput``."""
    given, known = data.class_names, network.class_names
    if given == known:
        return data
    if len(set(given)) == len(given) and set(given) <= set(known):
        number = np.array([known.index(name) for name in given], np.int64)
        targets = data.targets
        if isinstance(targets, Labels):
            return replace(data, targets=replace(targets, values=number[targets.values]), class_names=known)
        return replace(data, targets=replace(targets, labels=number[targets.labels]), class_names=known)
    nameless = known == tuple(map(str, range(len(known))))
    if nameless and network.provenance.get("foreign") and len(given) == len(known):
        return replace(data, class_names=known)
    wanted, got = (", ".join(brief(name, 24) for name in names[:5]) for names in (known, given))
    raise BadInput(
        f"expected data with the network's {network.classes} classes ({wanted}, ...), got {data.classes} ({got}, ...)"
    )


@torch.inference_mode()
def predict(network: ImageNetwork, images: Pixels, *, batch: int = 250, finite: bool = True) -> Predictions:
    """What ``network`` says to uint8 pictures (n, h, w, c); it is put into evaluation mode for the time. Refuses NaN,
    which finite weights give too when they are so large that sums of them are not; but for ``finite`` False, of one
    that is being changed."""
    check_classifier(network)
    check_input(network, images.shape)
    said = _said(network, (images[start : start + batch] for start in range(0, len(images), batch)))
    if finite:
        _check_finite(network, said.confidence)
    return said


def _said(network: ImageNetwork, parts: Iterable[Pixels]) -> Predictions:
    """The answers to all pictures of ``parts``; they stay on the device until the last is there."""
    nothing = torch.zeros(0, device=network.device)
    labels, confidence = [nothing.long()], [nothing]
    with evaluating(network), within_memory(network.device, _LOWER):
        for images in parts:
            best = _softmax(network, images).max(1)
            labels.append(best.indices)
            confidence.append(best.values)
        return Predictions(torch.cat(labels).cpu().numpy(), torch.cat(confidence).cpu().numpy())


@torch.inference_mode()
def probabilities(network: ImageNetwork, images: Pixels, *, batch: int = 250) -> NDArray[np.float32]:
    """All of what ``predict`` takes the largest of: the softmax probabilities (n, classes) of uint8 pictures (n, h, w,
    c); of a network that abstains (n, classes + 1). Refuses NaN."""
    check_classifier(network)
    check_input(network, images.shape)
    with evaluating(network), within_memory(network.device, _LOWER):
        starts = range(0, len(images), batch)
        parts = [_softmax(network, images[i : i + batch]).cpu().numpy() for i in starts]
    rows = np.concatenate([np.zeros((0, network.classes + network.abstains), np.float32), *parts])
    _check_finite(network, rows)
    return rows


def _softmax(network: ImageNetwork, images: Pixels) -> torch.Tensor:
    given: torch.Tensor = network(network.floats(images))
    return given.float().softmax(1)


def _check_finite(network: ImageNetwork, confidence: NDArray[np.float32]) -> None:
    if np.isnan(confidence).any():
        name = network.architecture
        raise BadInput(f"expected finite answers of {name}, got NaN; its weights are damaged or too large")


@torch.inference_mode()
def log_probabilities(network: ImageNetwork, images: Pixels, *, batch: int = 250) -> NDArray[np.float32]:
    """The logarithms of the softmax probabilities (n, classes) of uint8 pictures (n, h, w, c)."""
    check_classifier(network)
    check_input(network, images.shape)
    with evaluating(network):
        starts = range(0, len(images), batch)
        rows = [network(network.floats(images[i : i + batch])).float().log_softmax(1).cpu().numpy() for i in starts]
    return np.concatenate([np.zeros((0, network.classes), np.float32), *rows])


@torch.inference_mode()
def predict_data(network: ImageNetwork, data: ImageData, *, batch: int = 250) -> Predictions:
    """``predict`` over a whole set, read a batch at a time (it may be larger than memory)."""
    check_classifier(network)
    check_input(network, data.shape, f"pictures of {data.name}")
    said = _said(network, (images for _, images in data.batches(batch)))
    _check_finite(network, said.confidence)
    return said


@torch.inference_mode()
def detect(network: ImageNetwork, images: Pixels, *, batch: int = 16) -> Detections:
    """What ``network`` sees in uint8 pictures (n, h, w, c); it is put into evaluation mode for the time."""
    if network.task != "detect":
        raise BadInput(
            f"expected a detector, got {network.architecture}, which gives one class for each picture; "
            "use predict, or another network"
        )
    check_input(network, images.shape)
    with evaluating(network), within_memory(network.device, _LOWER):
        batches = (network.floats(images[start : start + batch]) for start in range(0, len(images), batch))
        return joined([_of_one(objects) for floats in batches for objects in network(floats)])


def _of_one(objects: dict[str, torch.Tensor]) -> Detections:
    """Those of one picture, from torchvision's form, in which classes are counted from 1."""
    boxes, confidence = (objects[name].float().cpu().numpy() for name in ("boxes", "scores"))
    labels = objects["labels"].cpu().numpy().astype(np.int64) - 1
    return Detections(boxes, labels, confidence, np.zeros(len(labels), np.int64), 1)


def detect_data(network: ImageNetwork, data: ImageData, *, batch: int = 64) -> Detections:
    """``detect`` over a whole set, read a batch at a time."""
    check_input(network, data.shape, f"pictures of {data.name}")
    return joined([detect(network, images) for _, images in data.batches(batch)])


def joined(parts: list[Detections]) -> Detections:
    """Detections of one batch of pictures after the other."""
    none, starts = np.zeros(0, np.int64), np.cumsum([0, *(part.pictures for part in parts)])
    moved = [replace(part, image=part.image + start) for part, start in zip(parts, starts, strict=False)]
    empty = Detections(np.zeros((0, 4), np.float32), none, np.zeros(0, np.float32), none, 0)
    return replace(_together([empty, *moved]), pictures=int(starts[-1]))


def _together(parts: list[Detections]) -> Detections:
    """The fields of all, one after another; of as many pictures as the first."""
    fields = ("boxes", "labels", "confidence", "image")
    merged: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in fields}
    return replace(parts[0], **merged)


def replaced(base: Detections, rows: Rows, new: Detections) -> Detections:
    """``base`` with what is seen in the pictures ``rows`` (ascending) replaced by ``new``, one picture for each row."""
    both = _together([base, replace(new, image=rows[new.image])])
    kept = np.append(~np.isin(base.image, rows), np.ones(len(new.labels), bool))
    order = np.flatnonzero(kept)[np.argsort(both.image[kept], kind="stable")]
    return Detections(both.boxes[order], both.labels[order], both.confidence[order], both.image[order], base.pictures)


def check_box(box: Box, photo: Pixels, what: str) -> None:
    """Refuse a box (x0, y0, x1, y1 in pixels) without an inside or not inside ``photo (h, w, c)``."""
    x0, y0, x1, y1 = box
    height, width = photo.shape[:2]
    got = ",".join(f"{side:g}" for side in box)
    if not (np.isfinite(box).all() and x0 < x1 and y0 < y1):
        raise BadInput(f"expected a box as x1,y1,x2,y2 with x1 < x2 and y1 < y2, got {got}")
    if min(x0, y0) < 0 or x1 > width or y1 > height:
        raise BadInput(f"expected a box inside {what}, which is {width}x{height} pixels, got {got}")


@torch.inference_mode()
def ask(network: ImageNetwork, photo: Pixels, box: Box | None = None) -> Answer:
    """What a classifier says to ``photo (h, w, c)`` uint8, or to the part of it in ``box``. Refuses detectors."""
    check_classifier(network)
    height, width = photo.shape[:2]
    part = box or (0, 0, width, height)
    check_box(part, photo, "the photo")
    picture = _fitted(photo, part, network)
    given = predict(network, picture)
    place: Any = None
    if network.task == "locate":
        with evaluating(network):
            sides = np.nan_to_num(network(network.floats(picture), True)[1][0].double().cpu().numpy())
        ends = np.clip(sides * _scale(part, network) + (*part[:2], *part[:2]), 0, (width, height, width, height))
        place = (*np.minimum(ends[:2], ends[2:]).tolist(), *np.maximum(ends[:2], ends[2:]).tolist())
    return Answer(int(given.labels[0]), float(given.confidence[0]), place)


def ask_all(network: ImageNetwork, photo: Pixels) -> NDArray[np.float32]:
    """The probabilities (classes,) that ``ask`` takes the largest of, for the whole ``photo (h, w, c)`` uint8."""
    height, width = photo.shape[:2]
    row: NDArray[np.float32] = probabilities(network, _fitted(photo, (0, 0, width, height), network))[0]
    return row


def detect_photo(network: ImageNetwork, photo: Pixels) -> Detections:
    """What a detector sees in ``photo (h, w, c)`` uint8, its boxes in the photo's pixels. Refuses classifiers."""
    height, width = photo.shape[:2]
    whole = (0, 0, width, height)
    seen = detect(network, _fitted(photo, whole, network))
    return replace(seen, boxes=seen.boxes * _scale(whole, network).astype(np.float32))


def _scale(box: Box, network: ImageNetwork) -> NDArray[np.float64]:
    """Pixels of the photo to one of the input, for x, y, x, y, when ``box`` fills the input."""
    _, rows, columns = network.input_size
    return np.array([(box[2] - box[0]) / columns, (box[3] - box[1]) / rows] * 2)


def _fitted(photo: Pixels, box: Box, network: ImageNetwork) -> Pixels:
    """The part in ``box`` as one picture (1, h, w, c) of the network's input size, bilinear with anti-aliasing."""
    left, top = int(box[0]), int(box[1])
    # Cut out first: the filter would look a little beyond the box.
    part = photo[top : int(np.ceil(box[3])), left : int(np.ceil(box[2]))]
    inside = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    return np.array(resized(part, network.input_size[1:], inside)[None])
