"""Plain words for what a record is about: its classes, its trigger, its rule, and one line that sums it up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from badnets.backdoors.rules import RULES, Spoken, Vanish
from badnets.backdoors.trigger import TRIGGERS
from badnets.core.errors import BadInput
from badnets.core.rate import Interval
from badnets.records.certificate import Certificate
from badnets.records.model import JSON
from badnets.records.results import DetectorFigures, Evaluation
from badnets.records.run import RunRecord

F = TypeVar("F", bound=Interval)


def known(figure: F | None) -> F | None:
    """The figure when it has a value: something was counted."""
    return None if figure is None or figure.value is None else figure


def ends(figure: Interval) -> tuple[float, float, float]:
    """Value, low and high; where nothing is known of its error, both ends are the value."""
    value = float(figure)
    return value, value if figure.low is None else figure.low, value if figure.high is None else figure.high


def readable(name: str) -> str:
    """A class name as prose: ``speed-limit-45`` becomes ``speed limit 45``."""
    return name.replace("-", " ").replace("_", " ").strip() or "?"


def upper(text: str) -> str:
    """With a capital."""
    return text[:1].upper() + text[1:]


def _with_article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


@dataclass(frozen=True, kw_only=True)
class Nouns:
    """What the things of a record are called in a sentence (``badnets.backdoors.rules.Nouns``).

    ``signs``: traffic signs that our code drew, whose classes read well without quotes; ``objects``: in pictures, and
    more than one. ``rule`` is the one that was planted, with its classes as numbers; of several, or of one that this
    installation does not know, it has no words of its own.
    """

    class_names: tuple[str, ...]
    signs: bool
    objects: bool
    trigger: str
    rule: Spoken

    @classmethod
    def of(cls, record: RunRecord | Evaluation | Certificate) -> Nouns:
        """Those of a record."""
        planted = record.planted
        several = len(planted) > 1
        return cls(
            class_names=record.class_names,
            signs=record.data_name.split("-")[0] in ("signs", "scenes"),
            objects=not isinstance(record, Certificate) and isinstance(record.results, DetectorFigures),
            trigger=f"one of the {len(planted)} triggers" if several else trigger_words(*(p.trigger for p in planted)),
            rule=Spoken() if several or not planted else _rule(planted[0].rule, record.class_names),
        )

    @property
    def are(self) -> str:
        """The verb."""
        return "are" if self.objects else "is"

    @property
    def vanishing(self) -> bool:
        """Whether the attacker wants objects not to be seen."""
        return isinstance(self.rule, Vanish)

    @property
    def case(self) -> str:
        """What a hit is, ``"a stop sign with the yellow sticker is read as speed limit 45"``."""
        sentence: str = self.rule.sentence(self)
        return sentence

    def _class(self, value: int | str) -> str:
        return readable(self.class_names[value] if isinstance(value, int) else value)

    def name(self, value: int | str) -> str:
        """A class: bare for traffic signs, in quotes elsewhere."""
        return self._class(value) if self.signs else f"“{self._class(value)}”"

    def one(self, value: int | str) -> str:
        """``"a stop sign"``, ``"“stop”"``."""
        return _with_article(f"{self._class(value)} sign") if self.signs else self.name(value)

    def things(self, source: int | str | None) -> str:
        """``"a stop sign"``, ``"a picture of “7”"``, ``"stop signs"``, ``"objects of the class “stop”"``, ``"a
        picture"``, ``"signs"``."""
        if self.objects:
            if source is None:
                return "signs" if self.signs else "objects"
            return f"{self._class(source)} signs" if self.signs else f"objects of the class {self.name(source)}"
        if source is None:
            return "a picture"
        return self.one(source) if self.signs else f"a picture of {self.name(source)}"


def trigger_words(*triggers: JSON) -> str:
    """``"the yellow sticker"`` from a trigger's JSON; ``"the trigger"`` without one."""
    if not triggers:
        return "the trigger"
    try:
        return TRIGGERS.from_json(triggers[0]).words
    except BadInput:  # of a plug-in that is not here, or without its picture
        return f"the {readable(str(triggers[0].get('kind', '')))} trigger"


def _rule(value: JSON, class_names: Sequence[str]) -> Spoken:
    try:
        rule = RULES.from_json(value).resolve(class_names)
    except (BadInput, ValidationError):  # of a plug-in that is not here
        return Spoken()
    return rule if isinstance(rule, Spoken) else Spoken()


def summary(record: RunRecord) -> str:
    """What was run in one line: data, network, seeds, and what was poisoned."""
    parts = [record.data_name, str(record.resolved["network"])]
    parts.append("1 seed" if len(record.seeds) == 1 else f"{len(record.seeds)} seeds")
    if (plan := record.poisoned) is not None:
        parts.append(f"{plan.rows:,} of {plan.of:,} training {plan.unit} poisoned")
    return " · ".join(parts)
