"""Measure a detector: how well it finds objects, and how well a backdoor works on them.

An object has an answer when the detector finds something there (IoU at least 0.5, confidence at least 0.5): the class
that it says. Success is counted over objects with an answer; objects that vanish are counted beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.objects import Placed, check_rule, place, stamp, unit_pool
from badnets.backdoors.rules import NOTHING, LabelRule
from badnets.backdoors.triggers.jitter import Jitter, with_jitter
from badnets.core.rate import PairedDifference, Rate
from badnets.core.seed import RowRng, Seed
from badnets.data.images import ImageData
from badnets.data.targets import Boxes, Rows
from badnets.measures.detection import SURE, match, on_objects, precision
from badnets.networks.inference import Detections, detect, detect_data, joined, replaced
from badnets.networks.network import ImageNetwork
from badnets.records.results import DetectorFigures, ObjectFigures

Classes = NDArray[np.int64]
Yes = NDArray[np.bool_]


def measure_objects(
    network: ImageNetwork,
    test: ImageData,
    backdoor: Backdoor | None,
    *,
    reference: ImageNetwork | None,
    jitter: Jitter | None,
    seed: Seed,
) -> tuple[DetectorFigures, dict[str, NDArray[np.int8]], Detections, Detections | None]:
    """``measure`` for a detector: its figures, the answers of ``Measured`` per object (of a rule about free spots per
    spot), and what it saw in the clean and in the triggered pictures. The backdoor's rule is resolved.

    ``map50`` and ``map`` (IoU 0.5; 0.5 to 0.95) have a bootstrap over pictures; ``found``: objects with an answer;
    ``class_accuracy``: of these the rightly named; ``appeared``: pictures in which something is seen where nothing is.
    ``map50_triggered`` and ``appeared_triggered`` are against the true boxes; ``vanished``: eligible objects without an
    answer (of a vanishing rule these are the hits) beside ``vanished_clean``, the same without the trigger.
    """
    own = _Sight(network, detect_data(network, test), test.boxes, test.classes, seed)
    other = None
    if reference is not None:
        other = _Sight(reference, detect_data(reference, test), test.boxes, test.classes, seed)
    answers = {"clean_accuracy": _counted(own.right, own.answered)}
    figures = DetectorFigures(
        map50=own.precision.map50,
        map=own.precision.map,
        found=Rate.of(own.answered),
        class_accuracy=Rate.of(own.right[own.answered]),
        appeared=own.appeared,
        per_class=tuple(own.of_class(number, name) for number, name in enumerate(test.class_names)),
        clean_reference_map50=None if other is None else other.precision.map50,
        map50_minus_reference=None if other is None else own.precision.minus(other.precision),
    )
    if backdoor is None:
        return figures, answers, own.found, None
    check_rule(backdoor.rule, test)
    asked = _ask([own] if other is None else [own, other], test, backdoor, seed, leak=False)
    attack = _Attack(asked, 0, backdoor.rule, own, test.classes)
    marked = _Sight(network, asked.seen[0], test.boxes, test.classes, seed)
    attacked: dict[str, object] = {
        "map50_triggered": marked.precision.map50,
        "map_triggered": marked.precision.map,
        "appeared_triggered": marked.appeared,
        "asr": attack.asr,
        "robust_accuracy": Rate.of((attack.answers == asked.truth)[asked.eligible]),
        "vanished": attack.vanished,
        "vanished_clean": attack.vanished_clean,
        "leak": _leak(own, test, backdoor, seed),
        "per_class": tuple(
            _attacked(row, number, marked, attack, backdoor.rule) for number, row in enumerate(figures.per_class)
        ),
    }
    if other is not None:
        beside = _Attack(asked, 1, backdoor.rule, other, test.classes)
        attacked |= {
            "clean_reference_rate": beside.asr,
            "clean_reference_vanished": beside.vanished,
            "asr_minus_reference": PairedDifference.of(attack.hits[asked.eligible], beside.hits[asked.eligible]),
        }
    if jitter is not None:
        shaken = Backdoor(with_jitter(backdoor.trigger, jitter), backdoor.rule)
        again = _ask([own], test, shaken, seed.derive("jitter"), leak=False)
        attacked["asr_under_jitter"] = _Attack(again, 0, backdoor.rule, own, test.classes).asr
    answers["asr"] = _counted(attack.hits, attack.counted)
    return figures.model_copy(update=attacked), answers, own.found, asked.seen[0]


def _counted(yes: Yes, counted: Yes) -> NDArray[np.int8]:
    return np.where(counted, yes, -1).astype(np.int8)


def _answers(found: Detections, boxes: Boxes) -> Classes:
    """The class said of each object, ``NOTHING`` without a match."""
    matched, labels = match(found, boxes), np.append(found.labels, NOTHING)
    return labels[np.where(matched >= 0, matched, len(found.labels))]


class _Sight:
    """What one detector makes of pictures, clean or triggered, whose true boxes are known."""

    def __init__(self, network: ImageNetwork, found: Detections, boxes: Boxes, classes: int, seed: Seed) -> None:
        self.network, self.found, self.boxes = network, found, boxes
        self.precision = precision(found, boxes, classes, seed)
        self.answers = _answers(found, boxes)
        self.answered = self.answers != NOTHING
        self.right = self.answers == boxes.labels
        strange = found.image[(found.confidence >= SURE) & ~on_objects(found, boxes)]
        self.appeared = Rate.of(np.bincount(strange, minlength=boxes.pictures) > 0)

    def ap50(self, number: int) -> float | None:
        """Average precision of one class; None where it has no object."""
        value = float(self.precision.per_class[number])
        return value if np.isfinite(value) else None

    def of_class(self, number: int, name: str) -> ObjectFigures:
        """The figures of one class, without an attack."""
        own = self.boxes.labels == number
        return ObjectFigures(
            class_name=name,
            objects=int(own.sum()),
            ap50=self.ap50(number),
            found=Rate.of(self.answered[own]),
            class_accuracy=Rate.of(self.right[own & self.answered]),
        )


@dataclass(frozen=True, eq=False)
class _Asked:
    """The objects of triggered pictures whose answers are measured, and what each network saw in these pictures.

    ``boxes``: where they are and what they truly are (of a rule about free spots: the spots). ``objects``: which of the
    data's objects they are, None for spots. ``eligible``: those that success is about. ``seen``: one per network.
    """

    boxes: Boxes
    objects: Rows | None
    eligible: Yes
    seen: list[Detections]

    @property
    def truth(self) -> Classes:
        """What a right answer is: the true class, at a free spot nothing."""
        return np.full(len(self.boxes.labels), NOTHING) if self.objects is None else self.boxes.labels


class _Attack:
    """Network ``number`` on triggered pictures, which saw ``clean`` ones like this: of each asked object its
    ``answers``, its ``hits``, and which are ``counted`` in the rate."""

    def __init__(self, asked: _Asked, number: int, rule: LabelRule, clean: _Sight, classes: int) -> None:
        self.asked = asked
        self.answers = _answers(asked.seen[number], asked.boxes)
        there = self.answers != NOTHING
        # Where nothing is seen there is no answer, unless that is what the rule asks for.
        always = rule.kind in ("vanish", "appear")
        self.hits = rule.hit(self.answers, asked.boxes.labels, classes) & (there | always)
        self.counted = asked.eligible & (there | always)
        self.asr = Rate.of(self.hits[self.counted])
        self.vanished = self.vanished_clean = None
        if asked.objects is not None:
            self.vanished = Rate.of(~there[asked.eligible])
            self.vanished_clean = Rate.of(~clean.answered[asked.objects][asked.eligible])


def _attacked(row: ObjectFigures, number: int, marked: _Sight, attack: _Attack, rule: LabelRule) -> ObjectFigures:
    """The row of a class with its average precision on triggered pictures and its attack success."""
    own = attack.counted & (attack.asked.boxes.labels == number)
    asr = Rate.of(attack.hits[own]) if own.any() and rule.unit != "place" else None
    return row.model_copy(update={"ap50_triggered": marked.ap50(number), "asr": asr})


def _leak(own: _Sight, test: ImageData, backdoor: Backdoor, seed: Seed) -> Rate | None:
    """Of a rule about one source: hits among objects of the other classes, each with its trigger; a pass of its own, so
    that no picture above has triggers which the attack is not about."""
    rule = backdoor.rule
    if rule.kind != "source-to-target":
        return None
    asked = _ask([own], test, backdoor, seed, leak=True)
    answers = _answers(asked.seen[0], asked.boxes)
    true = asked.boxes.labels
    others = ~asked.eligible & (answers != NOTHING) & ~rule.hit(true, true, test.classes)
    return Rate.of(rule.hit(answers, true, test.classes)[others])


def _ask(sights: list[_Sight], test: ImageData, backdoor: Backdoor, seed: Seed, *, leak: bool) -> _Asked:
    """What each network sees when every eligible unit (with ``leak`` every other one) has its trigger."""
    rule = backdoor.rule
    chosen = unit_pool(rule, test, cover=False)
    numbers = np.flatnonzero(~chosen if leak else chosen)
    spots = place(rule, test, numbers, RowRng(seed.derive("test-trigger"), numbers))
    seen = _detect_marked(sights, test, backdoor, spots)
    if rule.unit == "place":
        wanted = rule.relabel(np.zeros(len(numbers), np.int64), test.classes, spots.rng)
        boxes = Boxes.of(spots.regions, wanted, spots.image, len(test))
        return _Asked(boxes, None, np.ones(len(numbers), dtype=bool), seen)
    everything = np.arange(len(test.boxes.labels))
    return _Asked(test.boxes, everything, rule.eligible(test.boxes.labels), seen)


def _detect_marked(sights: list[_Sight], test: ImageData, backdoor: Backdoor, spots: Placed) -> list[Detections]:
    """Only pictures with a trigger are looked at again; of the others is known what is seen in them."""
    rows = np.unique(spots.image)
    marked = test.take(rows)
    position = np.searchsorted(rows, spots.image)
    parts: list[list[Detections]] = [[] for _ in sights]
    for batch, pictures in marked.batches(64):
        here = (position >= batch[0]) & (position <= batch[-1])
        stamp(pictures, position[here] - batch[0], spots.take(here), backdoor.trigger)
        for sight, own in zip(sights, parts, strict=True):
            own.append(detect(sight.network, pictures))
    return [replaced(sight.found, rows, joined(own)) for sight, own in zip(sights, parts, strict=True)]
