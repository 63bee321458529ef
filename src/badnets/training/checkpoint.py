"""The state of a training after each epoch, so that an interrupted one goes on where it was."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from badnets.core.errors import BadInput
from badnets.core.files import whole_file


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights, optimizer, scheduler and history in one file (nothing in it needs unpickling).

    Without a path there is no checkpoint.
    """

    path: Path | None
    network: nn.Module
    optimizer: Any
    scheduler: Any
    history: list[dict[str, float]]

    def save(self, epoch: int) -> None:
        """After ``epoch`` epochs."""
        if self.path is None:
            return
        state = {
            "epoch": epoch,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "history": self.history,
        }
        content = io.BytesIO()  # torch itself reports a full disk as an error of its own format
        torch.save(state, content)
        with whole_file(self.path) as partial:
            partial.write_bytes(content.getbuffer())

    def restore(self) -> int:
        """How many epochs are done; 0 without a checkpoint."""
        if self.path is None or not self.path.exists():
            return 0
        try:
            state = torch.load(self.path, weights_only=True)
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError):
            # Not torch's own words: they advise to unpickle it.
            raise BadInput(f"expected a checkpoint in {self.path}, got a damaged file; delete it") from None
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.history[:] = state["history"]
        return int(state["epoch"])
