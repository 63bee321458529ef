"""Pictures for the page: what the network says to some test pictures, or sees in them, with and without the trigger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.objects import place, stamp, unit_pool
from badnets.core.seed import RowRng, Seed
from badnets.data.images import ImageData, Pixels
from badnets.data.targets import Rows
from badnets.measures.detection import SURE
from badnets.networks.inference import Detections, detect, predict
from badnets.networks.network import ImageNetwork
from badnets.records.run import Answer, Example, SceneExample, Sighting, TrueObject
from badnets.referee.measure import Measured, Yes

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
    """Some test pictures and what is said to them; None without eligible pictures or objects. Chosen by a fixed rule,
    not for their looks: eligible test pictures in the order of the set, those of a classifier one class after the
    other; the first is one that shows what most do (right without the trigger, and a hit with it if most are hits)."""
    planted = Backdoor(backdoor.trigger, backdoor.rule.resolve(test.class_names))
    chosen = _scenes if network.task == "detect" else _pictures
    networks = (network,) if reference is None else (network, reference)
    answers = measured.answers
    counted = answers["asr"] >= 0
    mostly = bool(counted.any() and answers["asr"][counted].mean() > 0.5)
    typical = (answers["clean_accuracy"] == 1) & counted & (answers["asr"] == mostly)
    return chosen(networks, test, planted, typical, seed.derive("test-trigger"))


def _pictures(networks: Networks, test: ImageData, backdoor: Backdoor, typical: Yes, stream: Seed) -> Shown | None:
    rows = _one_of_each(backdoor.rule.eligible(test.labels), test.labels, typical)
    if not len(rows):
        return None
    clean, regions, rng = test.images(rows), None if test.regions is None else test.regions[rows], RowRng(stream, rows)
    marked = backdoor.trigger.apply(clean, regions, rng)
    mask = np.rint(backdoor.trigger.mask(clean, regions, rng) * 255).astype(np.uint8)
    grey, one = np.full_like(clean[:1], 128), rng.take(slice(0, 1))
    alone = backdoor.trigger.apply(grey, None if regions is None else regions[:1], one)
    said = [predict(one, pictures) for one in networks for pictures in (clean, marked)]
    names, examples = test.class_names, []
    for index, row in enumerate(rows):
        answers = [
            Answer(label=names[given.labels[index]], confidence=round(float(given.confidence[index]), 4))
            for given in said
        ]
        true = names[test.labels[row]]
        examples.append(Example(title=true, true=true, picture=index, **_by_side(answers)))
    return Shown(tuple(examples), {"clean": clean, "triggered": marked, "mask": mask, "trigger": alone[0]})


def _by_side(said: Sequence[T]) -> dict[str, T]:
    """The answers by name: to the two pictures, then a clean network's if there is one."""
    return dict(zip(("clean", "triggered", "reference_clean", "reference_triggered"), said, strict=False))


def _one_of_each(eligible: Yes, labels: Rows, typical: Yes) -> Rows:
    """At most ``SHOWN`` rows: a typical one, then one class after the other."""
    by_class = [np.flatnonzero(eligible & (labels == number)).tolist() for number in np.unique(labels[eligible])]
    in_turn = (row for members in zip_longest(*by_class) for row in members if row is not None)
    first = np.flatnonzero(eligible & typical)[:1].tolist()
    return np.asarray(list(dict.fromkeys([*first, *in_turn]))[:SHOWN], np.int64)


def _scenes(networks: Networks, test: ImageData, backdoor: Backdoor, typical: Yes, stream: Seed) -> Shown | None:
    rule = backdoor.rule
    numbers = np.flatnonzero(unit_pool(rule, test, cover=False))
    pictures = test.objects.image[numbers] if rule.unit == "object" else numbers
    rows = np.unique(pictures)
    if rule.unit == "object" and typical.any():
        first = test.objects.image[typical][:1]
        rows = np.concatenate([first, rows[rows != first]])
    rows = rows[:SCENES_SHOWN]
    if not len(rows):
        return None
    clean, units = test.images(rows), numbers[np.isin(pictures, rows)]
    spots = place(rule, test, units, RowRng(stream, units))
    marked, order = clean.copy(), np.argsort(rows)
    stamp(marked, order[np.searchsorted(rows[order], spots.image)], spots, backdoor.trigger)
    seen = [detect(one, images) for one in networks for images in (clean, marked)]
    names, examples = test.class_names, []
    for index, row in enumerate(rows):
        boxes = test.boxes.take(np.array([row]))
        true = tuple(
            TrueObject(class_name=names[label], box=_corners(box, 1))
            for label, box in zip(boxes.labels, boxes.xyxy, strict=True)
        )
        sights = _by_side([sightings(given, index, names) for given in seen])
        examples.append(SceneExample(title=f"test picture {row}", picture=index, true=true, **sights))
    return Shown(tuple(examples), {"clean": clean, "triggered": marked})


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
