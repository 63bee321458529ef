"""What a certificate says, in a sentence: whether the backdoor is gone, and what that cost."""

from __future__ import annotations

from typing import Literal, NamedTuple

from badnets.core.rate import Interval
from badnets.core.text import gap, tenths
from badnets.records.certificate import Certificate, Reactivation
from badnets.report.words.names import Nouns, ends, known, upper
from badnets.report.words.verdict import NOTICEABLE, VISIBLE_DROP

Kind = Literal["gone", "ruined", "asleep", "misread", "weaker", "there", "nothing-to-remove", "accuracy-only"]

ALLOWANCE = 0.01  # the clean accuracy that a cure may cost where a certificate does not say it: one point
STILL_RIGHT = 0.05  # robust accuracy may lie this far below clean accuracy before a cure is none
WIDE = 0.1  # an interval wider than ten points is told beside its figure
MOST_TARGETS = 4

_OPENINGS: dict[Kind, str] = {
    "nothing-to-remove": "There was hardly a backdoor to remove",
    "there": "The backdoor is still there",
    "weaker": "The backdoor is weaker, but not gone",
    "asleep": "The backdoor only sleeps",
    "misread": "The backdoor is gone, but its trigger still does harm",
    "gone": "The backdoor is gone",
}


class Judged(NamedTuple):
    """``kind`` for programs; for people one sentence about the backdoor, and one about what the repair cost."""

    kind: Kind
    sentence: str
    cost: str


def certificate_verdict(certificate: Certificate) -> str:
    """Both sentences, for the terminal."""
    judged = judge_certificate(certificate)
    return f"{judged.sentence} {judged.cost}"


def judge_certificate(certificate: Certificate) -> Judged:
    """What the figures allow one to say, and never more than that."""
    cost = f"{upper(_cost(certificate))}."
    if not certificate.changed:
        cost += " The repair changed nothing: this is the network as it was."
    before, after = known(certificate.before.asr), known(certificate.after.asr)
    if before is None or after is None:
        return Judged("accuracy-only", "Whether a backdoor is gone is not known, for no trigger was given.", cost)
    kind, right = _kind(certificate, before, after), known(certificate.after.robust_accuracy)
    case = f"{_case(certificate)} in {_share(after, ' of cases')}, before in {_share(before)}"
    sentence = f"{_opening(certificate, kind, after)}: {case}{_by_target(certificate)}"
    if kind == "misread" and right is not None:
        sentence += f"; yet only {_share(right)} of these pictures are read right"
    elif certificate.reactivation is not None and kind in ("gone", "asleep", "ruined"):
        sentence += _tuned_again(certificate.reactivation, before, asleep=kind == "asleep")
    return Judged(kind, f"{sentence}.", cost)


def _kind(certificate: Certificate, before: Interval, after: Interval) -> Kind:
    if before < NOTICEABLE:
        return "nothing-to-remove"
    control = certificate.clean_network
    # A trigger that a clean network obeys in so many cases cannot do less in a repaired one.
    floor = known(control.after.asr) if control is not None else None
    least = NOTICEABLE + (0.0 if floor is None else float(floor))
    if after > least:
        fallen = known(certificate.after_minus_before.asr)
        return "weaker" if fallen is not None and ends(fallen)[2] < -NOTICEABLE else "there"
    if any(target.after > least for target in certificate.targets or () if target.after.value is not None):
        return "weaker"
    again = certificate.reactivation
    easier = None if again is None or _void(again, before) else known(again.difference)
    if easier is not None and easier >= NOTICEABLE and ends(easier)[1] > 0:
        return "asleep"  # it learns the attack more easily than a clean network, beyond doubt and noticeably
    if _lost(certificate) > _allowance(certificate):
        return "ruined"
    right, clean = known(certificate.after.robust_accuracy), certificate.after.clean_accuracy
    return "misread" if right is not None and float(clean) - float(right) > STILL_RIGHT else "gone"


def _lost(certificate: Certificate) -> float:
    """Clean accuracy lost, paired."""
    change = known(certificate.after_minus_before.clean_accuracy)
    before, after = certificate.before.clean_accuracy, certificate.after.clean_accuracy
    return float(before) - float(after) if change is None else -float(change)


def _allowance(certificate: Certificate) -> float:
    return ALLOWANCE if certificate.allowance is None else certificate.allowance


