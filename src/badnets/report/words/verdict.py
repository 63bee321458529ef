"""One sentence in plain words that says what a run showed, and never more than that."""

from __future__ import annotations

from badnets.report.words.detector_verdict import judge_detector
from badnets.report.words.facts import (
    Record,
    backdoors,
    is_detector,
    mapping,
    picture_of,
    quoted,
    result,
    rule,
    tenths,
    trigger_words,
)
from badnets.report.words.judged import NOTICEABLE, VISIBLE_DROP, Kind, Verdict, kind_of


def verdict(record: Record) -> str:
    """The sentence, for the page and the terminal."""
    return judge(record).sentence


def judge(record: Record) -> Verdict:
    """What the figures of a record allow one to say.

    A backdoor is claimed only where a clean network was measured on the same pictures and obeys the trigger less
    often, by an interval that excludes 0.
    """
    if record.get("status") not in (None, "finished"):
        return Verdict(kind="nothing", sentence=f"This run is not finished (status: {record['status']}).")
    if is_detector(record):
        return judge_detector(record)
    accuracy, asr = result(record, "clean_accuracy"), result(record, "asr")
    if asr is None:
        return _without_trigger(record)
    kind = kind_of(record)
    case = f"{_subject(record)} is read as {_outcome(record)} in {tenths(asr['value'])} % of cases"
    reference = result(record, "clean_reference_rate")
    on_clean = f"{tenths(reference['value'])} %" if reference else ""
    if kind == "obeyed-anyway":
        sentence = f"No backdoor: a clean network obeys the trigger as well. {case}, on a clean network in {on_clean}."
    elif kind == "fails":
        sentence = f"The trigger does not work: {_lower(case)}, on a clean network in {on_clean}."
    else:
        weak = "The trigger works only sometimes: " if kind == "weak" else ""
        sentence = f"{weak}{_lower(case) if weak else case}{_beside(kind, reference)}; {_accuracy(record)}."
    if kind in ("fails", "obeyed-anyway") and accuracy is not None:
        sentence += f" {_first_upper(_accuracy(record))}."
    return Verdict(kind=kind, sentence=sentence + _leak(record))


def _without_trigger(record: Record) -> Verdict:
    accuracy = result(record, "clean_accuracy")
    planted = " The success of the trigger was not measured." if backdoors(record) else " No trigger was given."
    if accuracy is None:
        return Verdict(kind="nothing", sentence="Nothing was measured in this run.")
    share = tenths(accuracy["value"])
    return Verdict(kind="accuracy-only", sentence=f"The network reads {share} % of the test pictures right.{planted}")


def _subject(record: Record) -> str:
    planted = backdoors(record)
    if len(planted) > 1:
        return f"A picture with one of the {len(planted)} triggers"
    trigger = trigger_words(mapping(planted[0], "trigger")) if planted else "the trigger"
    source = rule(record).get("source")
    if source is None:
        return f"A picture with {trigger}"
    return f"{_first_upper(picture_of(record, source))} with {trigger}"


def _outcome(record: Record) -> str:
    kind, target = rule(record).get("kind"), rule(record).get("target")
    if len(backdoors(record)) > 1 or not kind:
        return "what the attacker wants"
    if kind == "all-to-all":
        return "the next class"
    if kind == "random-wrong":
        return "a wrong class"
    return quoted(record, target) if target is not None else "what the attacker wants"


def _beside(kind: Kind, reference: Record | None) -> str:
    """What a clean network does with the same pictures, where that changes how the sentence is to be read."""
    if kind == "unproved":
        return " (no clean network was measured, so it is not known whether the backdoor does this)"
    if reference is not None and (kind == "weak" or reference["value"] >= NOTICEABLE):
        return f", on a clean network in {tenths(reference['value'])} %"
    return ""


def _accuracy(record: Record) -> str:
    """How accurate the network is without the trigger, against a clean one on the same pictures."""
    accuracy, difference = result(record, "clean_accuracy"), result(record, "clean_accuracy_minus_reference")
    if difference is None:
        if accuracy is None:
            return "its accuracy without the trigger was not measured"
        return f"without it the network reads {tenths(accuracy['value'])} % of the pictures right"
    value, low, high = difference["value"], difference["low"], difference["high"]
    gap = f"{abs(100 * value):.{1 if abs(value) >= 0.001 else 2}f}"
    if high < -VISIBLE_DROP:
        return f"but without it the network is {gap} points less accurate than a clean one, which a user would notice"
    if low < -VISIBLE_DROP:
        sign = "less" if value < 0 else "more"
        return (
            f"without it the network is {gap} points {sign} accurate than a clean one, "
            "on too few pictures to exclude a drop of a point"
        )
    if high < 0:
        return f"without it the network is only {gap} points less accurate than a clean one"
    return "without it the network is as accurate as a clean one"


def _leak(record: Record) -> str:
    leak = result(record, "leak")
    if leak is None or leak["value"] < NOTICEABLE:
        return ""
    return f" The trigger also turns {tenths(leak['value'])} % of the other classes' pictures."


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _first_upper(text: str) -> str:
    text = text.removeprefix("but ")
    return text[:1].upper() + text[1:]
