"""What a defender sees, what a repair is, and how one is carried out.

A ``DefenderView`` is a network reopened from its file, clean data or none, a budget, a seed, and nothing else: nothing
in it leads to a trigger, a plan or a test label, so a method cannot peek at the answer. The bookkeeping is here too, so
that no method scores itself.

A repair sees a ``DefenderView`` through a ``Work``: it changes ``work.network`` (a copy), writes one row per step into
the trace, and keeps what may be handed out. Ctrl-C and the end of the budget give back what was kept last; the budget
is looked at before each step of every loop (``Work.steps``), however small the step is.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked_dataclass
from typing_extensions import dataclass_transform

from badnets.core.errors import BadInput, CannotTell
from badnets.core.rate import Rate
from badnets.core.registry import Kinds
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.data.splits import split
from badnets.measures.classification import accuracy
from badnets.networks.capabilities import require
from badnets.networks.device import own_stream, within_memory
from badnets.networks.inference import check_input, predict, predict_data
from badnets.networks.network import ImageNetwork

Item = TypeVar("Item")
Kind = TypeVar("Kind")
FEWEST = 20
"""Clean pictures below which an accuracy says little: a method wants so many, and a choice on fewer is warned of."""
LOWER = "the method's batch (batch), the size of the pictures (size) or their number (pictures)"
OnRow = Callable[[str, int, int, float | None], None]
"""``on_row(what, done, total, accuracy or None)``: how far a repair is."""
EARLY = 1.0
"""Seconds after which it is said how long a repair will take in all; one that takes less than a few is not worth it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DefenderView:
    """``network`` without its file's remarks on how it was made (the weights are those handed in), ``data`` clean
    labelled pictures or None, ``seed``, and ``budget_s``, the seconds after which a method stops with what it has
    (None: as long as it takes).

    Raises ``BadInput`` for data of another size or with other classes than the network's, and for weights that are
    not finite.
    """

    network: ImageNetwork
    data: ImageData | None = None
    seed: Seed = field(default_factory=lambda: Seed(0))
    budget_s: float | None = None

    def __post_init__(self) -> None:
        bare = copy.copy(self.network)
        bare.provenance = {}  # a file says on purpose which backdoor it carries
        object.__setattr__(self, "network", bare)
        for name in not_finite(self.network):
            raise BadInput(f"expected finite weights, got NaN or infinity in {name!r}; the network is damaged")
        if self.budget_s is not None and self.budget_s <= 0:
            raise BadInput(f"expected a budget above 0 seconds, got {self.budget_s:g}")
        if self.data is None:
            return
        check_input(self.network, self.data.shape, f"pictures of {self.data.name}")
        known, given = self.network.class_names, self.data.class_names
        if known != given:
            raise BadInput(
                f"{self.data.name}: expected the network's {len(known)} classes ({', '.join(known[:3])}, ...), got "
                f"{len(given)} ({', '.join(given[:3])}, ...); bring data of the same classes"
            )

    def clean(self, method: str, *, fewest: int = FEWEST) -> ImageData:
        """The clean data, for a method that needs it: at least ``fewest`` pictures of at least 2 classes."""
        if self.data is None:
            raise BadInput(f"{method}: expected clean data, got none; pass --data")
        if len(self.data) < fewest:
            got = f"got {len(self.data)} in {self.data.name}"
            raise BadInput(f"{method}: expected at least {fewest} clean pictures, {got}; bring more")
        present = np.unique(self.data.labels)
        if len(present) < 2:
            got = f"got only {self.data.class_names[int(present[0])]!r} in {self.data.name}"
            raise BadInput(
                f"{method}: expected clean pictures of at least 2 classes, {got}; bring pictures of the others"
            )
        return self.data


def not_finite(network: ImageNetwork) -> list[str]:
    """The names, inside ``network.body``, of weights and statistics that are NaN or infinite somewhere."""
    return [name for name, value in network.body.state_dict().items() if not torch.isfinite(value).all()]


class Method(Protocol):
    """A repair or an abstainer with its settings: a frozen keyword-only dataclass with one method."""

    @property
    def kind(self) -> str:
        """The name on the command line."""

    @property
    def needs_data(self) -> bool:
        """Whether it can do nothing without clean data.

        An attribute ``needs`` (``networks.capabilities.Capability``) says what it needs of the network; without one,
        gradients.
        """


