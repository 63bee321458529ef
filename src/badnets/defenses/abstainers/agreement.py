"""Agreement with a repaired copy: the N+1 network, soft or hard."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from badnets.core.errors import BadInput
from badnets.defenses.abstain import ABSTAINERS, Made
from badnets.defenses.repair import REPAIRS, DefenderView, OnRow, Repair, kind_of, repair
from badnets.networks.capabilities import Capability, needs
from badnets.networks.files.own import open_network
from badnets.networks.guards.agreement import Agreement as AgreementGuard
from badnets.networks.network import ImageNetwork


@kind_of(ABSTAINERS)
class Agreement:
    """Answer where a repaired copy finds the answer likely enough; it is as strong as that copy.

    A copy that obeys the trigger too agrees with the original, and nothing is gained: that is what happens with a
    lightly pruned one. ``hard`` is the N+1 network of study C1: refuse where the two answers differ.
    With ``repaired`` all clean pictures calibrate; a copy that was fitted to the same pictures is then surer of them
    than of fresh ones, and more than the stated share is refused.

    Source: Vora, GoodNet (study C1): two networks, and class N+1 where they differ.
    Differs from the paper: by default the copy is not pruned but repaired, and the doubt that is let through is
    calibrated on clean pictures.
    """

    kind: Literal["agreement"] = "agreement"
    repair: Annotated[str, Field(description="the repair that makes the copy")] = "fst"
    settings: Annotated[dict[str, Any], Field(description="settings of that repair")] = field(default_factory=dict)
    repaired: Annotated[Path | None, Field(description="a repaired network's file, instead of a repair")] = None
    hard: Annotated[bool, Field(description="refuse where the two answers differ, without a threshold")] = False

    def __post_init__(self) -> None:
        if self.repaired is not None and self.settings:
            raise BadInput("agreement: expected settings of a repair, or a repaired network, got both; leave out one")
        if self.repaired is None:
            self._method()

    @property
    def calibrated(self) -> bool:
        """The soft form is."""
        return not self.hard

    @property
    def needs_data(self) -> bool:
        """As its repair."""
        return self.repaired is None and self._method().needs_data

    @property
    def needs(self) -> Capability:
        """As its repair."""
        return Capability.ANSWERS if self.repaired is not None else needs(self._method())

    def make(self, view: DefenderView, on_row: OnRow) -> Made:
        """Repair a copy, or open the second network."""
        if self.repaired is not None:
            second = _open_like(view.network, self.repaired)
            return Made(guard=AgreementGuard(view.network, second, hard=self.hard), chosen="")
        done = repair(view, self._method(), on_row=on_row)
        guard = AgreementGuard(view.network, done.network, hard=self.hard)
        return Made(guard=guard, chosen=done.chosen, trace=tuple(done.trace), stopped=done.stopped)

    def _method(self) -> Repair:
        return REPAIRS.make(self.repair, self.settings)


def _open_like(first: ImageNetwork, path: Path) -> ImageNetwork:
    second = open_network(path)
    if second.abstains:
        raise BadInput(f"{path}: expected a network that always answers, got one that abstains; name the repaired one")
    if (second.class_names, second.input_size) != (first.class_names, first.input_size):
        raise BadInput(
            f"{path}: expected a network of {first.classes} classes and input {first.input_size} like the original, "
            f"got one of {second.classes} classes and input {second.input_size}; name a repaired copy of it"
        )
    return second
