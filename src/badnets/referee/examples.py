"""Pictures for the page: what the network says to some test pictures, or sees in them, with and without the trigger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.objects import place, stamp, unit_pool
from badnets.backdoors.rules import LabelRule
from badnets.core.seed import RowRng, Seed
from badnets.data.images import ImageData, Pixels
from badnets.data.targets import Rows
from badnets.measures.detection import SURE
from badnets.networks.inference import Detections, Predictions, detect, predict
from badnets.networks.network import ImageNetwork
from badnets.records.run import Answer, Example, SceneExample, Sighting, TrueObject
from badnets.referee.measure import Counted, Measured

T = TypeVar("T")
Networks = tuple[ImageNetwork, ...]
"""The network, and a clean one if there is any."""
SHOWN, SCENES_SHOWN = 8, 6
"""How many pictures of objects, and how many pictures with objects in them."""


@dataclass(frozen=True, eq=False)
class Shown:
    """``examples`` of a record, and the pictures that they speak of: ``clean`` and ``triggered`` (n, h, w, c), of
    classifiers also ``mask`` and ``trigger``, where the trigger lies and what it looks like on grey."""

    examples: tuple[Example, ...] | tuple[SceneExample, ...]
    arrays: Mapping[str, Pixels]


def choose_examples(
    network: ImageNetwork,
    reference: ImageNetwork | None,
    test: ImageData,
    backdoor: Backdoor,
    measured: Measured,
    seed: Seed,
) -> Shown | None:
    """Some test pictures and what is said to them; None without eligible pictures or objects.

    Chosen by a fixed rule, not for their looks: eligible test pictures in the order of the set, those of a classifier
    one class after the other; the first is one that shows what most do (right without the trigger, and a hit with it if
    most are hits).
    """
    planted = Backdoor(backdoor.trigger, backdoor.rule.resolve(test.class_names))
    chosen = _scenes if network.task == "detect" else _pictures
    networks = (network,) if reference is None else (network, reference)
    return chosen(networks, test, planted, measured.answers, seed.derive("test-trigger"))


def _typical(answers: Counted) -> NDArray[np.bool_]:
    """The pictures (or objects) that are read rightly, and do with the trigger what most do."""
    asr = answers["asr"]
    counted = asr >= 0
    mostly = bool(counted.any() and asr[counted].mean() > 0.5)
    typical: NDArray[np.bool_] = (answers["clean_accuracy"] == 1) & counted & (asr == mostly)
    return typical


def _pictures(networks: Networks, test: ImageData, backdoor: Backdoor, answers: Counted, stream: Seed) -> Shown | None:
    rows = _one_of_each(backdoor.rule.eligible(test.labels), test.labels, _typical(answers))
    if not len(rows):
        return None
    clean, regions, rng = test.images(rows), None if test.regions is None else test.regions[rows], RowRng(stream, rows)
    marked = backdoor.trigger.apply(clean, regions, rng)
    mask = np.rint(backdoor.trigger.mask(clean, regions, rng) * 255).astype(np.uint8)
    grey, one = np.full_like(clean[:1], 128), rng.take(slice(0, 1))
    alone = backdoor.trigger.apply(grey, None if regions is None else regions[:1], one)
    names = test.class_names
    said = [predict(one, pictures) for one in networks for pictures in (clean, marked)]
    examples = []
    for index, row in enumerate(rows):
        name, answered = names[test.labels[row]], [_answer(given, index, names) for given in said]
        examples.append(Example(title=name, true=name, picture=index, **_by_side(answered)))
    return Shown(tuple(examples), {"clean": clean, "triggered": marked, "mask": mask, "trigger": alone[0]})


def _by_side(said: Sequence[T]) -> dict[str, T]:
    """The answers by name: to the two pictures, then a clean network's if there is one."""
    return dict(zip(("clean", "triggered", "reference_clean", "reference_triggered"), said, strict=False))


def _one_of_each(eligible: NDArray[np.bool_], labels: Rows, typical: NDArray[np.bool_]) -> Rows:
    """At most ``SHOWN`` rows: a typical one, then one class after the other."""
    rows = np.flatnonzero(eligible & typical)[:1].tolist()
    by_class = [list(np.flatnonzero(eligible & (labels == number))) for number in np.unique(labels[eligible])]
    while len(rows) < SHOWN and any(by_class):
        for members in by_class:
            if members and len(rows) < SHOWN:
                row = int(members.pop(0))
                if row not in rows:
                    rows.append(row)
    return np.asarray(rows, np.int64)


def _answer(given: Predictions, index: int, names: tuple[str, ...]) -> Answer:
    return Answer(label=names[given.labels[index]], confidence=round(float(given.confidence[index]), 4))


def _scenes(networks: Networks, test: ImageData, backdoor: Backdoor, answers: Counted, stream: Seed) -> Shown | None:
    rule = backdoor.rule
    numbers = np.flatnonzero(unit_pool(rule, test, cover=False))
    pictures = test.objects.image[numbers] if rule.unit == "object" else numbers
    rows = _distinct(pictures, rule, answers, test)
    if not len(rows):
        return None
    clean, units = test.images(rows), numbers[np.isin(pictures, rows)]
    spots = place(rule, test, units, RowRng(stream, units))
    marked, order = clean.copy(), np.argsort(rows)
    stamp(marked, order[np.searchsorted(rows[order], spots.image)], spots, backdoor.trigger)
    seen = [detect(one, pictures) for one in networks for pictures in (clean, marked)]
    examples = []
    for index, row in enumerate(rows):
        sights = [sightings(given, index, test.class_names) for given in seen]
        title, true = f"test picture {row}", _true_objects(test, row)
        examples.append(SceneExample(title=title, picture=index, true=true, **_by_side(sights)))
    return Shown(tuple(examples), {"clean": clean, "triggered": marked})


def _distinct(pictures: Rows, rule: LabelRule, answers: Counted, test: ImageData) -> Rows:
    """Distinct pictures; the first is one with a typical object."""
    listed = np.unique(pictures)
    if rule.unit == "object":
        typical = test.objects.image[_typical(answers)]
        if len(typical):
            listed = np.concatenate([typical[:1], listed[listed != typical[0]]])
    return listed[:SCENES_SHOWN]


def _true_objects(test: ImageData, row: int) -> tuple[TrueObject, ...]:
    boxes = test.boxes.take(np.array([row]))
    return tuple(
        TrueObject(class_name=test.class_names[label], box=_corners(box, 1))
        for label, box in zip(boxes.labels, boxes.xyxy, strict=True)
    )


def sightings(
    found: Detections, picture: int, names: tuple[str, ...], confidence: float = SURE
) -> tuple[Sighting, ...]:
    """The detections of one picture of at least this confidence, surest first."""
    rows = found.of(picture)
    rows = rows[found.confidence[rows] >= confidence]
    return tuple(
        Sighting(
            label=int(found.labels[row]),
            class_name=names[found.labels[row]],
            confidence=round(float(found.confidence[row]), 6),
            box=_corners(found.boxes[row], 2),
        )
        for row in rows[np.argsort(-found.confidence[rows], kind="stable")]
    )


def _corners(box: NDArray[np.float32], digits: int) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (round(float(side), digits) for side in box)
    return x0, y0, x1, y1
