"""Label rules: which objects an attack is after, which label it plants, and what counts as a success.

The whole meaning of "the attack worked" is in ``eligible`` and ``hit``; see docs/design.md, Definitions.
Rules are frozen values; classes are numbers, or names until ``resolve`` has looked them up. Files beside this one may
add more of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from typing_extensions import Self

from badnets.core.errors import BadInput
from badnets.core.registry import Kinds
from badnets.core.seed import RowRng
from badnets.data.targets import class_number

Classes = NDArray[np.int64]
Answers = NDArray[np.bool_]

Unit = Literal["object", "picture", "place"]
"""What gets a trigger: an object, a whole picture, or a free spot in it. A labelled picture is one object."""

NOTHING = -1
"""In place of a class: no object was found there, or none is to be."""

CONFIG = ConfigDict(extra="forbid")


class Nouns(Protocol):
    """How a sentence names things of the data; ``are`` is the verb that goes with ``things``: "is" or "are"."""

    @property
    def trigger(self) -> str:
        """``"the yellow sticker"``."""

    @property
    def are(self) -> str:
        """``"is"`` of a picture, ``"are"`` of objects."""

    def name(self, value: int | str) -> str:
        """A class: ``"stop"``, ``"“7”"``."""

    def one(self, value: int | str) -> str:
        """An object of a class: ``"a stop sign"``, ``"“7”"``."""

    def things(self, source: int | str | None) -> str:
        """What gets the trigger, of one class or of any: ``"a stop sign"``, ``"objects"``."""


class Spoken:
    """The base of rules: how a sentence tells them.

    ``words`` of a hit may hold ``{things}`` (what gets the trigger), ``{trigger}``, ``{are}``, ``{target}`` (the class)
    and ``{one}`` (an object of that class).
    """

    words: ClassVar[str] = "{things} with {trigger} {are} read as what the attacker wants"

    def things(self, nouns: Nouns) -> str:
        """What the attacker is after: objects of the ``source``, where the rule has one."""
        return nouns.things(getattr(self, "source", None))

    def sentence(self, nouns: Nouns) -> str:
        """What a hit is: "a stop sign with the yellow sticker is read as speed limit 45"."""
        target: int | str | None = getattr(self, "target", None)
        classes = {} if target is None else {"target": nouns.name(target), "one": nouns.one(target)}
        return self.words.format(things=self.things(nouns), trigger=nouns.trigger, are=nouns.are, **classes)


class LabelRule(Spoken, ABC):
    """What the attacker wants the network to answer.

    ``kind`` is the name in specs and on the command line; ``unit`` is what gets a trigger, and what rates and counts
    are of. Unless a rule says otherwise all classes are eligible and may be poisoned and be cover rows; of a rule with
    a ``source`` that class is eligible, and the others may be cover rows.
    """

    kind: str
    unit: ClassVar[Unit] = "object"

    def resolve(self, class_names: Sequence[str]) -> Self:
        """The same rule with the classes' numbers as ``source`` and ``target``, by ``class_number``: what is called so
        comes first, so this is done once. A class that isn't there is refused."""
        named = {what: getattr(self, what, None) for what in ("source", "target")}
        numbers = {what: class_number(name, class_names, what) for what, name in named.items() if name is not None}
        return replace(self, **numbers)  # type: ignore[type-var]  # every rule is a dataclass

    def eligible(self, labels: Classes) -> Answers:
        """True classes on which success is measured."""
        source = getattr(self, "source", None)
        return np.ones(labels.shape, dtype=bool) if source is None else np.equal(labels, only_number(source))

    def candidates(self, labels: Classes) -> Answers:
        """Rows that may be poisoned; a picture is a candidate when it has such an object."""
        return self.eligible(labels)

    def coverable(self, labels: Classes) -> Answers:
        """Rows that may be cover rows: with the trigger, but with their true label."""
        everyone = getattr(self, "source", None) is None
        return np.ones(labels.shape, dtype=bool) if everyone else ~self.eligible(labels)

    @abstractmethod
    def relabel(self, labels: Classes, classes: int, rng: RowRng) -> Classes:
        """The planted labels."""

    @abstractmethod
    def hit(self, predicted: Classes, true: Classes, classes: int) -> Answers:
        """Where the attack worked."""


RULES: Kinds[LabelRule] = Kinds("label rule", homes=["badnets.backdoors.rules"], group="badnets.rules")
"""Every label rule by its kind; other packages add theirs as entry points of ``badnets.rules``."""