@runtime_checkable
class Repair(Method, Protocol):
    """What repairs a network."""

    def repair(self, work: Work) -> str:
        """Change ``work.network``; the sentence says what was chosen, on which data ("the number of channels, by
        accuracy on all 3,000 clean pictures")."""


REPAIRS: Kinds[Repair] = Kinds("repair", homes=["badnets.defenses.repairs"], group="badnets.repairs")
"""Names for ``badnets repair --method``; other packages add theirs as entry points of ``badnets.repairs``."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def kind_of(table: Kinds[Any]) -> Callable[[type[Kind]], type[Kind]]:
    """Makes a class of settings a frozen keyword-only dataclass that checks its values and takes no others, and adds it
    to ``table``."""
    checked: Any = checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
    return lambda method: table.add(checked(method))


def namespace(table: Kinds[Any], module: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of ``module``: the classes in ``table`` by their names."""
    return lambda name: table.class_named(name, module), lambda: sorted(one.__name__ for one in table.values())


@dataclass(frozen=True, kw_only=True, eq=False)
class Repaired:
    """``network`` (a new one, in evaluation mode), ``trace`` (one JSON row per step), ``chosen`` (what was chosen on
    which data), ``stopped`` (None, "interrupted" or "budget": then the network is what there was), ``pictures`` (how
    many clean ones the method had), ``held_out`` (how many of them it chose by alone; None where it held out none),
    ``notes`` (what to be wary of, a sentence each), ``seconds``, and the method's settings."""

    network: ImageNetwork
    method: dict[str, Any]
    trace: list[dict[str, Any]]
    chosen: str
    stopped: str | None
    pictures: int
    seconds: float
    held_out: int | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        held_out = "" if self.held_out is None else f", {self.held_out:,} held out"
        ended = f", stopped by {self.stopped}" if self.stopped else ""
        steps = f"{len(self.trace)} steps, {self.pictures:,} pictures{held_out}{ended}"
        return f"Repaired({self.method['kind']}, {self.network!r}, {steps})"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, without the network."""
        names = ("method", "trace", "chosen", "stopped", "pictures", "seconds")
        return {name: getattr(self, name) for name in names}


class OutOfBudget(Exception):
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
    clock: Callable[[], float] = time.perf_counter
    trace: list[dict[str, Any]] = field(default_factory=list)
    held_out: int | None = None
    say: Callable[[str], None] = lambda sentence: None

    def __post_init__(self) -> None:
        self.began, self.spent = self.clock(), 0.0
        self._part: tuple[float, float] | None = (0.0, 1.0)
        self.keep()
        self.untouched = True
        """Whether nothing but the network as it came was kept."""

    def check(self) -> None:
        """The moment at which a budget ends: call it before whatever takes long."""
        self.spent = self.clock() - self.began
        if self.view.budget_s is not None and self.spent > self.view.budget_s:
            raise OutOfBudget

    def steps(self, items: Iterable[Item]) -> Iterator[Item]:
        """``items`` one by one, as long as the budget lasts: what every loop of a repair goes through."""
        for item in items:
            self.check()
            yield item

    def row(self, done: int, total: int, **values: Any) -> None:
        """One step is done: a row for the trace (rates as ``Rate``)."""
        rates = {name: value.to_json() if isinstance(value, Rate) else value for name, value in values.items()}
        self.trace.append({"step": len(self.trace) + 1, **rates})
        shown = next((value.value for value in values.values() if isinstance(value, Rate)), None)
        self.on_row(self.what, done, total, shown)
        self.check()
        self._expect(done, total)

    def part(self, begins: float, ends: float) -> None:
        """The rows from now on are of the part of the whole work that ``begins`` and ``ends`` at these shares of it, as
        far as one knows: for a method whose steps are not all counted in one row."""
        if self._part is not None:
            self._part = begins, ends

    def _expect(self, done: int, total: int) -> None:
        """Once, as soon as it can be known: how long all of it will take."""
        if self._part is None or not 0 < done < total:
            return
        begins, ends = self._part
        expected = self.spent / (begins + (ends - begins) * done / total)
        if self.spent < EARLY:
            return
        self._part = None
        if expected < 5 * EARLY:
            return
        sentence = f"{self.what}: about {duration(expected)} in all"
        budget = self.view.budget_s
        if budget is not None and budget < expected:
            sentence += f"; the budget ends it after {duration(budget)}"
        self.say(sentence)

    def keep(self) -> None:
        """The network as it is now may be handed out, if the method does not come to its end."""
        self._kept = (self.network, {name: value.clone() for name, value in self.network.body.state_dict().items()})
        self.untouched = False

    def restore(self) -> None:
        """Back to what was kept last; the network as it came, if nothing was."""
        self.network, state = self._kept
        self.network.body.load_state_dict(state)

    def split(self, share: float) -> tuple[ImageData, ImageData]:
        """The clean data in two, for fitting and for stopping: ``share`` of it (at least 5 pictures) is held out.

        Stratified where classes have several pictures, seeded, and no group is torn apart. ``held_out`` says from then
        on how many there are.
        """
        data = self.view.clean(self.what)
        share = max(share, 5 / len(data))
        stream = self.view.seed.derive("hold-out")
        fit, held_out = split(data, share, stream)
        fewest = 1 if data.groups is not None else 5
        if len(held_out) < fewest or not len(fit):  # one picture of each class
            order = stream.rng.permutation(len(data))
            count = max(5, round(share * len(data)))
            fit, held_out = data.take(order[count:]), data.take(order[:count])
        self.held_out = len(held_out)
        return fit, held_out

    def accuracy(self, data: ImageData) -> Rate:
        """Accuracy of ``network`` as it is now."""
        hits = total = 0
        for rows, images in data.batches(250):
            if total:
                self.check()
            hits += int(np.count_nonzero(predict(self.network, images, finite=False).labels == data.labels[rows]))
            total += len(images)
        return Rate(hits, total)

    def accuracy_before(self, data: ImageData) -> Rate:
        """Accuracy of the network as it came."""
        return accuracy(predict_data(self.view.network, data).labels, data.labels)


def within(before: Rate, now: Rate, drop: float, *, pictures: int = 0) -> bool:
    """Whether ``now`` is at most ``drop`` (a share) below ``before``; ``pictures`` may be lost in any case, for in a
    hold-out of ten one picture is ten points and says nothing."""
    return float(before) - float(now) <= max(drop, pictures / max(now.total, 1)) + 1e-9


def duration(seconds: float) -> str:
    """As a person says it: "40 s", "7 min"."""
    if seconds < 120:
        rounded = round(seconds, -1) if seconds >= 20 else round(seconds)
        return f"{rounded:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def repair(
    view: DefenderView,
    method: Repair,
    *,
    on_row: OnRow | None = None,
    clock: Callable[[], float] = time.perf_counter,
    say: Callable[[str], None] = lambda sentence: None,
) -> Repaired:
    """Carry out ``method`` on a copy of the view's network; same view, same bits. ``clock`` gives seconds; ``say`` is
    told once how long it will take, after the first steps.

    Raises ``BadInput`` when the network or the data does not do for the method, ``CannotTell`` when no network came
    out. On Ctrl-C and at the end of the budget the network that was kept last is given back (the untouched copy if
    none was), and ``stopped`` says so.
    """
    require(view.network, method, method.kind, REPAIRS)
    if method.needs_data:
        view.clean(method.kind)
    work = Work(view, copy.deepcopy(view.network).eval(), method.kind, on_row or (lambda *_: None), clock, say=say)
    stopped, chosen = None, ""
    # As in the training loop: dropout knows no generator of its own.
    stream, device = view.seed.derive("repair", method.kind).integer, view.network.device
    with own_stream(stream, device), within_memory(device, LOWER):
        try:
            chosen = method.repair(work)
        except (KeyboardInterrupt, OutOfBudget) as stop:
            stopped = "budget" if isinstance(stop, OutOfBudget) else "interrupted"
            work.restore()
            kept = "the network as it came" if work.untouched else "the last network that was kept"
            chosen = f"stopped after {len(work.trace)} steps: {kept}"
    network = work.network.eval().requires_grad_(requires_grad=True)
    if not_finite(network):
        raise CannotTell(f"{method.kind}: expected finite weights, got NaN or infinity; lower its learning rate")
    settings = REPAIRS.to_json(method)
    network.provenance = {**view.network.provenance, "repaired": settings}
    notes = []
    if work.held_out is not None and work.held_out < FEWEST:
        one = f"chosen on {work.held_out} pictures: one of them is {100 / work.held_out:.3g} points"
        notes.append(f"{one}; bring more clean pictures, or hold out a larger share")
    return Repaired(
        network=network,
        method=settings,
        trace=work.trace,
        chosen="; ".join((chosen, *notes)),
        stopped=stopped,
        pictures=len(view.data) if view.data is not None and method.needs_data else 0,
        seconds=clock() - work.began,
        held_out=work.held_out,
        notes=tuple(notes),
    )
