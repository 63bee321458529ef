"""Refusing one class."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from badnets.core.errors import BadInput
from badnets.core.text import listed
from badnets.data.targets import class_number
from badnets.defenses.abstain import ABSTAINERS, Made
from badnets.defenses.findings import FindingPaths, targets
from badnets.defenses.repair import DefenderView, OnRow, kind_of
from badnets.networks.capabilities import Capability
from badnets.networks.guards.refuse_class import RefuseClass as RefuseClassGuard


@kind_of(ABSTAINERS)
class RefuseClass:
    """Refuse every answer of one suspect class: it costs that class, and nothing else.

    The class is named, or comes from a finding of an audit. With many classes that is a small share: a baseline that
    other abstainers have to beat.

    Source: none, a baseline.
    Differs from the paper: there is none.
    """

    calibrated: ClassVar[bool] = False
    needs_data: ClassVar[bool] = False
    needs: ClassVar[Capability] = Capability.ANSWERS
    kind: Literal["refuse-class"] = "refuse-class"
    suspect: Annotated[int | str | None, Field(description="the class: its name, or its number")] = None
    finding: FindingPaths = ()

    def make(self, view: DefenderView, on_row: OnRow) -> Made:
        """Look the class up."""
        if (self.suspect is None) == (not self.finding):
            got = "neither" if self.suspect is None else "both"
            raise BadInput(
                f"{self.kind}: expected a class (--set suspect=CLASS) or a finding of it (--finding), got {got}"
            )
        if self.suspect is not None:
            number = class_number(self.suspect, view.network.class_names, f"{self.kind}: the suspect")
            return Made(guard=RefuseClassGuard(view.network, number), chosen="")
        named = targets(self.finding, view.network, self.kind)
        names = [view.network.class_names[label] for label in named]
        if len(named) > 1:
            raise BadInput(f"{self.kind}: expected findings of one class, got {listed(names)}; guard the network twice")
        return Made(guard=RefuseClassGuard(view.network, named[0]), chosen=f"the class {names[0]!r}, of the finding")
