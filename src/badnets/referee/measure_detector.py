"""Measure a detector: how well it finds objects, and how well a backdoor works on them.

An object has an answer when the detector finds something there (IoU at least 0.5, confidence at least 0.5): the class
that it says. Success is counted over objects with an answer; objects that vanish are counted beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.objects import Placed, check_rule, place, stamp, unit_pool
from badnets.backdoors.rules import NOTHING, LabelRule
from badnets.backdoors.triggers.jitter import Jitter, with_jitter
from badnets.core.rate import Estimate, PairedDifference, Rate
from badnets.core.seed import RowRng, Seed, as_seed
from badnets.data.images import ImageData
from badnets.data.targets import Boxes, Rows
from badnets.measures.detection import SURE, Precision, match, on_objects, precision
from badnets.networks.detection import Detections, detect, detect_data, joined, replaced
from badnets.networks.network import ImageNetwork
from badnets.training.objectives import check_targets

Classes = NDArray[np.int64]
Seen = tuple[ImageNetwork, Detections]
"""A network and what it sees in the clean pictures."""

_OF_AN_ATTACK = (
    "map50_triggered",
    "map_triggered",
    "appeared_triggered",
    "asr",
    "robust_accuracy",
    "vanished",
    "vanished_clean",
    "leak",
    "asr_under_jitter",
    "clean_reference_map50",
    "map50_minus_reference",
    "clean_reference_rate",
    "clean_reference_vanished",
    "asr_minus_reference",
)
"""None where there is no backdoor, no reference or no jitter."""


@dataclass(frozen=True, eq=False)
class Asked:
    """The objects of triggered pictures whose answers are measured, and what each network saw in these pictures.

    ``boxes``: where they are and what they truly are (of a rule about free spots: the spots). ``objects``: which of the
    data's objects they are, None for spots. ``eligible``: those that success is about. ``seen``: one per network.
    """

    boxes: Boxes
    objects: Rows | None
    eligible: NDArray[np.bool_]
    seen: list[Detections]

    @property
    def truth(self) -> Classes:
        """What a right answer is: the true class, at a free spot nothing."""
        return np.full(len(self.boxes.labels), NOTHING) if self.objects is None else self.boxes.labels


@dataclass(frozen=True, eq=False)
class DetectorMeasured:
    """``results`` of a record for one seed, and what the page and ``compare`` need of single objects: ``found`` (clean)
    and ``triggered`` detections, ``answers`` by name (objects,) with 1, 0, or -1 where an object does not count."""

    results: dict[str, Any]
    found: Detections
    triggered: Detections | None
    answers: dict[str, NDArray[np.int8]]

    @property
    def map50(self) -> Estimate:
        """Mean average precision at IoU 0.5 on clean pictures."""
        value = self.results["map50"]
        return Estimate.from_json(value)

    @property
    def asr(self) -> Rate | None:
        """Attack success; None without a backdoor."""
        value = self.results.get("asr")
        return None if value is None else Rate.from_json(value)

    def to_json(self) -> dict[str, Any]:
        """The results."""
        return self.results


def measure_detector(
    network: ImageNetwork,
    test: ImageData,
    backdoor: Backdoor | None = None,
    *,
    reference: ImageNetwork | None = None,
    jitter: Jitter | None = None,
    seed: int | Seed = 0,
) -> DetectorMeasured:
    """Measure ``network`` on ``test``, which has boxes.

    ``map50`` and ``map`` (IoU 0.5; 0.5 to 0.95) with a bootstrap over pictures; ``found``: objects with an answer;
    ``class_accuracy``: of these the rightly named; ``appeared``: pictures in which something is seen where nothing is.
    With a backdoor also ``map50_triggered`` and ``appeared_triggered`` (against the true boxes), ``asr``, ``leak``,
    ``robust_accuracy``, ``vanished`` (eligible objects without an answer; of a vanishing rule these are the hits)
    beside ``vanished_clean`` (the same without the trigger), with a ``reference`` the same of it as
    ``clean_reference_...``, with ``jitter`` the success of a physically varying trigger. ``seed`` places triggers that
    are placed at random, and the bootstrap.
    """
    check_targets(network.task, test, network.architecture)
    stream = as_seed(seed)
    found = detect_data(network, test)
    own = _Sight(found, test.boxes, test.classes, stream)
    answers = {"clean_accuracy": _kept(own.right, own.answered)}
    results: dict[str, Any] = own.results(test.class_names) | dict.fromkeys(_OF_AN_ATTACK)
    clean_reference = None
    if reference is not None:
        clean_reference = _Sight(detect_data(reference, test), test.boxes, test.classes, stream)
        results["clean_reference_map50"] = clean_reference.precision.map50.to_json()
        results["map50_minus_reference"] = own.precision.minus(clean_reference.precision).to_json()
    if backdoor is None:
        return DetectorMeasured(results, found, None, answers)
    rule = backdoor.rule.resolve(test.class_names)
    check_rule(rule, test)
    backdoor = Backdoor(backdoor.trigger, rule)
    sights = [(network, found)]
    if reference is not None and clean_reference is not None:
        sights.append((reference, clean_reference.found))
    asked = _ask(sights, test, backdoor, stream, leak=False)
    attacked = _Attack.of(asked, 0, rule, own.answers, test.classes)
    marked = _Sight(asked.seen[0], test.boxes, test.classes, stream)
    results |= {
        "map50_triggered": marked.precision.map50.to_json(),
        "map_triggered": marked.precision.map.to_json(),
        "appeared_triggered": marked.appeared.to_json(),
    }
    results |= attacked.results() | {"leak": _leak(sights[:1], test, backdoor, stream)}
    answers["asr"] = _kept(attacked.hits, attacked.counted)
    if clean_reference is not None:
        other = _Attack.of(asked, 1, rule, clean_reference.answers, test.classes)
        paired = PairedDifference.of(attacked.hits[asked.eligible], other.hits[asked.eligible])
        results |= {
            "clean_reference_rate": other.asr.to_json(),
            "clean_reference_vanished": None if other.vanished is None else other.vanished.to_json(),
            "asr_minus_reference": paired.to_json(),
        }
    if jitter is not None:
        shaken = Backdoor(with_jitter(backdoor.trigger, jitter), rule)
        again = _ask(sights[:1], test, shaken, stream.derive("jitter"), leak=False)
        under = _Attack.of(again, 0, rule, own.answers, test.classes)
        results["asr_under_jitter"] = under.asr.to_json()
    results["per_class"] = _with_attack(results["per_class"], marked, attacked, asked, rule)
    return DetectorMeasured(results, found, asked.seen[0], answers)


def _kept(yes: NDArray[np.bool_], counted: NDArray[np.bool_]) -> NDArray[np.int8]:
    return np.where(counted, yes, -1).astype(np.int8)


class _Sight:
    """What one detector makes of pictures, clean or triggered, whose true boxes are known."""

    def __init__(self, found: Detections, boxes: Boxes, classes: int, seed: Seed) -> None:
        self.found, self.boxes = found, boxes
        self.precision: Precision = precision(found, boxes, classes, seed)
        matched = match(found, boxes)
        self.answers = _answers(found, matched)
        self.answered = self.answers != NOTHING
        self.right = self.answers == boxes.labels
        strange = found.image[(found.confidence >= SURE) & ~on_objects(found, boxes)]
        self.appeared = Rate.of(np.bincount(strange, minlength=boxes.pictures) > 0)

    def ap50(self, number: int) -> float | None:
        """Average precision of one class; None where it has no object."""
        value = float(self.precision.per_class[number])
        return value if np.isfinite(value) else None

    def results(self, names: tuple[str, ...]) -> dict[str, Any]:
        per_class = []
        for number, name in enumerate(names):
            own = self.boxes.labels == number
            per_class.append(
                {
                    "class_name": name,
                    "objects": int(own.sum()),
                    "ap50": self.ap50(number),
                    "ap50_triggered": None,
                    "found": Rate.of(self.answered[own]).to_json(),
                    "class_accuracy": Rate.of(self.right[own & self.answered]).to_json(),
                    "asr": None,
                }
            )
        return {
            "map50": self.precision.map50.to_json(),
            "map": self.precision.map.to_json(),
            "found": Rate.of(self.answered).to_json(),
            "class_accuracy": Rate.of(self.right[self.answered]).to_json(),
            "appeared": self.appeared.to_json(),
            "per_class": per_class,
        }


def _answers(found: Detections, matched: Rows) -> Classes:
    """The class said of each object, ``NOTHING`` without a match."""
    labels = np.append(found.labels, NOTHING)
    return labels[np.where(matched >= 0, matched, len(found.labels))]


@dataclass(frozen=True, eq=False)
class _Attack:
    """One detector on triggered pictures: of each asked object its ``hits``, and which are ``counted`` in the rate."""

    asr: Rate
    robust_accuracy: Rate
    vanished: Rate | None
    vanished_clean: Rate | None
    hits: NDArray[np.bool_]
    counted: NDArray[np.bool_]

    @classmethod
    def of(cls, asked: Asked, number: int, rule: LabelRule, clean: Classes, classes: int) -> _Attack:
        """Of network ``number``, which gave the data's objects the ``clean`` answers."""
        answers = _answers(asked.seen[number], match(asked.seen[number], asked.boxes))
        there = answers != NOTHING
        # Where nothing is seen there is no answer, unless that is what the rule asks for.
        always = rule.kind in ("vanish", "appear")
        hits = rule.hit(answers, asked.boxes.labels, classes) & (there | always)
        counted = asked.eligible & (there | always)
        before = None if asked.objects is None else Rate.of((clean[asked.objects] == NOTHING)[asked.eligible])
        return cls(
            asr=Rate.of(hits[counted]),
            robust_accuracy=Rate.of((answers == asked.truth)[asked.eligible]),
            vanished=None if asked.objects is None else Rate.of(~there[asked.eligible]),
            vanished_clean=before,
            hits=hits,
            counted=counted,
        )

    def results(self) -> dict[str, Any]:
        names = ("asr", "robust_accuracy", "vanished", "vanished_clean")
        values = {name: getattr(self, name) for name in names}
        return {name: None if value is None else value.to_json() for name, value in values.items()}


