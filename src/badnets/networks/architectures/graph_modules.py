"""Modules of layers that torch has none for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Padded(nn.Module):
    """A pooling of padded maps, whose padding does not count."""

    def __init__(self, pool: nn.Module, how: str, padding: Sequence[int]) -> None:
        super().__init__()
        top, bottom, left, right = padding
        self.pool, self.how, self.sides = pool, how, (left, right, top, bottom)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to the pooled maps."""
        if self.how == "max":
            largest: Tensor = self.pool(functional.pad(x, self.sides, value=-float("inf")))
            return largest
        counted: Tensor = self.pool(functional.pad(torch.ones_like(x), self.sides))
        mean: Tensor = self.pool(functional.pad(x, self.sides))
        return mean / counted


class Joined(nn.Module):
    """Several answers into one, as ``graph.Join`` says ``how``."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, *parts: Tensor) -> Tensor:
        """All parts in one."""
        if self.how == "append":
            return torch.cat(parts, 1)
        whole = parts[0]
        for part in parts[1:]:
            if self.how == "multiply":
                whole = whole * part
            elif self.how == "largest":
                whole = torch.maximum(whole, part)
            elif self.how == "less":
                whole = whole - part
            else:
                whole = whole + part
        return whole / len(parts) if self.how == "mean" else whole


class Scaled(nn.Module):
    """``x * by + plus``."""

    by: Tensor
    plus: Tensor

    def __init__(self, by: Sequence[float], plus: Sequence[float], axes: int) -> None:
        super().__init__()
        for name, numbers in (("by", by), ("plus", plus)):
            value = torch.tensor(numbers, dtype=torch.float32).view(-1, *[1] * (axes - 1))
            self.register_buffer(name, value, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x * self.by + self.plus
