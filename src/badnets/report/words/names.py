"""Plain words for what a record is about: its classes, its trigger, its rule, its figures, and one line that sums it
up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from badnets.backdoors.rules import RULES, Spoken, Vanish, named
from badnets.backdoors.trigger import TRIGGERS
from badnets.core.errors import BadInput
from badnets.core.rate import Interval
from badnets.core.toml import shipped_table
from badnets.records.blocks import Role
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
        several = f"one of the {len(planted)} triggers"
        return cls(
            class_names=record.class_names,
            signs=record.data_name.split("-")[0] in ("signs", "scenes"),
            objects=not isinstance(record, Certificate) and isinstance(record.results, DetectorFigures),
            trigger=several if len(planted) > 1 else trigger_words(*(one.trigger for one in planted)),
            rule=_rule(planted[0].rule, record.class_names) if len(planted) == 1 else Spoken(),
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
        noun = self._class(value)
        return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun} sign" if self.signs else self.name(value)

    def things(self, source: int | str | None) -> str:
        """``"a stop sign"``, ``"a picture of “7”"``, ``"stop signs"``, ``"objects of the class “stop”"``, ``"a
        picture"``, ``"signs"``."""
        if source is None:
            return "a picture" if not self.objects else "signs" if self.signs else "objects"
        if self.signs:
            return f"{self._class(source)} signs" if self.objects else self.one(source)
        return f"{'objects of the class' if self.objects else 'a picture of'} {self.name(source)}"


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
        rule = RULES.from_json(named(value, class_names)).resolve(class_names)
    except (BadInput, ValidationError):  # of a plug-in that is not here
        return Spoken()
    return rule if isinstance(rule, Spoken) else Spoken()


def summary(record: RunRecord) -> str:
    """What was run in one line: data, network, seeds, and what was poisoned."""
    parts = [record.data_name, str(record.resolved["network"])]
    parts.append("1 seed" if len(record.seeds) == 1 else f"{len(record.seeds)} seeds")
    if (plan := record.poisoned) is not None:
        parts.append(f"{plan.rows:,} of {plan.of:,} training {plan.unit} poisoned")
    if record.resolved["data"].get("select") is not None:
        parts.append("measured on a select set, not on the test set")
    return " · ".join(parts)


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


_TABLES = shipped_table("badnets.report.words", "measures.toml")
MEASURES, _DETECTOR_MEASURES = (tuple(Measure(**m) for m in _TABLES[of]) for of in ("classifier", "detector"))
_SAID_BY_SUCCESS = ("vanished", "clean_reference_vanished")
"""Where objects are to vanish, these two are attack success itself."""


def measured(record: RunRecord | Evaluation) -> list[tuple[Measure, Interval]]:
    """The measures that this record has a figure of, in the order of the table."""
    measures = _DETECTOR_MEASURES if isinstance(record.results, DetectorFigures) else MEASURES
    left_out = _SAID_BY_SUCCESS if Nouns.of(record).vanishing else ()
    figures = ((m, known(getattr(record.results, m.key))) for m in measures if m.key not in left_out)
    return [(measure, figure) for measure, figure in figures if figure is not None]