def _void(again: Reactivation, before: Interval) -> str:
    """Why re-tuning proves nothing, ``""`` where it does. Older certificates do not say so; there the network before
    the repair, which obeyed in ``before``, may have forgotten half of it or more."""
    if again.void is not None:
        return again.void
    asleep = known(again.backdoored)
    if asleep is None or asleep >= float(before) / 2:
        return ""
    return f"it makes the network before the repair forget the backdoor too ({_share(asleep)})"


def _opening(certificate: Certificate, kind: Kind, after: Interval) -> str:
    if kind == "ruined":
        much = _lost(certificate) > float(certificate.before.clean_accuracy) / 2
        more = f"it cost more clean accuracy than the {gap(_allowance(certificate))} points that it may"
        opening = f"The backdoor is gone, but {'so is what the network knew' if much else more}"
    else:
        opening = _OPENINGS[kind]
    if _is_wide(after) and after.counts is not None and kind in ("gone", "ruined", "misread"):
        return f"As far as {after.counts[1]:,} pictures can tell, {opening[:1].lower()}{opening[1:]}"
    return opening


def _case(certificate: Certificate) -> str:
    nouns, target = Nouns.of(certificate), certificate.truth.target
    if certificate.truth.backdoor is not None:
        return nouns.case
    return f"a triggered picture is read as {'what the attacker wants' if target is None else nouns.name(target)}"


def _is_wide(figure: Interval) -> bool:
    _, low, high = ends(figure)
    return high - low > WIDE


def _share(figure: Interval, what: str = "") -> str:
    """``"1.0 % of cases"``; of few pictures ``"0.0 % of cases (on 16 pictures, so between 0 and 19 %)"``."""
    value, low, high = ends(figure)
    if not _is_wide(figure) or figure.counts is None:
        return f"{tenths(value)} %{what}"
    between = f"between {100 * low:.0f} and {100 * high:.0f} %"
    return f"{tenths(value)} %{what} (on {figure.counts[1]:,} pictures, so {between})"


def _by_target(certificate: Certificate) -> str:
    """Where there are several targets, each one's; of many those that are obeyed most."""
    targets = [target for target in certificate.targets or () if known(target.after) and known(target.before)]
    if not targets:
        return ""
    nouns, left = Nouns.of(certificate), len(targets) - MOST_TARGETS
    worst = sorted(targets, key=lambda target: -float(target.after))[:MOST_TARGETS]
    each = [f"{nouns.name(t.target)} in {_share(t.after)}, before {_share(t.before)}" for t in worst]
    return f" (target by target: {'; '.join(each)}{f'; {left} others less' if left > 0 else ''})"


def _tuned_again(again: Reactivation, before: Interval, *, asleep: bool) -> str:
    """What re-tuning said about a backdoor that is ``asleep``, or does not seem to be."""
    repaired, other, pictures = known(again.repaired), known(again.clean_network), again.poisoned_pictures
    if repaired is None:
        return ""
    share, clean = _share(repaired), "?" if other is None else _share(other)
    if asleep:
        return f", but {pictures} poisoned pictures bring it back to {share}, a clean network to {clean}"
    if why := _void(again, before):
        why = why[:1].lower() + why[1:].removesuffix(".")
        return f"; re-tuning on {pictures} poisoned pictures proves nothing: {why}"
    if repaired < NOTICEABLE:
        return f", and {pictures} poisoned pictures do not bring it back ({share})"
    if other is None:
        return f"; {pictures} poisoned pictures bring it to {share}, with no clean network to compare with"
    no_more = "no more than they teach it to a clean network"
    return f", and {pictures} poisoned pictures bring it back {no_more} ({share}, against {clean})"


def _cost(certificate: Certificate) -> str:
    """What became of clean accuracy, paired; and of a clean network's."""
    change, after = known(certificate.after_minus_before.clean_accuracy), certificate.after.clean_accuracy
    text = f"the repaired network reads {_share(after)} of clean pictures right"
    if change is not None:
        value, low, high = ends(change)
        size = f"{gap(value)} points"
        if value > 0:
            text += f", {size} more than before"
        elif value < 0:
            text += f", {size} fewer than before{', which a user would notice' if high < -VISIBLE_DROP else ''}"
        else:
            text += ", as many as before"
        if _is_wide(change):
            text += f" (between {gap(low, sign=True)} and {gap(high, sign=True)})"
    control = certificate.clean_network
    other = None if control is None else known(control.after_minus_before.clean_accuracy)
    if other is None:
        return text
    verb = "gains" if other > 0 else "loses"
    return f"{text}; a clean network {verb} {gap(float(other))} points by the same repair"
