"""What a repair is, and how one is carried out: the bookkeeping is here, so that no method scores itself.

A repair sees a ``DefenderView`` through a ``Work``: it changes ``work.network`` (a copy), writes one row per step into
the trace, and keeps what may be handed out. Ctrl-C and the end of the budget give back what was kept last.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from pydantic import TypeAdapter

from badnets.core.errors import CannotTell
from badnets.core.rate import Rate
from badnets.data.images import ImageData
from badnets.data.splits import split
from badnets.defenses.view import DefenderView
from badnets.measures.classification import accuracy
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork

OnRow = Callable[[str, int, int, float | None], None]
"""``on_row(what, done, total, accuracy or None)``: how far a repair is."""


@runtime_checkable
class Repair(Protocol):
    """A method with its settings: a frozen keyword-only dataclass with one method.

    ``repair`` changes ``work.network`` and returns one sentence: what was chosen, on which data ("the number of
    channels, by accuracy on all 3,000 clean pictures").
    """

    @property
    def needs_data(self) -> bool:
        """Whether it can do nothing without clean data."""

    @property
    def kind(self) -> str:
        """The name on the command line."""

    def repair(self, work: Work) -> str:
        """Change ``work.network``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Repaired:
    """``network`` (a new one, in evaluation mode), ``trace`` (one JSON row per step), ``chosen`` (what was chosen on
    which data), ``stopped`` (None, "interrupted" or "budget": then the network is what there was), ``pictures`` (how
    many clean ones the method had), ``seconds``, and the method's settings."""

    network: ImageNetwork
    method: dict[str, Any]
    trace: list[dict[str, Any]]
    chosen: str
    stopped: str | None
    pictures: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, without the network."""
        return {name: value for name, value in self.__dict__.items() if name != "network"}


class _OutOfBudget(Exception):
    """The seconds are spent."""


@dataclass(eq=False)
class Work:
    """What a repair works on.

    ``network`` is a copy of the view's that may be changed or replaced; ``view`` has the data and the seed.
    """

    view: DefenderView
    network: ImageNetwork
    what: str
    on_row: OnRow
    trace: list[dict[str, Any]] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)
    _kept: tuple[ImageNetwork, dict[str, torch.Tensor]] | None = None

    def row(self, done: int, total: int, **values: Any) -> None:
        """One step is done: a row for the trace (rates as ``Rate``), and the moment at which a budget ends."""
        rates = {name: value.to_json() if isinstance(value, Rate) else value for name, value in values.items()}
        self.trace.append({"step": len(self.trace) + 1, **rates})
        shown = next((value.value for value in values.values() if isinstance(value, Rate)), None)
        self.on_row(self.what, done, total, shown)
        budget = self.view.budget_s
        if budget is not None and time.perf_counter() - self.began > budget:
            raise _OutOfBudget

    def keep(self) -> None:
        """The network as it is now may be handed out, if the method does not come to its end."""
        self._kept = (self.network, {name: value.clone() for name, value in self.network.body.state_dict().items()})

    def restore(self) -> None:
        """Back to what was kept last; the view's network, if nothing was."""
        if self._kept is None:
            self.network = copy.deepcopy(self.view.network)
            return
        self.network, state = self._kept
        self.network.body.load_state_dict(state)

    def split(self, share: float) -> tuple[ImageData, ImageData]:
        """The clean data in two, for fitting and for stopping: ``share`` of it (at least 5 pictures) is held out.

        Stratified where classes have several pictures, seeded, and no group is torn apart.
        """
        data = self.view.clean(self.what)
        share = max(share, 5 / len(data))
        stream = self.view.seed.derive("hold-out")
        fit, held_out = split(data, share, stream)
        if not len(held_out) or not len(fit):  # one picture of each class
            order = stream.rng.permutation(len(data))
            count = max(5, round(share * len(data)))
            fit, held_out = data.take(order[count:]), data.take(order[:count])
        return fit, held_out

    def accuracy(self, data: ImageData) -> Rate:
        """Accuracy of ``network`` as it is now."""
        return accuracy(predict_data(self.network, data).labels, data.labels)


def repair(view: DefenderView, method: Repair, *, on_row: OnRow | None = None) -> Repaired:
    """Carry out ``method`` on a copy of the view's network; same view, same bits.

    Raises ``BadInput`` when the data does not do for the method, ``CannotTell`` when no network came out. On Ctrl-C
    and at the end of the budget the network that was kept last is given back (the untouched copy if none was), and
    ``stopped`` says so.
    """
    if method.needs_data:
        view.clean(method.kind)
    work = Work(view, copy.deepcopy(view.network).eval(), method.kind, on_row or (lambda *_: None))
    stopped, chosen = None, ""
    with torch.random.fork_rng(devices=[]):
        # As in the training loop: dropout knows no generator of its own.
        torch.default_generator.manual_seed(view.seed.derive("repair", method.kind).integer)
        try:
            chosen = method.repair(work)
        except (KeyboardInterrupt, _OutOfBudget) as stop:
            stopped = "budget" if isinstance(stop, _OutOfBudget) else "interrupted"
            work.restore()
            chosen = f"stopped after {len(work.trace)} steps: the last network that was kept"
    network = work.network.eval()
    network.requires_grad_(requires_grad=True)
    if any(not torch.isfinite(value).all() for value in network.body.state_dict().values()):
        raise CannotTell(f"{method.kind}: expected finite weights, got NaN or infinity; lower its learning rate")
    settings = TypeAdapter(type(method)).dump_python(method, mode="json")
    network.provenance = {**view.network.provenance, "repaired": settings}
    used = len(view.data) if view.data is not None and method.needs_data else 0
    return Repaired(
        network=network,
        method=settings,
        trace=work.trace,
        chosen=chosen,
        stopped=stopped,
        pictures=used,
        seconds=time.perf_counter() - work.began,
    )
