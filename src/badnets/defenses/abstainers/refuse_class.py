"""Refusing one class."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from badnets.core.errors import BadInput
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
        names, number = view.network.class_names, self.suspect
        if str(number) in names:
            number = names.index(str(number))
        if not isinstance(number, int) or not 0 <= number < len(names):
            raise BadInput(
                f"{self.kind}: expected suspect to be a class ({', '.join(names[:5])}, ...) or a number below "
                f"{len(names)}, got {self.suspect!r}; name one of them"
            )
        return Made(guard=RefuseClassGuard(view.network, number), chosen="")