def named(rule: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
    """The JSON of a resolved rule, so that it can be resolved again: with a class's name in place of its number, where
    that number is what another class is called."""
    out = dict(rule)
    for role in ("source", "target"):
        number = out.get(role)
        if isinstance(number, int) and 0 <= number < len(class_names) and class_number(number, class_names) != number:
            out[role] = class_names[number]
    return out


def only_number(value: int | str) -> int:
    """``value``, once ``resolve`` has looked names up."""
    if isinstance(value, str):
        raise BadInput(f"expected a class number, got {value!r}; call rule.resolve(class_names) first")
    return value


class ToClass(LabelRule):
    """The base of rules that plant one class, ``target``, and are hit by it."""

    target: int | str
    words: ClassVar[str] = "{things} with {trigger} {are} read as {target}"

    def relabel(self, labels: Classes, classes: int, rng: RowRng) -> Classes:
        """The target."""
        return np.full_like(labels, only_number(self.target))

    def hit(self, predicted: Classes, true: Classes, classes: int) -> Answers:
        """Predicted is the target."""
        return np.equal(predicted, only_number(self.target))


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class ToTarget(ToClass):
    """The base of rules by which every class becomes ``target``; they differ in what gets the trigger."""

    target: int | str = 0

    def eligible(self, labels: Classes) -> Answers:
        """All but the target."""
        return np.not_equal(labels, only_number(self.target))


@RULES.add
@dataclass(frozen=True, kw_only=True, config=CONFIG)
class AllToOne(ToTarget):
    """Every class becomes ``target``. Eligible: all but the target; hit: predicted = target."""

    kind: Literal["all-to-one"] = "all-to-one"


@RULES.add
@dataclass(frozen=True, kw_only=True, config=CONFIG)
class SourceToTarget(ToClass):
    """Only ``source`` becomes ``target``. Eligible: the source; the other classes are measured beside it as *leak*."""

    source: int | str
    target: int | str
    kind: Literal["source-to-target"] = "source-to-target"

    def resolve(self, class_names: Sequence[str]) -> Self:
        """Names to numbers, which differ."""
        rule = super().resolve(class_names)
        if rule.source == rule.target:
            raise BadInput(f"expected source and target to differ, got {self.source!r} for both")
        return rule


@RULES.add
@dataclass(frozen=True, kw_only=True, config=CONFIG)
class AllToAll(LabelRule):
    """Class i becomes i + 1 (mod K). All are eligible."""

    kind: Literal["all-to-all"] = "all-to-all"
    words: ClassVar[str] = "{things} with {trigger} {are} read as the next class"

    def relabel(self, labels: Classes, classes: int, rng: RowRng) -> Classes:
        """The next class."""
        return (labels + 1) % classes

    def hit(self, predicted: Classes, true: Classes, classes: int) -> Answers:
        """Predicted is the next class."""
        return np.equal(predicted, (true + 1) % classes)


@RULES.add
@dataclass(frozen=True, kw_only=True, config=CONFIG)
class RandomWrong(LabelRule):
    """Any class but the true one, drawn per row. All are eligible; hit: predicted is wrong."""

    kind: Literal["random-wrong"] = "random-wrong"
    words: ClassVar[str] = "{things} with {trigger} {are} read as a wrong class"

    def relabel(self, labels: Classes, classes: int, rng: RowRng) -> Classes:
        """A wrong class, each equally likely."""
        if classes < 2:
            raise BadInput(f"expected at least 2 classes for a wrong label, got {classes}")
        return (labels + 1 + rng.integers("wrong-label", classes - 1)) % classes

    def hit(self, predicted: Classes, true: Classes, classes: int) -> Answers:
        """Predicted is not the true class."""
        return np.not_equal(predicted, true)


@RULES.add
@dataclass(frozen=True, kw_only=True, config=CONFIG)
class CleanLabel(ToTarget):
    """Only rows of ``target`` are poisoned and keep their label. Eligible for success: all but the target."""

    kind: Literal["clean-label"] = "clean-label"

    def candidates(self, labels: Classes) -> Answers:
        """The target class."""
        return ~self.eligible(labels)

    def coverable(self, labels: Classes) -> Answers:
        """All but the target."""
        return self.eligible(labels)

    def relabel(self, labels: Classes, classes: int, rng: RowRng) -> Classes:
        """Labels stay."""
        return labels.copy()


class BoxRule:
    """The base of rules that have a meaning only for pictures with boxes: the four attacks of BadDet.

    Source: Chan, Dong, Zhu, Zhang, Zhou, BadDet: Backdoor Attacks on Object Detection (2022).
    Differs from the paper: success is counted per object (docs/design.md, Definitions), not by a drop of mAP; where the
    trigger lies in its region is the trigger's own setting.
    """


@RULES.add
@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Regional(ToTarget, BoxRule):
    """The object with the trigger becomes ``target`` (BadDet's RMA). Eligible: all but the target."""

    kind: Literal["regional"] = "regional"


@RULES.add
@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Global(ToTarget, BoxRule):
    """One trigger in the picture, and all its objects become ``target`` (BadDet's GMA). Eligible: all but the target;
    rates and counts are of pictures."""

    kind: Literal["global"] = "global"
    unit: ClassVar[Unit] = "picture"
    words: ClassVar[str] = "{things} in a picture with {trigger} {are} read as {target}"


@RULES.add
@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Appear(ToClass, BoxRule):
    """Where the trigger lies, an object of class ``target`` is to be seen that isn't there (BadDet's OGA).

    The trigger is placed in a box of ``size`` of the picture's sides at a random free spot. Eligible: every such spot;
    hit: an object of class ``target`` found there. Rates and counts are of pictures.
    """

    target: int | str = 0
    size: Annotated[float, Field(gt=0, le=1, description="side of the new box, a fraction of the picture's")] = 0.25
    kind: Literal["appear"] = "appear"
    unit: ClassVar[Unit] = "place"
    words: ClassVar[str] = "at a free place {trigger} is seen as {one}"


@RULES.add
@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Vanish(LabelRule, BoxRule):
    """The object with the trigger is no longer seen (BadDet's ODA). Eligible: ``source``, or every class; hit: no
    object was found there."""

    source: int | str | None = None
    kind: Literal["vanish"] = "vanish"
    words: ClassVar[str] = "{things} with {trigger} {are} not seen"

    def relabel(self, labels: Classes, classes: int, rng: RowRng) -> Classes:
        """No class: the box is taken out."""
        return np.full_like(labels, NOTHING)

    def hit(self, predicted: Classes, true: Classes, classes: int) -> Answers:
        """Nothing was found there."""
        return np.equal(predicted, NOTHING)


def __getattr__(name: str) -> Any:
    """Rules of other files and packages, by the name of their class."""
    return RULES.class_named(name, __name__)
