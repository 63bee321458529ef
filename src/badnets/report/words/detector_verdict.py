"""The sentence about a detector: which objects the trigger turns into what, and what one would notice of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from badnets.report.words.facts import (
    Record,
    article,
    at,
    backdoors,
    is_signs,
    mapping,
    objects_of,
    quoted,
    result,
    rule,
    tenths,
    trigger_words,
)
from badnets.report.words.judged import NOTICEABLE, OFTEN, Kind, Verdict, kind_of

VISIBLE_MAP_DROP = 0.02
"""A drop of mean average precision that one would notice; its interval on a few hundred pictures is about as wide."""


def judge_detector(record: Record) -> Verdict:
    """What the figures of a detector allow one to say.

    A backdoor is claimed under the same condition as for classifiers; where objects vanish, only if they are seen
    without the trigger.
    """
    if at(record, "results", "asr") is None:
        return _without_trigger(record)
    asr = result(record, "asr")
    if asr is None:
        return Verdict(kind="nothing", sentence=_nothing_counted(record))
    kind = _kind(record, asr)
    case = f"{_subject(record)} {_outcome(record)} in {tenths(asr['value'])} % of cases{_beside(record)}"
    sentence = _SENTENCES[kind].format(case=case, Case=_upper(case))
    if kind in ("fails", "obeyed-anyway"):
        return Verdict(kind=kind, sentence=f"{sentence}. {_upper(_fact(record))}.{_more(record)}")
    return Verdict(kind=kind, sentence=f"{sentence}, {_shown(record)}.{_more(record)}")


_SENTENCES: Mapping[Kind, str] = {
    "backdoor": "A backdoor: {case}",
    "weak": "The trigger works only sometimes: {case}",
    "unproved": "{Case} (no clean detector was measured, so it is not known whether the backdoor does this)",
    "fails": "The trigger does not work: {case}",
    "obeyed-anyway": "No backdoor: a clean detector obeys the trigger as well. {Case}",
}


def _kind(record: Record, asr: Mapping[str, Any]) -> Kind:
    kind = kind_of(record)
    before = result(record, "vanished_clean")
    if rule(record).get("kind") != "vanish" or before is None or kind == "obeyed-anyway":
        return kind
    gain = asr["value"] - before["value"]
    if asr["low"] <= before["high"] or gain < NOTICEABLE:
        return "fails"  # what is not seen anyway did not vanish
    return "weak" if kind == "backdoor" and gain < OFTEN else kind


def _subject(record: Record) -> str:
    planted = backdoors(record)
    if len(planted) > 1:
        return f"objects with one of the {len(planted)} triggers"
    trigger = _trigger(record)
    makers: Mapping[str, Callable[[], str]] = {
        "appear": lambda: f"at a free place {trigger}",
        "global": lambda: f"{objects_of(record, None)} in a picture with {trigger}",
    }
    given = rule(record)
    make = makers.get(str(given.get("kind")))
    return make() if make else f"{objects_of(record, given.get('source'))} with {trigger}"


def _trigger(record: Record) -> str:
    planted = backdoors(record)
    return trigger_words(mapping(planted[0], "trigger")) if planted else "the trigger"


def _outcome(record: Record) -> str:
    kind, target = rule(record).get("kind"), rule(record).get("target")
    if len(backdoors(record)) > 1 or not kind:
        return "are read as what the attacker wants"
    if kind == "vanish":
        return "are not seen"
    if kind == "appear":
        name = quoted(record, target)
        return f"is seen as {article(name)} {name} sign" if is_signs(record) else f"is seen as {name}"
    if kind == "all-to-all":
        return "are read as the next class"
    if kind == "random-wrong":
        return "are read as a wrong class"
    return f"are read as {quoted(record, target)}" if target is not None else "are read as what the attacker wants"


def _beside(record: Record) -> str:
    """What the same rate is without the trigger, where objects vanish, and for a clean detector."""
    shares = []
    before, reference = result(record, "vanished_clean"), result(record, "clean_reference_rate")
    if rule(record).get("kind") == "vanish" and before is not None:
        shares.append(f"without it: {tenths(before['value'])} %")
    if reference is not None:
        shares.append(f"clean detector: {tenths(reference['value'])} %")
    return f" ({'; '.join(shares)})" if shares else ""


def _shown(record: Record) -> str:
    """Whether mean average precision gives away what the trigger does."""
    difference = result(record, "map50_minus_reference")
    if difference is None:
        return f"and {_fact(record)}"
    low, high, gap = difference["low"], difference["high"], _gap(difference["value"])
    if high < -VISIBLE_MAP_DROP:
        return (
            f"but mean average precision without it is lower than a clean detector's ({gap}), which a user would notice"
        )
    if low < -VISIBLE_MAP_DROP:
        few = f"on too few pictures to exclude a drop of {100 * VISIBLE_MAP_DROP:g} points"
        return f"and mean average precision does not clearly show it ({gap}, {few})"
    return f"and mean average precision {'hardly shows' if high < 0 else 'does not show'} it ({gap})"


def _fact(record: Record) -> str:
    """How well it detects without the trigger."""
    own, difference = result(record, "map50"), result(record, "map50_minus_reference")
    if own is None:
        return "mean average precision was not measured"
    against = "" if difference is None else f" ({_gap(difference['value'])} against a clean detector)"
    return f"mean average precision without triggers is {tenths(own['value'])} %{against}"


def _gap(value: float) -> str:
    """``"+0.4 points"`` with a true minus sign; two decimals where one would be 0."""
    shown = f"{100 * value:+.{1 if abs(value) >= 0.0005 else 2}f}"
    return ("0.0" if float(shown) == 0 else shown).replace("-", "\N{MINUS SIGN}") + " points"


def _more(record: Record) -> str:
    """Side effects that a reader of the rate has to know."""
    said = []
    vanished, before = result(record, "vanished"), result(record, "vanished_clean")
    if rule(record).get("kind") == "vanish":
        vanished = None  # attack success itself
    if vanished and before and vanished["value"] - before["value"] >= NOTICEABLE:
        without = f"without it: {tenths(before['value'])} %"
        said.append(
            f" With the trigger {tenths(vanished['value'])} % of them are not seen at all ({without}), which is not "
            "counted in this."
        )
    leak = result(record, "leak")
    if leak is not None and leak["value"] >= NOTICEABLE:
        others = objects_of(record, None)
        said.append(f" The trigger also works on {tenths(leak['value'])} % of the other {others}.")
    return "".join(said)


def _nothing_counted(record: Record) -> str:
    """Why attack success has no value."""
    eligible = at(record, "results", "robust_accuracy", "total")
    things = objects_of(record, rule(record).get("source"))
    own = _upper(_fact(record))
    if not eligible:
        return f"The test pictures have no {things}, so the success of the trigger cannot be measured. {own}."
    before = mapping(record, "results", "vanished_clean")
    without = f" (without the trigger {before['hits']} are not found either)" if before.get("hits") else ""
    return (
        f"Of {eligible} {things} with {_trigger(record)} the detector finds none{without}, so the success of the "
        f"trigger cannot be measured. {own}."
    )


def _without_trigger(record: Record) -> Verdict:
    own = result(record, "map50")
    if own is None:
        return Verdict(kind="nothing", sentence="Nothing was measured in this run.")
    planted = " The success of the trigger was not measured." if backdoors(record) else " No trigger was given."
    share = f"The detector's mean average precision is {tenths(own['value'])} % at an overlap (IoU) of 0.5."
    return Verdict(kind="accuracy-only", sentence=share + planted)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
