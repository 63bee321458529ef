"""One sentence in plain words that says what a run showed, and never more than that."""

from __future__ import annotations

from typing import Literal, NamedTuple

from badnets.core.rate import Interval
from badnets.core.text import gap, tenths
from badnets.records.results import ClassifierFigures, DetectorFigures, Evaluation, Figures
from badnets.records.run import RunRecord
from badnets.report.words.names import Nouns, ends, known, upper

Kind = Literal["backdoor", "weak", "obeyed-anyway", "fails", "unproved", "accuracy-only", "nothing"]
WORKING: tuple[Kind, ...] = ("backdoor", "weak", "unproved")

VISIBLE_DROP = 0.01  # a drop of clean accuracy that a user would notice: one point
VISIBLE_MAP_DROP = 0.02  # the same of mean average precision, whose interval on a few hundred pictures is about as wide
STRONG = 0.9  # from this attack success on a backdoor is called one without a reservation
NOTICEABLE = 0.05  # a trigger that gains less than this over a clean network does not work
OFTEN = 0.5  # a clean network that does so in half of the cases obeys the trigger itself


class Verdict(NamedTuple):
    """``kind`` for programs, ``sentence`` for people."""

    kind: Kind
    sentence: str


class _Parts(NamedTuple):
    """What stands around the case: ``beside`` it what a clean network does with the same pictures, where that changes
    how the sentence is to be read; ``quality``, whether a user would notice, as the end of the sentence; ``fact``, how
    good the network is without the trigger, in a sentence of its own; ``effects`` that a reader of the rate has to
    know."""

    beside: str
    quality: str
    fact: str
    effects: str


def verdict(record: RunRecord | Evaluation) -> str:
    """The sentence, for the page and the terminal."""
    return judge(record).sentence


def judge(record: RunRecord | Evaluation) -> Verdict:
    """What the figures of a record allow one to say.

    A backdoor is claimed only where a clean network was measured on the same pictures and obeys the trigger less
    often, by an interval that excludes 0; where objects vanish, only if they are seen without the trigger.
    """
    figures, nouns, asr = record.results, Nouns.of(record), known(record.results.asr)
    if asr is None:
        unknown = "The success of the trigger was not measured." if record.planted else "No trigger was given."
        return _without_success(figures, nouns, unknown)
    kind = _kind(figures, nouns, asr)
    if isinstance(figures, DetectorFigures):
        network, backdoor, parts = "detector", "A backdoor: ", _of_detector(figures, nouns)
    else:
        network, backdoor, parts = "network", "", _of_classifier(figures, kind)
    openings: dict[Kind, str] = {
        "backdoor": backdoor,
        "weak": "The trigger works only sometimes: ",
        "fails": "The trigger does not work: ",
        "obeyed-anyway": f"No backdoor: a clean {network} obeys the trigger as well. ",
    }
    case = f"{nouns.case} in {tenths(float(asr))} % of cases{parts.beside}"
    if kind == "unproved":
        case += f" (no clean {network} was measured, so it is not known whether the backdoor does this)"
    opening = openings.get(kind, "")
    sentence = opening + (case if opening.endswith(": ") else upper(case))
    end = parts.quality if kind in WORKING else f". {upper(parts.fact.removeprefix('but '))}"
    return Verdict(kind, f"{sentence}{end}.{parts.effects}")


def _kind(figures: Figures, nouns: Nouns, asr: Interval) -> Kind:
    """Which of the cases holds."""
    reference, paired = known(figures.clean_reference_rate), known(figures.asr_minus_reference)
    kind: Kind = "unproved"
    if reference is not None:
        (value, low, _), (other, _, high) = ends(asr), ends(reference)
        # Without the paired difference only disjoint intervals show one: stricter, so it claims less.
        gain, least, _ = ends(paired) if paired is not None else (value - other, low - high, 0.0)
        if least <= 0 or gain < NOTICEABLE:
            return "obeyed-anyway" if other >= OFTEN else "fails"
        kind = "backdoor" if value >= STRONG and gain >= OFTEN else "weak"
    before = known(figures.vanished_clean) if isinstance(figures, DetectorFigures) and nouns.vanishing else None
    if before is None:
        return kind
    (value, low, _), (anyway, _, high) = ends(asr), ends(before)
    if low <= high or value - anyway < NOTICEABLE:
        return "fails"  # what is not seen anyway did not vanish
    return "weak" if kind == "backdoor" and value - anyway < OFTEN else kind