def _with_attack(
    rows: list[dict[str, Any]], marked: _Sight, attacked: _Attack, asked: Asked, rule: LabelRule
) -> list[dict[str, Any]]:
    """The rows of the classes with their average precision on triggered pictures and their attack success."""
    for number, row in enumerate(rows):
        own = attacked.counted & (asked.boxes.labels == number)
        row["ap50_triggered"] = marked.ap50(number)
        row["asr"] = Rate.of(attacked.hits[own]).to_json() if own.any() and rule.unit != "place" else None
    return rows


def _leak(sights: list[Seen], test: ImageData, backdoor: Backdoor, seed: Seed) -> dict[str, Any] | None:
    """Of a rule about one source: hits among objects of the other classes, each with its trigger; a pass of its own, so
    that no picture above has triggers which the attack is not about."""
    rule = backdoor.rule
    if rule.kind != "source-to-target":
        return None
    asked = _ask(sights, test, backdoor, seed, leak=True)
    answers = _answers(asked.seen[0], match(asked.seen[0], asked.boxes))
    true = asked.boxes.labels
    others = ~asked.eligible & (answers != NOTHING) & ~rule.hit(true, true, test.classes)
    return Rate.of(rule.hit(answers, true, test.classes)[others]).to_json()


def _ask(sights: list[Seen], test: ImageData, backdoor: Backdoor, seed: Seed, *, leak: bool) -> Asked:
    """What each network sees when every eligible unit (with ``leak`` every other one) has its trigger."""
    rule = backdoor.rule
    chosen = unit_pool(rule, test, cover=False)
    numbers = np.flatnonzero(~chosen if leak else chosen)
    spots = place(rule, test, numbers, RowRng(seed.derive("test-trigger"), numbers))
    seen = _detect_marked(sights, test, backdoor, spots)
    if rule.unit == "place":
        wanted = rule.relabel(np.zeros(len(numbers), np.int64), test.classes, spots.rng)
        boxes = Boxes.of(spots.regions, wanted, spots.image, len(test))
        return Asked(boxes, None, np.ones(len(numbers), dtype=bool), seen)
    everything = np.arange(len(test.boxes.labels))
    return Asked(test.boxes, everything, rule.eligible(test.boxes.labels), seen)


def _detect_marked(sights: list[Seen], test: ImageData, backdoor: Backdoor, spots: Placed) -> list[Detections]:
    """Only pictures with a trigger are looked at again; of the others is known what is seen in them."""
    rows = np.unique(spots.image)
    marked = test.take(rows)
    position = np.searchsorted(rows, spots.image)
    parts: list[list[Detections]] = [[] for _ in sights]
    for batch, pictures in marked.batches(64):
        here = (position >= batch[0]) & (position <= batch[-1])
        stamp(pictures, position[here] - batch[0], spots.take(here), backdoor.trigger)
        for (network, _), own in zip(sights, parts, strict=True):
            own.append(detect(network, pictures))
    return [replaced(clean, rows, joined(own)) for (_, clean), own in zip(sights, parts, strict=True)]
