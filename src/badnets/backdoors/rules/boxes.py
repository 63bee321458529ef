"""Label rules that only make sense where a picture holds several objects: the four attacks of BadDet.

Source: Chan, Dong, Zhu, Zhang, Zhou, BadDet: Backdoor Attacks on Object Detection (2022).
Differs from the paper: success is counted per object (docs/design.md, Definitions), not by a drop of mAP; where the
trigger lies in its region is the trigger's own setting.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from badnets.backdoors.rules.labels import (
    CONFIG,
    NOTHING,
    RULES,
    Answers,
    Classes,
    LabelRule,
    Nouns,
    ToClass,
    ToTarget,
    Unit,
    only_number,
)
from badnets.core.seed import RowRng


class BoxRule:
    """The base of rules that have a meaning only for pictures with boxes."""


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

    def sentence(self, nouns: Nouns) -> str:
        """One trigger, all objects."""
        return f"{self.things(nouns)} in a picture with {nouns.trigger} {nouns.are} read as {self.outcome(nouns)}"


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

    def sentence(self, nouns: Nouns) -> str:
        """The trigger itself is taken for an object."""
        return f"at a free place {nouns.trigger} is seen as {nouns.one(self.target)}"


@RULES.add
@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Vanish(LabelRule, BoxRule):
    """The object with the trigger is no longer seen (BadDet's ODA). Eligible: ``source``, or every class; hit: no
    object was found there."""

    source: int | str | None = None
    kind: Literal["vanish"] = "vanish"

    def sentence(self, nouns: Nouns) -> str:
        """Nothing is read."""
        return f"{self.things(nouns)} with {nouns.trigger} {nouns.are} not seen"

    def eligible(self, labels: Classes) -> Answers:
        """The source class."""
        return super().eligible(labels) if self.source is None else np.equal(labels, only_number(self.source))

    def coverable(self, labels: Classes) -> Answers:
        """Where only one class vanishes, all others."""
        return super().coverable(labels) if self.source is None else ~self.eligible(labels)

    def relabel(self, labels: Classes, classes: int, rng: RowRng) -> Classes:
        """No class: the box is taken out."""
        return np.full_like(labels, NOTHING)

    def hit(self, predicted: Classes, true: Classes, classes: int) -> Answers:
        """Nothing was found there."""
        return np.equal(predicted, NOTHING)
