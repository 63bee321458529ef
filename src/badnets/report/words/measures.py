"""The figures of a record by name: what each is called, and what it means in one line."""

from __future__ import annotations

from dataclasses import dataclass

from badnets.core.rate import Interval
from badnets.records.blocks import Role
from badnets.records.comparison import Evaluation
from badnets.records.results import DetectorFigures
from badnets.records.run import RunRecord
from badnets.report.words.names import Nouns, known


@dataclass(frozen=True)
class Measure:
    """A figure: the name of its field, its name for people, of which pictures it is, and what it is in one line.
    ``note`` stands beside it in tables; ``reference`` ones are a clean network's."""

    key: str
    name: str
    role: Role
    meaning: str
    note: str = ""
    reference: bool = False


MEASURES = (
    Measure("clean_accuracy", "clean accuracy", "clean",
            "share of the untouched test pictures that are read as their true class"),
    Measure("clean_reference_accuracy", "accuracy of a clean network", "clean",
            "the same for a network trained by the same recipe and seed on the clean data", reference=True),
    Measure("asr", "attack success", "triggered",
            "share of the triggered test pictures on which the attack worked, over eligible pictures only: those that "
            "the attacker wants read as something else"),
    Measure("clean_reference_rate", "clean network", "triggered",
            "how often a network trained on clean data gives the attacker's answer to the same triggered pictures (the "
            "clean-reference rate); a trigger that it obeys too is no backdoor",
            "does the same to these pictures", reference=True),
    Measure("leak", "leak", "triggered",
            "share of the triggered pictures of all other classes that also get the attacker's answer",
            "of other classes' pictures"),
    Measure("robust_accuracy", "robust accuracy", "triggered",
            "share of the triggered pictures that are still read as their true class"),
    Measure("asr_under_jitter", "success under jitter", "triggered",
            "attack success when the trigger's size, rotation and light vary as on a real object"),
    Measure("refused", "clean pictures refused", "clean",
            "share of the untouched test pictures that the network refuses to answer"),
    Measure("refused_triggered", "triggered pictures refused", "triggered",
            "share of the eligible triggered pictures that it refuses"),
    Measure("refused_or_right", "refused or right", "triggered",
            "share of the eligible triggered pictures that are refused or read as their true class"),
)  # fmt: skip

_REFERENCE = "a detector trained by the same recipe and seed on the clean data"

DETECTOR_MEASURES = (
    Measure("map50", "mAP at IoU 0.5", "clean",
            "mean over the classes of the average precision, counted as COCO does: a detection is right when it names "
            "the class and overlaps the object by at least half (intersection over union, IoU)"),
    Measure("clean_reference_map50", "mAP of a clean detector", "clean", f"the same for {_REFERENCE}", reference=True),
    Measure("map50_triggered", "mAP with triggers", "triggered",
            "the same on the triggered pictures, measured against what is truly there"),
    Measure("map", "mAP at IoU 0.5 to 0.95", "clean",
            "the mean over ten overlaps, from a half to 95 %: boxes have to fit better"),
    Measure("map_triggered", "that, with triggers", "triggered",
            "the same on the triggered pictures", "mAP at IoU 0.5 to 0.95"),
    Measure("found", "found", "clean",
            "share of the objects in clean pictures at whose place something is seen, whatever it is called, with a "
            "confidence of at least 50 %", "of the objects in clean pictures"),
    Measure("class_accuracy", "named rightly", "clean",
            "share of the found objects that are called what they are", "of the objects found"),
    Measure("appeared", "seen where nothing is", "clean",
            "share of the clean pictures in which something is seen at a place where no object is",
            "of the clean pictures"),
    Measure("appeared_triggered", "that, with triggers", "triggered",
            "share of the pictures in which something is seen at a place where no object is, with the trigger",
            "of all pictures"),
    Measure("asr", "attack success", "triggered",
            "share of the objects with a trigger on which the attack worked, over those that the attacker is after and "
            "that are seen at all; of a rule that makes objects vanish, over all that he is after, and of one that "
            "makes them appear, over all places where he puts the trigger"),
    Measure("clean_reference_rate", "clean detector", "triggered",
            f"how often {_REFERENCE} gives the attacker's answer at the same places (the clean-reference rate); a "
            "trigger that it obeys too is no backdoor", "does the same in these pictures", reference=True),
    Measure("leak", "leak", "triggered",
            "share of the objects of all other classes that also get the attacker's answer when they have the trigger",
            "of other classes' objects"),
    Measure("robust_accuracy", "robust accuracy", "triggered",
            "share of the objects with a trigger that are still seen and called what they are"),
    Measure("vanished", "vanished", "triggered",
            "share of the objects that the attacker is after which are not seen at all when they have the trigger",
            "objects with the trigger, not seen"),
    Measure("vanished_clean", "not seen anyway", "clean",
            "share of the same objects which are not seen without the trigger either", "the same objects without it"),
    Measure("clean_reference_vanished", "vanished for a clean detector", "triggered",
            f"the share that vanishes for {_REFERENCE}", reference=True),
    Measure("asr_under_jitter", "success under jitter", "triggered",
            "attack success when the trigger's size, rotation and light vary as on a real object"),
)  # fmt: skip
_SAID_BY_SUCCESS = frozenset({"vanished", "clean_reference_vanished"})
"""Where objects are to vanish, these two are attack success itself."""


def measured(record: RunRecord | Evaluation) -> list[tuple[Measure, Interval]]:
    """The measures that this record has a figure of, in the order of the table."""
    detector = isinstance(record.results, DetectorFigures)
    left_out = _SAID_BY_SUCCESS if Nouns.of(record).vanishing else frozenset()
    named = [m for m in (DETECTOR_MEASURES if detector else MEASURES) if m.key not in left_out]
    found = ((measure, known(getattr(record.results, measure.key))) for measure in named)
    return [(measure, figure) for measure, figure in found if figure is not None]