def _without_success(figures: Figures, nouns: Nouns, unknown: str) -> Verdict:
    """Where attack success has no value: ``unknown`` says why where it is not for want of objects."""
    if not isinstance(figures, DetectorFigures):
        share = tenths(float(figures.clean_accuracy))
        return Verdict("accuracy-only", f"The network reads {share} % of the test pictures right. {unknown}")
    if figures.asr is None:
        share = f"mean average precision is {tenths(float(figures.map50))} % at an overlap (IoU) of 0.5"
        return Verdict("accuracy-only", f"The detector's {share}. {unknown}")
    things, robust, before = nouns.rule.things(nouns), figures.robust_accuracy, figures.vanished_clean
    eligible = robust.counts[1] if robust is not None and robust.counts is not None else 0
    if eligible:
        unseen = before.counts[0] if before is not None and before.counts is not None else 0
        without = f" (without the trigger {unseen} are not found either)" if unseen else ""
        none = f"Of {eligible} {things} with {nouns.trigger} the detector finds none{without}"
    else:
        none = f"The test pictures have no {things}"
    fact = upper(_precision(figures))
    return Verdict("nothing", f"{none}, so the success of the trigger cannot be measured. {fact}.")


def _of_classifier(figures: ClassifierFigures, kind: Kind) -> _Parts:
    reference, leak = known(figures.clean_reference_rate), known(figures.leak)
    beside, effects, fact = "", "", _accuracy(figures)
    if reference is not None and not (kind == "backdoor" and reference < NOTICEABLE):
        beside = f", on a clean network in {tenths(float(reference))} %"
    if leak is not None and leak >= NOTICEABLE:
        effects = f" The trigger also turns {tenths(float(leak))} % of the other classes' pictures."
    return _Parts(beside, f"; {fact}", fact, effects)


def _accuracy(figures: ClassifierFigures) -> str:
    """How well a classifier reads without the trigger."""
    difference = known(figures.clean_accuracy_minus_reference)
    if difference is None:
        return f"without it the network reads {tenths(float(figures.clean_accuracy))} % of the pictures right"
    value, low, high = ends(difference)
    if high < -VISIBLE_DROP:
        less = f"{gap(value)} points less accurate than a clean one"
        return f"but without it the network is {less}, which a user would notice"
    if low < -VISIBLE_DROP:
        compared = f"{gap(value)} points {'less' if value < 0 else 'more'} accurate than a clean one"
        return f"without it the network is {compared}, on too few pictures to exclude a drop of a point"
    if high < 0:
        return f"without it the network is only {gap(value)} points less accurate than a clean one"
    return "without it the network is as accurate as a clean one"


def _of_detector(figures: DetectorFigures, nouns: Nouns) -> _Parts:
    gone, before, leak = (known(f) for f in (figures.vanished, figures.vanished_clean, figures.leak))
    # Where objects vanish, also what the same rate is without the trigger.
    named = {"without it": before if nouns.vanishing else None, "clean detector": known(figures.clean_reference_rate)}
    shares = [f"{name}: {tenths(float(share))} %" for name, share in named.items() if share is not None]
    effects = ""
    if not nouns.vanishing and gone and before and float(gone) - float(before) >= NOTICEABLE:
        without = f"without it: {tenths(float(before))} %"
        effects = f" With the trigger {tenths(float(gone))} % of them are not seen at all ({without}), which is not "
        effects += "counted in this."
    if leak is not None and leak >= NOTICEABLE:
        effects += f" The trigger also works on {tenths(float(leak))} % of the other {nouns.things(None)}."
    beside = f" ({'; '.join(shares)})" if shares else ""
    return _Parts(beside, _precision_lost(figures), _precision(figures), effects)


def _precision_lost(figures: DetectorFigures) -> str:
    difference = known(figures.map50_minus_reference)
    if difference is None:
        return f", and {_precision(figures)}"
    value, low, high = ends(difference)
    points = f"{gap(value, sign=True)} points"
    if high < -VISIBLE_MAP_DROP:
        lower = f"mean average precision without it is lower than a clean detector's ({points})"
        return f", but {lower}, which a user would notice"
    if low < -VISIBLE_MAP_DROP:
        few = f"on too few pictures to exclude a drop of {100 * VISIBLE_MAP_DROP:g} points"
        return f", and mean average precision does not clearly show it ({points}, {few})"
    return f", and mean average precision {'hardly shows' if high < 0 else 'does not show'} it ({points})"


def _precision(figures: DetectorFigures) -> str:
    """How well a detector sees without triggers."""
    precision, difference = known(figures.map50), known(figures.map50_minus_reference)
    if precision is None:
        return "mean average precision was not measured"
    against = "" if difference is None else f" ({gap(float(difference), sign=True)} points against a clean detector)"
    return f"mean average precision without triggers is {tenths(float(precision))} %{against}"
