"""Refusing one class."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from badnets.data.targets import class_number
from badnets.defenses.abstain import ABSTAINERS, Made
from badnets.defenses.repair import DefenderView, OnRow, kind_of
from badnets.networks.capabilities import Capability
from badnets.networks.guards.refuse_class import RefuseClass as RefuseClassGuard


@kind_of(ABSTAINERS)
class RefuseClass:
    """Refuse every answer of one suspect class: it costs that class, and nothing else.

    With many classes that is a small share: a baseline that other abstainers have to beat.

    Source: none, a baseline.
    Differs from the paper: there is none.
    """

    calibrated: ClassVar[bool] = False
    needs_data: ClassVar[bool] = False
    needs: ClassVar[Capability] = Capability.ANSWERS
    kind: Literal["refuse-class"] = "refuse-class"
    suspect: Annotated[int | str, Field(description="the class: its name, or its number")]

    def make(self, view: DefenderView, on_row: OnRow) -> Made:
        """Look the class up."""
        number = class_number(self.suspect, view.network.class_names, f"{self.kind}: the suspect")
        return Made(guard=RefuseClassGuard(view.network, number), chosen="")
