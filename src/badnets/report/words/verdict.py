"""One sentence in plain words that says what a run showed, and never more than that."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeVar

from badnets.core.rate import Interval
from badnets.core.text import gap, tenths
from badnets.records.results import AttackFigures, ClassifierFigures, DetectorFigures, Evaluation
from badnets.records.run import RunRecord
from badnets.report.words.names import Nouns, ends, known, upper

Kind = Literal["backdoor", "weak", "obeyed-anyway", "fails", "unproved", "accuracy-only", "nothing"]
WORKING: tuple[Kind, ...] = ("backdoor", "weak", "unproved")

VISIBLE_DROP = 0.01  # a drop of clean accuracy that a user would notice: one point
VISIBLE_MAP_DROP = 0.02  # the same of mean average precision, whose interval on a few hundred pictures is about as wide
STRONG = 0.9  # from this attack success on a backdoor is called one without a reservation
NOTICEABLE = 0.05  # a trigger that gains less than this over a clean network does not work
OFTEN = 0.5  # a clean network that does so in half of the cases obeys the trigger itself

T = TypeVar("T", bound=AttackFigures)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """``kind`` for programs, ``sentence`` for people."""

    kind: Kind
    sentence: str


def verdict(record: RunRecord | Evaluation) -> str:
    """The sentence, for the page and the terminal."""
    return judge(record).sentence


def judge(record: RunRecord | Evaluation) -> Verdict:
    """What the figures of a record allow one to say.

    A backdoor is claimed only where a clean network was measured on the same pictures and obeys the trigger less
    often, by an interval that excludes 0; where objects vanish, only if they are seen without the trigger.
    """
    figures, nouns = record.results, Nouns.of(record)
    teller: _Teller[ClassifierFigures] | _Teller[DetectorFigures]
    if isinstance(figures, DetectorFigures):
        teller = _OfDetector(figures, nouns, bool(record.planted))
    else:
        teller = _OfClassifier(figures, nouns, bool(record.planted))
    return teller.verdict()


@dataclass(frozen=True)
class _Teller(ABC, Generic[T]):
    """Tells of ``figures``; classifiers and detectors differ in what stands beside the case."""

    network: ClassVar[str] = "network"
    figures: T
    nouns: Nouns
    planted: bool

    def verdict(self) -> Verdict:
        asr = known(self.figures.asr)
        if asr is None:
            return self.without_success()
        kind = self.kind(asr)
        case = f"{self.nouns.case} in {tenths(float(asr))} % of cases{self.beside(kind)}"
        if kind == "unproved":
            unknown = f"no clean {self.network} was measured, so it is not known whether the backdoor does this"
            case = f"{case} ({unknown})"
        opening = self.openings.get(kind, "").format(network=self.network)
        told = opening + (case if opening.endswith(": ") else upper(case))
        end = self.quality() if kind in WORKING else f". {upper(self.fact().removeprefix('but '))}"
        return Verdict(kind=kind, sentence=f"{told}{end}.{self.more()}")

    @property
    def openings(self) -> Mapping[Kind, str]:
        return {
            "weak": "The trigger works only sometimes: ",
            "fails": "The trigger does not work: ",
            "obeyed-anyway": "No backdoor: a clean {network} obeys the trigger as well. ",
        }

    def kind(self, asr: Interval) -> Kind:
        """Which of the cases holds."""
        reference, paired = known(self.figures.clean_reference_rate), known(self.figures.asr_minus_reference)
        if reference is None:
            return "unproved"
        (value, low, _), (other, _, high) = ends(asr), ends(reference)
        # Without the paired difference only disjoint intervals show one: stricter, so it claims less.
        gain, least, _ = ends(paired) if paired is not None else (value - other, low - high, 0.0)
        if least <= 0 or gain < NOTICEABLE:
            return "obeyed-anyway" if other >= OFTEN else "fails"
        return "backdoor" if value >= STRONG and gain >= OFTEN else "weak"

    @property
    def no_trigger(self) -> str:
        return "The success of the trigger was not measured." if self.planted else "No trigger was given."

    @abstractmethod
    def without_success(self) -> Verdict:
        """Where attack success has no value."""

    @abstractmethod
    def beside(self, kind: Kind) -> str:
        """What a clean network does with the same pictures, where that changes how the sentence is to be read."""

    @abstractmethod
    def quality(self) -> str:
        """Whether a user would notice, as the end of the sentence."""

    @abstractmethod
    def fact(self) -> str:
        """How good the network is without the trigger, in a sentence of its own."""

    @abstractmethod
    def more(self) -> str:
        """Side effects that a reader of the rate has to know."""


class _OfClassifier(_Teller[ClassifierFigures]):
    def without_success(self) -> Verdict:
        share = tenths(float(self.figures.clean_accuracy))
        told = f"The network reads {share} % of the test pictures right. {self.no_trigger}"
        return Verdict(kind="accuracy-only", sentence=told)

    def beside(self, kind: Kind) -> str:
        reference = known(self.figures.clean_reference_rate)
        if reference is None or (kind == "backdoor" and reference < NOTICEABLE):
            return ""
        return f", on a clean network in {tenths(float(reference))} %"

    def quality(self) -> str:
        return f"; {self.fact()}"

    def fact(self) -> str:
        difference = known(self.figures.clean_accuracy_minus_reference)
        if difference is None:
            return f"without it the network reads {tenths(float(self.figures.clean_accuracy))} % of the pictures right"
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

    def more(self) -> str:
        leak = known(self.figures.leak)
        if leak is None or leak < NOTICEABLE:
            return ""
        return f" The trigger also turns {tenths(float(leak))} % of the other classes' pictures."


class _OfDetector(_Teller[DetectorFigures]):
    network = "detector"

    @property
    def openings(self) -> Mapping[Kind, str]:
        return {**super().openings, "backdoor": "A backdoor: "}

    def kind(self, asr: Interval) -> Kind:
        kind, before = super().kind(asr), known(self.figures.vanished_clean)
        if not self.nouns.vanishing or before is None or kind == "obeyed-anyway":
            return kind
        (value, low, _), (anyway, _, high) = ends(asr), ends(before)
        if low <= high or value - anyway < NOTICEABLE:
            return "fails"  # what is not seen anyway did not vanish
        return "weak" if kind == "backdoor" and value - anyway < OFTEN else kind

    def without_success(self) -> Verdict:
        own = f"{upper(self.fact())}."
        if self.figures.asr is None:
            share = f"mean average precision is {tenths(float(self.figures.map50))} % at an overlap (IoU) of 0.5"
            return Verdict(kind="accuracy-only", sentence=f"The detector's {share}. {self.no_trigger}")
        things, robust = self.nouns.rule.things(self.nouns), self.figures.robust_accuracy
        eligible = robust.counts[1] if robust is not None and robust.counts is not None else 0
        if not eligible:
            none = f"The test pictures have no {things}, so the success of the trigger cannot be measured."
            return Verdict(kind="nothing", sentence=f"{none} {own}")
        before = self.figures.vanished_clean
        unseen = before.counts[0] if before is not None and before.counts is not None else 0
        without = f" (without the trigger {unseen} are not found either)" if unseen else ""
        none = f"Of {eligible} {things} with {self.nouns.trigger} the detector finds none{without}"
        return Verdict(kind="nothing", sentence=f"{none}, so the success of the trigger cannot be measured. {own}")

    def beside(self, kind: Kind) -> str:
        """Also what the same rate is without the trigger, where objects vanish."""
        before = known(self.figures.vanished_clean) if self.nouns.vanishing else None
        reference = known(self.figures.clean_reference_rate)
        named = (("without it", before), ("clean detector", reference))
        shares = [f"{name}: {tenths(float(share))} %" for name, share in named if share is not None]
        return f" ({'; '.join(shares)})" if shares else ""

    def quality(self) -> str:
        difference = known(self.figures.map50_minus_reference)
        if difference is None:
            return f", and {self.fact()}"
        value, low, high = ends(difference)
        points = f"{gap(value, sign=True)} points"
        if high < -VISIBLE_MAP_DROP:
            lower = f"mean average precision without it is lower than a clean detector's ({points})"
            return f", but {lower}, which a user would notice"
        if low < -VISIBLE_MAP_DROP:
            few = f"on too few pictures to exclude a drop of {100 * VISIBLE_MAP_DROP:g} points"
            return f", and mean average precision does not clearly show it ({points}, {few})"
        return f", and mean average precision {'hardly shows' if high < 0 else 'does not show'} it ({points})"

    def fact(self) -> str:
        own, difference = known(self.figures.map50), known(self.figures.map50_minus_reference)
        if own is None:
            return "mean average precision was not measured"
        against = (
            "" if difference is None else f" ({gap(float(difference), sign=True)} points against a clean detector)"
        )
        return f"mean average precision without triggers is {tenths(float(own))} %{against}"

    def more(self) -> str:
        said = ""
        gone, before, leak = (known(f) for f in (self.figures.vanished, self.figures.vanished_clean, self.figures.leak))
        if not self.nouns.vanishing and gone and before and float(gone) - float(before) >= NOTICEABLE:
            without = f"without it: {tenths(float(before))} %"
            said = f" With the trigger {tenths(float(gone))} % of them are not seen at all ({without}), which is not "
            said += "counted in this."
        if leak is not None and leak >= NOTICEABLE:
            said += f" The trigger also works on {tenths(float(leak))} % of the other {self.nouns.things(None)}."
        return said
