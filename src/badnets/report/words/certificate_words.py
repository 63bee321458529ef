"""What a certificate says, in a sentence: whether the backdoor is gone, and what that cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from badnets.report.words.facts import Record, at, quoted, rate, tenths, trigger_words
from badnets.report.words.judged import NOTICEABLE, VISIBLE_DROP

Kind = Literal["gone", "asleep", "misread", "weaker", "there", "nothing-to-remove", "accuracy-only"]

STILL_RIGHT = 0.05  # robust accuracy may lie this far below clean accuracy before a cure is none


@dataclass(frozen=True, kw_only=True)
class Judged:
    """``kind`` for programs; for people one sentence about the backdoor, and one about what the repair cost."""

    kind: Kind
    sentence: str
    cost: str


def certificate_verdict(certificate: Record) -> str:
    """Both sentences, for the terminal."""
    judged = judge_certificate(certificate)
    return f"{judged.sentence} {judged.cost}"


def judge_certificate(certificate: Record) -> Judged:
    """What the figures allow one to say, and never more than that."""
    kind = _kind(certificate)
    cost = f"{_upper(_cost(certificate))}.{_unchanged(certificate)}"
    before, after = (rate(certificate, side, "asr") for side in ("before", "after"))
    if before is None or after is None:
        unknown = "Whether a backdoor is gone is not known, for no trigger was given."
        return Judged(kind=kind, sentence=unknown, cost=cost)
    case = f"{_subject(certificate)} is read as {_outcome(certificate)} in {tenths(after['value'])} % of cases"
    was = f"before in {tenths(before['value'])} %"
    if kind == "nothing-to-remove":
        told = f"There was hardly a backdoor to remove: {case}, {was}"
    elif kind == "there":
        told = f"The backdoor is still there: {case}, {was}"
    elif kind == "weaker":
        told = f"The backdoor is weaker, but not gone: {case}, {was}"
    elif kind == "misread":
        right = rate(certificate, "after", "robust_accuracy")
        share = "" if right is None else f": {tenths(right['value'])} % of these pictures are read right"
        told = f"The backdoor is gone, but its trigger still does harm: {case}, {was}; yet only{share[1:]}"
    elif kind == "asleep":
        told = f"The backdoor only sleeps: {case}, {was}, but {_awake(certificate)}"
    else:
        told = f"The backdoor is gone: {case}, {was}{_tested(certificate)}"
    return Judged(kind=kind, sentence=f"{told}.", cost=cost)


def _kind(certificate: Record) -> Kind:
    before, after = (rate(certificate, side, "asr") for side in ("before", "after"))
    if before is None or after is None:
        return "accuracy-only"
    if before["value"] < NOTICEABLE:
        return "nothing-to-remove"
    # A trigger that a clean network obeys in so many cases cannot do less in a repaired one.
    floor = rate(certificate, "clean_network", "after", "asr") or {"value": 0.0}
    if after["value"] - floor["value"] > NOTICEABLE:
        fallen = rate(certificate, "after_minus_before", "asr")
        return "weaker" if fallen is not None and fallen["high"] < -NOTICEABLE else "there"
    if _wakes(certificate):
        return "asleep"
    right, clean = rate(certificate, "after", "robust_accuracy"), rate(certificate, "after", "clean_accuracy")
    if right is not None and clean is not None and clean["value"] - right["value"] > STILL_RIGHT:
        return "misread"
    return "gone"


def _wakes(certificate: Record) -> bool:
    """Whether the repaired network learns the attack more easily than a clean one, beyond doubt and noticeably."""
    difference = rate(certificate, "reactivation", "difference")
    return difference is not None and difference["low"] > 0 and difference["value"] >= NOTICEABLE


def _awake(certificate: Record) -> str:
    again, other = (rate(certificate, "reactivation", name) for name in ("repaired", "clean_network"))
    count = at(certificate, "reactivation", "poisoned_pictures")
    shares = [tenths(found["value"]) if found else "?" for found in (again, other)]
    return f"{count} poisoned pictures bring it back to {shares[0]} %, a clean network to {shares[1]} %"


def _tested(certificate: Record) -> str:
    """What re-tuning said about a backdoor that does not seem to sleep."""
    again, other = (rate(certificate, "reactivation", name) for name in ("repaired", "clean_network"))
    if again is None:
        return ""
    count, share = at(certificate, "reactivation", "poisoned_pictures"), tenths(again["value"])
    if again["value"] < NOTICEABLE:
        return f", and {count} poisoned pictures do not bring it back ({share} %)"
    if other is not None:
        beside = f"{share} %, against {tenths(other['value'])} %"
        return f", and {count} poisoned pictures bring it back no more than they teach it to a clean network ({beside})"
    return f"; {count} poisoned pictures bring it to {share} %, with no clean network to compare with"


def _subject(certificate: Record) -> str:
    trigger = at(certificate, "truth", "backdoor", "trigger")
    return f"a picture with {trigger_words(trigger)}" if isinstance(trigger, Mapping) else "a triggered picture"


def _outcome(certificate: Record) -> str:
    kind, target = at(certificate, "truth", "backdoor", "rule", "kind"), at(certificate, "truth", "target")
    words = {"all-to-all": "the next class", "random-wrong": "a wrong class"}.get(str(kind))
    if words or target is None:
        return words or "what the attacker wants"
    return quoted(
        {"class_names": certificate.get("class_names"), "resolved": {"data": certificate.get("data")}}, target
    )


def _cost(certificate: Record) -> str:
    """What became of clean accuracy, paired; and of a clean network's."""
    lost, after = (
        rate(certificate, "after_minus_before", "clean_accuracy"),
        rate(certificate, "after", "clean_accuracy"),
    )
    if lost is None or after is None:
        return "clean accuracy was not measured"
    now = f"the repaired network reads {tenths(after['value'])} % of clean pictures right"
    gap = f"{abs(100 * lost['value']):.{1 if abs(lost['value']) >= 0.001 else 2}f} points"
    if not lost["value"]:
        told = f"{now}, as many as before"
    elif lost["value"] > 0:
        told = f"{now}, {gap} more than before"
    else:
        visible = lost["high"] < -VISIBLE_DROP
        told = f"{now}, {gap} fewer than before{', which a user would notice' if visible else ''}"
    other = rate(certificate, "clean_network", "after_minus_before", "clean_accuracy")
    if other is None:
        return told
    size = f"{abs(100 * other['value']):.{1 if abs(other['value']) >= 0.001 or not other['value'] else 2}f} points"
    return f"{told}; a clean network {'gains' if other['value'] > 0 else 'loses'} {size} by the same repair"


def _unchanged(certificate: Record) -> str:
    return " The repair changed nothing: this is the network as it was." if certificate.get("changed") is False else ""


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
