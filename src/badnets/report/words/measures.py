"""The figures of a record by name: what each is called, and what it means in one line."""

from __future__ import annotations

from dataclasses import dataclass

from badnets.report.charts.figures import Role


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A rate of a record: its name in ``results``, its name for people, and what it is in one line."""

    key: str
    name: str
    role: Role
    meaning: str
    reference: bool = False
    note: str = ""


MEASURES = (
    Measure(
        key="clean_accuracy",
        name="clean accuracy",
        role="clean",
        meaning="share of the untouched test pictures that are read as their true class",
    ),
    Measure(
        key="clean_reference_accuracy",
        name="accuracy of a clean network",
        role="clean",
        reference=True,
        meaning="the same for a network trained by the same recipe and seed on the clean data",
    ),
    Measure(
        key="asr",
        name="attack success",
        role="triggered",
        meaning="share of the triggered test pictures on which the attack worked, over eligible pictures only: "
        "those that the attacker wants read as something else",
    ),
    Measure(
        key="clean_reference_rate",
        name="clean network",
        role="triggered",
        reference=True,
        meaning="how often a network trained on clean data gives the attacker's answer to the same triggered "
        "pictures (the clean-reference rate); a trigger that it obeys too is no backdoor",
        note="does the same to these pictures",
    ),
    Measure(
        key="leak",
        name="leak",
        role="triggered",
        meaning="share of the triggered pictures of all other classes that also get the attacker's answer",
        note="of other classes' pictures",
    ),
    Measure(
        key="robust_accuracy",
        name="robust accuracy",
        role="triggered",
        meaning="share of the triggered pictures that are still read as their true class",
    ),
    Measure(
        key="asr_under_jitter",
        name="success under jitter",
        role="triggered",
        meaning="attack success when the trigger's size, rotation and light vary as on a real object",
    ),
    Measure(
        key="refused",
        name="clean pictures refused",
        role="clean",
        meaning="share of the untouched test pictures that the network refuses to answer",
    ),
    Measure(
        key="refused_triggered",
        name="triggered pictures refused",
        role="triggered",
        meaning="share of the eligible triggered pictures that it refuses",
    ),
    Measure(
        key="refused_or_right",
        name="refused or right",
        role="triggered",
        meaning="share of the eligible triggered pictures that are refused or read as their true class",
    ),
)

_REFERENCE = "a detector trained by the same recipe and seed on the clean data"

DETECTOR_MEASURES = (
    Measure(
        key="map50",
        name="mAP at IoU 0.5",
        role="clean",
        meaning="mean over the classes of the average precision, counted as COCO does: a detection is right when it "
        "names the class and overlaps the object by at least half (intersection over union, IoU)",
    ),
    Measure(
        key="clean_reference_map50",
        name="mAP of a clean detector",
        role="clean",
        reference=True,
        meaning=f"the same for {_REFERENCE}",
    ),
    Measure(
        key="map50_triggered",
        name="mAP with triggers",
        role="triggered",
        meaning="the same on the triggered pictures, measured against what is truly there",
    ),
    Measure(
        key="map",
        name="mAP at IoU 0.5 to 0.95",
        role="clean",
        meaning="the mean over ten overlaps, from a half to 95 %: boxes have to fit better",
    ),
    Measure(
        key="map_triggered",
        name="that, with triggers",
        role="triggered",
        meaning="the same on the triggered pictures",
        note="mAP at IoU 0.5 to 0.95",
    ),
    Measure(
        key="found",
        name="found",
        role="clean",
        meaning="share of the objects in clean pictures at whose place something is seen, whatever it is called, with "
        "a confidence of at least 50 %",
        note="of the objects in clean pictures",
    ),
    Measure(
        key="class_accuracy",
        name="named rightly",
        role="clean",
        meaning="share of the found objects that are called what they are",
        note="of the objects found",
    ),
    Measure(
        key="appeared",
        name="seen where nothing is",
        role="clean",
        meaning="share of the clean pictures in which something is seen at a place where no object is",
        note="of the clean pictures",
    ),
    Measure(
        key="appeared_triggered",
        name="that, with triggers",
        role="triggered",
        meaning="share of the pictures in which something is seen at a place where no object is, with the trigger",
        note="of all pictures",
    ),
    Measure(
        key="asr",
        name="attack success",
        role="triggered",
        meaning="share of the objects with a trigger on which the attack worked, over those that the attacker is after "
        "and that are seen at all; of a rule that makes objects vanish, over all that he is after, and of one that "
        "makes them appear, over all places where he puts the trigger",
    ),
    Measure(
        key="clean_reference_rate",
        name="clean detector",
        role="triggered",
        reference=True,
        meaning=f"how often {_REFERENCE} gives the attacker's answer at the same places (the clean-reference rate); a "
        "trigger that it obeys too is no backdoor",
        note="does the same in these pictures",
    ),
    Measure(
        key="leak",
        name="leak",
        role="triggered",
        meaning="share of the objects of all other classes that also get the attacker's answer when they have the "
        "trigger",
        note="of other classes' objects",
    ),
    Measure(
        key="robust_accuracy",
        name="robust accuracy",
        role="triggered",
        meaning="share of the objects with a trigger that are still seen and called what they are",
    ),
    Measure(
        key="vanished",
        name="vanished",
        role="triggered",
        meaning="share of the objects that the attacker is after which are not seen at all when they have the trigger",
        note="objects with the trigger, not seen",
    ),
    Measure(
        key="vanished_clean",
        name="not seen anyway",
        role="clean",
        meaning="share of the same objects which are not seen without the trigger either",
        note="the same objects without it",
    ),
    Measure(
        key="clean_reference_vanished",
        name="vanished for a clean detector",
        role="triggered",
        reference=True,
        meaning=f"the share that vanishes for {_REFERENCE}",
    ),
    Measure(
        key="asr_under_jitter",
        name="success under jitter",
        role="triggered",
        meaning="attack success when the trigger's size, rotation and light vary as on a real object",
    ),
)
_SAID_BY_SUCCESS = frozenset({"vanished", "clean_reference_vanished"})
"""Where objects are to vanish, these two are attack success itself."""


def measures_of(*, detector: bool, rule: str) -> tuple[Measure, ...]:
    """Those of a record: of a classifier, or of a detector under a rule of kind ``rule``."""
    if not detector:
        return MEASURES
    return tuple(m for m in DETECTOR_MEASURES if rule != "vanish" or m.key not in _SAID_BY_SUCCESS)
