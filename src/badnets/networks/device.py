"""Where networks compute: one choice, which all work follows.

New networks and those from files are put on the device that is chosen here; from then on a network's own device
counts: all that is done with it (training, measuring, repairing) is done where its weights are. Random numbers are
drawn on the CPU and moved, so that they are the same on every device; only dropout, and the sampling inside detectors
that are trained, draw where they run.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, WithJsonSchema

from badnets.core.errors import BadInput, first_line
from badnets.core.text import VALUE, brief

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FORM = r"^(auto|cpu|mps|cuda(:[0-9]{1,2})?)$"
_CHOSEN: ContextVar[str | torch.device] = ContextVar("device", default="auto")
_NO_MEMORY = re.compile("out of memory|can't allocate memory|not enough memory|bad_alloc", re.IGNORECASE)


def _checked(name: str) -> str:
    if not re.fullmatch(FORM, name):
        raise ValueError(f"expected auto, cpu, cuda, cuda:1 or mps, got {brief(name, 40)!r}; auto takes the best one")
    return name


DeviceName = Annotated[str, AfterValidator(_checked), WithJsonSchema({"type": "string", "pattern": FORM})]
"""``auto``, ``cpu``, ``cuda`` (the first card), ``cuda:1`` (the second), ``mps`` (Apple's)."""


def find_device(name: str | torch.device = "auto") -> torch.device:
    """The device of that name; ``auto`` is the one that is chosen (``working_on``), else the best that works: a CUDA
    card, Apple's, the CPU. A device of torch is given back as it is. Raises ``BadInput`` for other words, and for what
    is not there or cannot be used."""
    import torch

    wanted = _CHOSEN.get() if name == "auto" else name
    if isinstance(wanted, torch.device):
        return _exact(wanted)
    try:
        word = _checked(wanted)
    except ValueError as error:
        raise BadInput(f"device: {error}") from None
    if word == "auto":
        word = next((other for other in ("cuda", "mps") if _trouble(other) is None), "cpu")
    elif trouble := _trouble(word):
        there = ", ".join(["cpu", *(other for other in _accelerators() if _trouble(other) is None)])
        kind = "a CUDA card" if word.startswith("cuda") else "a GPU of Apple"
        raise BadInput(
            f"expected {kind} for device {word}, got none ({trouble}); this machine has {there}: choose one of "
            "these, or leave the device out"
        )
    kind, _, number = word.partition(":")
    return _exact(torch.device(kind) if kind == "cpu" else torch.device(kind, int(number or 0)))


def _exact(device: torch.device) -> torch.device:
    """``device``, in which nothing is rounded more than on a CPU: by default convolutions on a card round their factors
    to ten bits, and choose the order of sums by chance."""
    import torch

    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
    return device


def _accelerators() -> list[str]:
    import torch

    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [*(f"cuda:{number}" for number in range(cards)), "mps"]


def _trouble(name: str) -> str | None:
    """Why nothing can be computed there; None where it can."""
    import torch

    kind, _, number = name.partition(":")
    if kind == "cpu":
        return None
    if kind == "mps":
        if not torch.backends.mps.is_available():
            return "only Apple's computers have it"
    elif not torch.cuda.is_available():
        built = torch.version.cuda or getattr(torch.version, "hip", None)
        return "torch sees no card or no driver" if built else f"torch {torch.__version__} is built without CUDA"
    elif int(number or 0) >= (count := torch.cuda.device_count()):
        return f"there are {count}, the first is cuda:0"
    try:  # a card that is too old for this torch, or that somebody else has to himself
        torch.ones(2, device=name).sum().item()
    except RuntimeError as error:
        return brief(first_line(error), VALUE)
    return None


@contextmanager
def working_on(device: str | torch.device) -> Iterator[None]:
    """Inside, ``auto`` means ``device``; ``auto`` itself changes nothing. What is not there is refused at once, with
    ``BadInput``."""
    token = _CHOSEN.set(_CHOSEN.get() if device == "auto" else device)
    try:
        if device not in ("auto", "cpu"):  # these are always there, and torch takes a second to import
            find_device(device)
        yield
    finally:
        _CHOSEN.reset(token)


def chosen() -> str:
    """The name that ``auto`` stands for here: for another process, which calls ``choose`` with it."""
    return str(_CHOSEN.get())


def choose(name: str) -> None:
    """From now on ``auto`` means ``name``, in all of this process."""
    _CHOSEN.set(name)


def card_of(device: torch.device) -> str | None:
    """What a card calls itself ("NVIDIA H100 80GB HBM3"); None for the CPU."""
    import torch

    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{platform.machine()} GPU" if device.type == "mps" else None


@contextmanager
def within_memory(device: torch.device, lower: str) -> Iterator[None]:
    """Turn what torch raises where ``device`` has no memory left into one sentence, which says what to ``lower``."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _NO_MEMORY.search(str(error)):
            raise
        where = "memory" if device.type == "cpu" else f"the memory of {card_of(device) or device}"
        other = "" if device.type == "cpu" else ", or use device cpu"
        got = brief(first_line(error), VALUE)
        raise BadInput(f"expected all to fit into {where}, got more ({got}); lower {lower}{other}") from None


@contextmanager
def own_stream(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Inside, torch's generators of the CPU and of ``device`` begin at ``seed``; outside, they go on as if nothing had
    happened."""
    import torch

    # Not torch.manual_seed: that one would also seed every other accelerator, which nothing would undo.
    kind = "cpu" if device is None else device.type
    with torch.random.fork_rng(devices=[device] if kind == "cuda" else []):
        kept = torch.mps.get_rng_state() if kind == "mps" else None
        torch.default_generator.manual_seed(seed)
        if kind == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif kept is not None:
            torch.mps.manual_seed(seed)
        try:
            yield
        finally:
            if kept is not None:
                torch.mps.set_rng_state(kept)


def moved(values: Tensor, device: torch.device) -> Tensor:
    """``values``, which lie on the CPU, on ``device``. A card is not waited for: from memory that can't be paged out it
    fetches them when it gets there."""
    if device.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def as_double(values: Tensor) -> Tensor:
    """``values`` in double precision where they are, or on the CPU where their device has none (Apple's)."""
    return (values.cpu() if values.device.type == "mps" else values).double()
