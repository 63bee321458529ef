"""Measure a detector: how well it finds objects, and how well a backdoor works on them. An object has an answer, a
class, when something is found there (IoU and confidence at least 0.5). Success is counted over objects with an answer;
objects that vanish are counted beside it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.objects import Placed, check_rule, place, stamp, unit_pool
from badnets.backdoors.rules import NOTHING, LabelRule
from badnets.backdoors.triggers.jitter import Jitter, with_jitter
from badnets.core.rate import PairedDifference, Rate
from badnets.core.seed import RowRng, Seed
from badnets.data.images import ImageData
from badnets.data.targets import Boxes
from badnets.measures.detection import SURE, match, on_objects, precision
from badnets.networks.inference import Detections, detect, detect_data, joined, replaced
from badnets.networks.network import ImageNetwork
from badnets.records.model import JSON
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
    networks = [network] if reference is None else [network, reference]
    own, *others = sights = [_Sight(one, detect_data(one, test), test, seed) for one in networks]
    answers = {"clean_accuracy": _counted(own.right, own.answered)}
    figures: JSON = {
        "map50": own.precision.map50,
        "map": own.precision.map,
        "found": Rate.of(own.answered),
        "class_accuracy": Rate.of(own.right[own.answered]),
        "appeared": own.appeared,
        "per_class": tuple(own.of_class(number, name) for number, name in enumerate(test.class_names)),
    }
    for other in others:
        figures["clean_reference_map50"] = other.precision.map50
        figures["map50_minus_reference"] = own.precision.minus(other.precision)
    if backdoor is None:
        return DetectorFigures(**figures), answers, own.found, None
    rule = backdoor.rule
    check_rule(rule, test)
    attack, *besides = _attacks(sights, test, backdoor, seed)
    marked = _Sight(network, attack.seen, test, seed)
    figures |= {
        "map50_triggered": marked.precision.map50,
        "map_triggered": marked.precision.map,
        "appeared_triggered": marked.appeared,
        "asr": attack.asr,
        "robust_accuracy": attack.robust_accuracy,
        "vanished": attack.vanished,
        "vanished_clean": attack.vanished_clean,
        "per_class": tuple(
            row.model_copy(update={"ap50_triggered": marked.ap50(number), "asr": attack.of_class(number)})
            for number, row in enumerate(figures["per_class"])
        ),
    }
    for beside in besides:
        figures["clean_reference_rate"] = beside.asr
        figures["clean_reference_vanished"] = beside.vanished
        hits = attack.hits[attack.eligible], beside.hits[attack.eligible]
        figures["asr_minus_reference"] = PairedDifference.of(*hits)
    if rule.kind == "source-to-target":
        # A pass of its own, so that no picture above has triggers which the attack is not about.
        leak, true = _attacks([own], test, backdoor, seed, leak=True)[0], test.boxes.labels
        strange = ~leak.eligible & (leak.answers != NOTHING) & ~rule.hit(true, true, test.classes)
        figures["leak"] = Rate.of(leak.hits[strange])
    if jitter is not None:
        shaken = Backdoor(with_jitter(backdoor.trigger, jitter), rule)
        figures["asr_under_jitter"] = _attacks([own], test, shaken, seed.derive("jitter"))[0].asr
    answers["asr"] = _counted(attack.hits, attack.counted)
    return DetectorFigures(**figures), answers, own.found, attack.seen


def _counted(yes: Yes, counted: Yes) -> NDArray[np.int8]:
    return np.where(counted, yes, -1).astype(np.int8)


def _answers(found: Detections, boxes: Boxes) -> Classes:
    """The class said of each object, ``NOTHING`` without a match."""
    matched, labels = match(found, boxes), np.append(found.labels, NOTHING)
    return labels[np.where(matched >= 0, matched, len(found.labels))]


class _Sight:
    """What one detector ``found`` in pictures, clean or triggered, whose true boxes are those of ``test``."""

    def __init__(self, network: ImageNetwork, found: Detections, test: ImageData, seed: Seed) -> None:
        self.network, self.found, self.boxes = network, found, test.boxes
        self.precision = precision(found, self.boxes, test.classes, seed)
        self.answers = _answers(found, self.boxes)
        self.answered = self.answers != NOTHING
        self.right = self.answers == self.boxes.labels
        strange = found.image[(found.confidence >= SURE) & ~on_objects(found, self.boxes)]
        self.appeared = Rate.of(np.bincount(strange, minlength=self.boxes.pictures) > 0)

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


class _Attack:
    """What one network ``seen`` in triggered pictures says of ``boxes``, which are the objects of the data or, of a
    rule about free spots, those: its ``answers`` and ``hits``, which are ``eligible``, and which ``counted`` in the
    rate. ``clean`` is what it saw without triggers."""

    def __init__(self, seen: Detections, boxes: Boxes, rule: LabelRule, clean: _Sight, classes: int) -> None:
        spots = rule.unit == "place"
        self.seen, self.labels, self.spots = seen, boxes.labels, spots
        self.eligible = np.ones(len(boxes.labels), bool) if spots else rule.eligible(boxes.labels)
        self.answers = _answers(seen, boxes)
        there = self.answers != NOTHING
        # Where nothing is seen there is no answer, unless that is what the rule asks for.
        telling = there | (rule.kind in ("vanish", "appear"))
        self.hits = rule.hit(self.answers, boxes.labels, classes) & telling
        self.counted = self.eligible & telling
        self.asr = Rate.of(self.hits[self.counted])
        # At a free spot it is right to see nothing.
        self.robust_accuracy = Rate.of((self.answers == (NOTHING if spots else boxes.labels))[self.eligible])
        self.vanished = None if spots else Rate.of(~there[self.eligible])
        self.vanished_clean = None if spots else Rate.of(~clean.answered[self.eligible])

    def of_class(self, number: int) -> Rate | None:
        """Success on one class; None where no object of it is counted."""
        own = self.counted & (self.labels == number)
        return Rate.of(self.hits[own]) if own.any() and not self.spots else None


def _attacks(
    sights: list[_Sight], test: ImageData, backdoor: Backdoor, seed: Seed, *, leak: bool = False
) -> list[_Attack]:
    """What each network sees when every eligible unit (with ``leak`` every other one) has its trigger."""
    rule = backdoor.rule
    chosen = unit_pool(rule, test, cover=False)
    numbers = np.flatnonzero(~chosen if leak else chosen)
    spots = place(rule, test, numbers, RowRng(seed.derive("test-trigger"), numbers))
    seen, boxes = _detect_marked(sights, test, backdoor, spots), test.boxes
    if rule.unit == "place":
        wanted = rule.relabel(np.zeros(len(numbers), np.int64), test.classes, spots.rng)
        boxes = Boxes.of(spots.regions, wanted, spots.image, len(test))
    return [_Attack(one, boxes, rule, clean, test.classes) for one, clean in zip(seen, sights, strict=True)]


def _detect_marked(sights: list[_Sight], test: ImageData, backdoor: Backdoor, spots: Placed) -> list[Detections]:
    """Only pictures with a trigger are looked at again; of the others is known what is seen in them."""
    rows = np.unique(spots.image)
    position = np.searchsorted(rows, spots.image)
    parts: list[list[Detections]] = [[] for _ in sights]
    for batch, pictures in test.take(rows).batches(64):
        here = (position >= batch[0]) & (position <= batch[-1])
        stamp(pictures, position[here] - batch[0], spots.take(here), backdoor.trigger)
        for sight, part in zip(sights, parts, strict=True):
            part.append(detect(sight.network, pictures))
    return [replaced(sight.found, rows, joined(part)) for sight, part in zip(sights, parts, strict=True)]
