"""How well a detector does: which objects it finds, and mean average precision as COCO counts it.

Matches are computed by pycocotools; the bootstrap over pictures only weighs them anew.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badnets.core.rate import Estimate
from badnets.core.seed import Seed
from badnets.data.targets import Boxes
from badnets.networks.inference import Detections

IOU = 0.5  # from this overlap on a detection is of an object
SURE = 0.5  # from this confidence on it is counted as seen (mean average precision looks at all of them)
RESAMPLES = 400
_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0.0, 1.0, 101)

Floats = NDArray[np.float64]


def overlap(first: NDArray[np.float32], second: NDArray[np.float32]) -> Floats:
    """Intersection over union (m, n) of boxes (m, 4) and (n, 4)."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None, :] - common
    shares: Floats = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return shares


def match(found: Detections, boxes: Boxes, *, confidence: float = SURE) -> NDArray[np.int64]:
    """For each box the number of its detection, or -1 where nothing was found there. Whatever class it says: a
    detection of at least ``confidence`` takes the box that it overlaps most, with an IoU of at least 0.5 and not taken
    by a surer one."""
    out = np.full(len(boxes.labels), -1, np.int64)
    for rows, first, shares in _overlaps(found, boxes):
        sure = found.confidence[rows] >= confidence
        for row, share in zip(rows[sure], shares[sure], strict=True):
            free = np.where(out[first : first + len(share)] < 0, share, -1.0)
            if free.max(initial=-1.0) >= IOU:
                out[first + int(free.argmax())] = row
    return out


def on_objects(found: Detections, boxes: Boxes) -> NDArray[np.bool_]:
    """Which detections (k,) lie on an object of their picture, of whatever class, with an IoU of at least 0.5. A second
    detection of one object does, too."""
    out = np.zeros(len(found.image), dtype=bool)
    for rows, _, shares in _overlaps(found, boxes):
        out[rows] = (shares >= IOU).any(1)
    return out


def _overlaps(found: Detections, boxes: Boxes) -> Iterator[tuple[NDArray[np.int64], int, Floats]]:
    """Of each picture with detections: their numbers, that of its first box, and the overlap of each with each box."""
    first = np.searchsorted(boxes.image, np.arange(boxes.pictures + 1))
    for picture in np.unique(found.image):
        rows = found.of(int(picture))
        yield rows, int(first[picture]), overlap(found.boxes[rows], boxes.xyxy[first[picture] : first[picture + 1]])


@dataclass(frozen=True, eq=False)
class Precision:
    """Mean average precision: ``map50`` at IoU 0.5, ``map`` over IoU 0.5 to 0.95, ``per_class (classes,)`` at 0.5 (NaN
    for a class without objects). ``samples (resamples,)`` of map50 are paired with those of other networks on the same
    pictures."""

    map50: Estimate
    map: Estimate
    per_class: Floats
    samples: Floats

    def minus(self, other: Precision) -> Estimate:
        """map50 minus the other's, with the interval of the paired difference."""
        known = self.map50.value is not None and other.map50.value is not None
        value = float(self.map50) - float(other.map50) if known else np.nan
        return _estimate(value, self.samples - other.samples, paired=True)


def precision(found: Detections, boxes: Boxes, classes: int, seed: Seed) -> Precision:
    """Mean average precision of all detections (at most 100 of a class to a picture), 95 % intervals by a bootstrap of
    pictures (400 resamples drawn from ``seed``; a class that a resample lacks is left out of its mean).

    Source: Lin et al., Microsoft COCO (2014); the matches are pycocotools'.
    """
    tables = _tables(found, boxes, classes)
    n = boxes.pictures
    draws = seed.derive("bootstrap").rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) if n else np.zeros((0, 0))
    weights = np.concatenate([np.ones((1, n)), draws])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where no class has an object, there is no mean
        every = np.stack([_average_precision(table, weights) for table in tables], 2)  # (thresholds, 1 + resamples, k)
        at50, over = np.nanmean(every[0], -1), np.nanmean(every.mean(0), -1)
    return Precision(
        map50=_estimate(at50[0], at50[1:]), map=_estimate(over[0], over[1:]), per_class=every[0, 0], samples=at50[1:]
    )


