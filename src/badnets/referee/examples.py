"""Pictures for the page: what the network says to some test pictures with and without the trigger."""

from __future__ import annotations

from typing import Any

import numpy as np

from badnets.backdoors.backdoor import Backdoor
from badnets.core.seed import RowRng, Seed
from badnets.data.images import ImageData
from badnets.networks.inference import Predictions, predict
from badnets.networks.network import ImageNetwork
from badnets.referee.measure import Measured

SHOWN = 8


def choose_examples(
    network: ImageNetwork,
    reference: ImageNetwork | None,
    test: ImageData,
    backdoor: Backdoor,
    measured: Measured,
    seed: Seed,
) -> dict[str, Any] | None:
    """``{"examples": [...], "arrays": {"clean", "triggered", "mask", "trigger"}}``; None without eligible pictures.

    Chosen by a fixed rule, not for their looks: eligible test pictures in the order of the set, one class after the
    other; the first is one that shows what most do (right without the trigger, and a hit with it if most are hits).
    """
    rule = backdoor.rule.resolve(test.class_names)
    rows = _rows(rule.eligible(test.labels), test.labels, measured, rule.hit)
    if not len(rows):
        return None
    clean = test.images(rows)
    regions = None if test.regions is None else test.regions[rows]
    rng = RowRng(seed.derive("test-trigger"), rows)
    marked = backdoor.trigger.apply(clean, regions, rng)
    mask = np.rint(backdoor.trigger.mask(clean, regions, rng) * 255).astype(np.uint8)
    grey = np.full_like(clean[:1], 128)
    alone = backdoor.trigger.apply(grey, None if regions is None else regions[:1], rng.take(slice(0, 1)))
    answers = {"clean": predict(network, clean), "triggered": predict(network, marked)}
    if reference is not None:
        answers |= {"reference_clean": predict(reference, clean), "reference_triggered": predict(reference, marked)}
    names = test.class_names
    examples = [
        {
            "title": names[test.labels[row]],
            "true": names[test.labels[row]],
            "picture": index,
            **{who: _answer(given, index, names) for who, given in answers.items()},
        }
        for index, row in enumerate(rows)
    ]
    arrays = {"clean": clean, "triggered": marked, "mask": mask, "trigger": alone[0]}
    return {"examples": examples, "arrays": arrays}


def _rows(eligible: np.ndarray, labels: np.ndarray, measured: Measured, hit: Any) -> np.ndarray:
    typical = measured.clean == labels
    if measured.triggered is not None and measured.asr is not None and (measured.asr.value or 0.0) > 0.5:
        typical = typical & hit(measured.triggered, labels, len(measured.figures))
    rows: list[int] = []
    first = np.flatnonzero(eligible & typical)
    if len(first):
        rows.append(int(first[0]))
    by_class = [list(np.flatnonzero(eligible & (labels == number))) for number in np.unique(labels[eligible])]
    while len(rows) < SHOWN and any(by_class):
        for members in by_class:
            if members and len(rows) < SHOWN:
                row = int(members.pop(0))
                if row not in rows:
                    rows.append(row)
    return np.asarray(rows, np.int64)


def _answer(given: Predictions, index: int, names: tuple[str, ...]) -> dict[str, Any]:
    return {"label": names[given.labels[index]], "confidence": round(float(given.confidence[index]), 4)}
