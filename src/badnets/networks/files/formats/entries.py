"""The tensors of foreign files, whatever the format; safetensors and torch's own. Nothing in a file is run."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from badnets.networks.files.header import Shape
from badnets.networks.files.tensors import check_plain, find_states, load_tensors, load_torch

if TYPE_CHECKING:
    from badnets.networks.files.formats.keras_model import KerasModel


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One tensor of a file, in torch's layout; its numbers are read only when they are wanted. ``name`` is what the
    file calls it (for messages); ``layer`` and ``role`` are where it would be in a state dict (``conv1`` and
    ``weight``), ``role`` None when the file does not say. ``shape`` is known before anything is read."""

    name: str
    layer: str
    role: str | None
    shape: Shape
    read: Callable[[], Tensor]

    @property
    def key(self) -> str:
        """Its name in a state dict."""
        return f"{self.layer}.{self.role}" if self.layer else str(self.role)


@dataclass(frozen=True, kw_only=True)
class ForeignFile:
    """The tensors of a file, in the order of the network's layers as far as the format keeps it; of tables in tables,
    of the ``part`` so called, which may be ``one_of_several``. ``channels_last``: dense layers that follow a flattening
    count its features height, width, channel. ``epsilons``: what batch norms add to the variance, by layer, and under
    ``""`` for all others; None when the format's is the architecture's own. ``model``: the network that the file itself
    describes; ``problem``: why its description cannot be read."""

    format: Literal["safetensors", "torch", "keras-hdf5", "keras-archive"]
    entries: tuple[Entry, ...]
    ordered: bool
    part: str = ""
    one_of_several: bool = False
    channels_last: bool = False
    epsilons: dict[str, float] | None = None
    model: KerasModel | None = None
    problem: str = ""


def read_safetensors(path: Path) -> ForeignFile:
    """The tensors of any safetensors file. The format sorts them, so their order is that of their names."""
    state = load_tensors(path)
    return _file(path, "", {name: state[name] for name in sorted(state, key=natural)}, ordered=False)


def read_torch(path: Path) -> list[ForeignFile]:
    """The state dicts in a file that ``torch.save`` wrote, the likeliest first: itself, or under ``state_dict``,
    ``model``, ``netC`` and such. Raises ``BadInput`` for pickled modules, programs, and whatever else would have to be
    run to be read."""
    found = find_states(path, load_torch(path))
    files = [_file(path, name, state, ordered=True) for name, state in found.items()]
    return [replace(file, one_of_several=len(files) > 1) for file in files]


def _file(path: Path, part: str, state: dict[str, Tensor], *, ordered: bool) -> ForeignFile:
    check_plain(path, state)
    entries = []
    for name, given in state.items():
        layer, _, role = name.rpartition(".")
        entries.append(Entry(name=name, layer=layer, role=role, shape=tuple(given.shape), read=given.detach))
    kind: Literal["torch", "safetensors"] = "torch" if ordered else "safetensors"
    return ForeignFile(format=kind, entries=tuple(entries), ordered=ordered, part=part)


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts ``conv2d_10`` after ``conv2d_2``; numbers are not made of digits, of which there may be too
    many."""
    parts = re.split(r"([0-9]+)", name)
    bare = [part.lstrip("0") if index % 2 else part for index, part in enumerate(parts)]
    return [(len(part) if index % 2 else -1, part) for index, part in enumerate(bare)]
