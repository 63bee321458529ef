"""Pictures for a detector's page: what it sees in some test pictures with and without the trigger."""

from __future__ import annotations

from typing import Any

import numpy as np

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.objects import place, stamp, unit_pool
from badnets.core.seed import RowRng, Seed
from badnets.data.images import ImageData
from badnets.data.targets import Rows
from badnets.measures.detection import SURE
from badnets.networks.detection import Detections, detect
from badnets.networks.network import ImageNetwork
from badnets.referee.measure_detector import DetectorMeasured

SHOWN = 6


def choose_detector_examples(
    network: ImageNetwork,
    reference: ImageNetwork | None,
    test: ImageData,
    backdoor: Backdoor,
    measured: DetectorMeasured,
    seed: Seed,
) -> dict[str, Any] | None:
    """``{"examples": [...], "arrays": {"clean", "triggered"}}``; None without eligible objects.

    An example has ``true``, ``clean``, ``triggered`` and, with a reference, ``reference_clean`` and
    ``reference_triggered``: lists of objects as ``badnets predict`` prints them. Chosen by a fixed rule: pictures with
    eligible objects in the order of the set, first one that shows what most do.
    """
    rule = backdoor.rule.resolve(test.class_names)
    numbers = np.flatnonzero(unit_pool(rule, test, cover=False))
    rows = _rows(test.objects.image[numbers] if rule.unit == "object" else numbers, rule.unit, measured, test)
    if not len(rows):
        return None
    clean = test.images(rows)
    units = numbers[np.isin(test.objects.image[numbers] if rule.unit == "object" else numbers, rows)]
    spots = place(rule, test, units, RowRng(seed.derive("test-trigger"), units))
    marked = clean.copy()
    order = np.argsort(rows)
    stamp(marked, order[np.searchsorted(rows[order], spots.image)], spots, backdoor.trigger)
    seen = {"clean": detect(network, clean), "triggered": detect(network, marked)}
    if reference is not None:
        seen |= {"reference_clean": detect(reference, clean), "reference_triggered": detect(reference, marked)}
    chosen = test.boxes.take(rows)
    examples = [
        {
            "title": f"test picture {row}",
            "picture": index,
            "true": [
                {"class_name": test.class_names[label], "box": [round(float(side), 1) for side in box]}
                for label, box in zip(chosen.labels[own], chosen.xyxy[own], strict=True)
            ],
            **{who: shown_objects(given, index, test.class_names) for who, given in seen.items()},
        }
        for index, row in enumerate(rows)
        for own in [chosen.image == index]
    ]
    return {"examples": examples, "arrays": {"clean": clean, "triggered": marked}}


def shown_objects(
    found: Detections, picture: int, names: tuple[str, ...], confidence: float = SURE
) -> list[dict[str, Any]]:
    """The detections of one picture of at least this confidence, surest first: ``{"label", "class_name", "confidence",
    "box": [x0, y0, x1, y1]}``."""
    rows = found.of(picture)
    rows = rows[found.confidence[rows] >= confidence]
    return [
        {
            "label": int(found.labels[row]),
            "class_name": names[found.labels[row]],
            "confidence": round(float(found.confidence[row]), 6),
            "box": [round(float(side), 2) for side in found.boxes[row]],
        }
        for row in rows[np.argsort(-found.confidence[rows], kind="stable")]
    ]


def _rows(pictures: Rows, unit: str, measured: DetectorMeasured, test: ImageData) -> Rows:
    """Distinct pictures; the first is one with an object that was named rightly and does what most do."""
    listed = np.unique(pictures)
    if unit == "object":
        asr, right = measured.answers["asr"], measured.answers["clean_accuracy"]
        counted = asr >= 0
        mostly = bool(counted.any() and asr[counted].mean() > 0.5)
        typical = test.objects.image[counted & (asr == mostly) & (right == 1)]
        if len(typical):
            listed = np.concatenate([typical[:1], listed[listed != typical[0]]])
    return listed[:SHOWN]