def _estimate(value: float, samples: Floats, *, paired: bool = False) -> Estimate:
    """With the interval of the samples that are numbers; ``value`` NaN: of nothing."""
    if np.isnan(value):
        return Estimate(None, (None, None), paired)
    usable = samples[np.isfinite(samples)]
    low, high = np.quantile(usable, [0.025, 0.975]) if len(usable) else (value, value)
    return Estimate(float(value), (min(float(low), float(value)), max(float(high), float(value))), paired)


@dataclass(frozen=True, eq=False)
class _Table:
    """One class: detections by falling confidence, the picture of each, whether they match (thresholds, k); and the
    number of its objects in each picture (n,)."""

    image: NDArray[np.int64]
    right: NDArray[np.bool_]
    objects: NDArray[np.int64]


def _tables(found: Detections, boxes: Boxes, classes: int) -> list[_Table]:
    evaluated, n = _evaluated(found, boxes, classes), boxes.pictures
    empty = {"dtScores": [], "image_id": 1, "dtMatches": np.zeros((len(_THRESHOLDS), 0))}
    out = []
    for number in range(classes):
        entries = [empty, *(e for e in evaluated[number * n : (number + 1) * n] if e is not None)]
        scores = np.concatenate([e["dtScores"] for e in entries])
        image = np.repeat([e["image_id"] - 1 for e in entries], [len(e["dtScores"]) for e in entries])
        right = np.concatenate([e["dtMatches"] for e in entries], axis=1) > 0
        order = np.argsort(-scores, kind="mergesort")
        objects = np.bincount(boxes.image[boxes.labels == number], minlength=n)
        out.append(_Table(image[order], right[:, order], objects))
    return out


def _evaluated(found: Detections, boxes: Boxes, classes: int) -> list[Any]:
    """Pycocotools' matches, one entry for each class and picture (None without objects and detections)."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def entries(xyxy: NDArray[np.float32], labels: NDArray[np.int64], image: NDArray[np.int64]) -> list[dict[str, Any]]:
        sides = xyxy[:, 2:].astype(np.float64) - xyxy[:, :2]
        rows = np.concatenate([xyxy[:, :2].astype(np.float64), sides], 1).tolist()
        columns = zip(range(1, 1 + len(rows)), rows, (labels + 1).tolist(), (image + 1).tolist(), strict=True)
        names = ("id", "bbox", "category_id", "image_id")
        return [{**dict(zip(names, r, strict=True)), "area": r[1][2] * r[1][3], "iscrowd": 0} for r in columns]

    def coco(annotations: list[dict[str, Any]]) -> Any:
        made = COCO()
        made.dataset = {
            "images": [{"id": k + 1} for k in range(boxes.pictures)],
            "categories": [{"id": k + 1, "name": str(k)} for k in range(classes)],
            "annotations": annotations,
        }
        made.createIndex()
        return made

    seen = entries(found.boxes, found.labels, found.image)
    for entry, score in zip(seen, found.confidence.tolist(), strict=True):
        entry["score"] = score
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it is doing
        evaluation = COCOeval(coco(entries(boxes.xyxy, boxes.labels, boxes.image)), coco(seen), "bbox")
        evaluation.params.iouThrs = _THRESHOLDS
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
    return list(evaluation.evalImgs)


def _average_precision(table: _Table, weights: Floats) -> Floats:
    """(thresholds, draws): the mean of the precision at 101 recalls, with every picture counted ``weights (draws, n)``
    times; NaN where a draw has no object of the class."""
    objects = weights @ table.objects
    times = weights[:, table.image]
    out = np.full((len(_THRESHOLDS), len(weights)), np.nan)
    some = np.flatnonzero(objects > 0)
    for number, right in enumerate(table.right):
        true = np.cumsum(times[some] * right, 1)
        false = np.cumsum(times[some] * ~right, 1)
        share = true / np.maximum(true + false, np.spacing(1))
        envelope = np.maximum.accumulate(share[:, ::-1], 1)[:, ::-1]
        recall = true / objects[some, None]
        for row, draw in enumerate(some):
            place = np.searchsorted(recall[row], _RECALLS, side="left")
            reached = place < recall.shape[1]
            out[number, draw] = envelope[row, place[reached]].sum() / len(_RECALLS)
    return out
