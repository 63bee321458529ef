"""What every reader of foreign files gives: named tensors whose numbers are read only when they are wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Format = Literal["safetensors", "torch", "keras-hdf5"]


class ForeignWarning(UserWarning):
    """A foreign network could be used, but something about it was guessed."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One tensor of a file, in torch's layout.

    ``name`` is what the file calls it (for messages); ``layer`` and ``role`` are where it would be in a state dict
    (``conv1`` and ``weight``), ``role`` None when the file does not say. ``shape`` is known before anything is read.
    """

    name: str
    layer: str
    role: str | None
    shape: tuple[int, ...]
    read: Callable[[], Tensor]

    @property
    def key(self) -> str:
        """Its name in a state dict."""
        return f"{self.layer}.{self.role}" if self.layer else str(self.role)


@dataclass(frozen=True, kw_only=True)
class ForeignFile:
    """The tensors of a file, in the order of the network's layers as far as the format keeps it.

    ``channels_last``: dense layers that follow a flattening count its features height, width, channel.
    ``epsilons``: what batch norms add to the variance, by layer, and under ``""`` for all others; empty when the
    format's is the architecture's own.
    """

    format: Format
    entries: tuple[Entry, ...]
    ordered: bool
    channels_last: bool = False
    epsilons: dict[str, float] | None = None
