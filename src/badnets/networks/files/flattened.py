"""Which weights work on a flattened map, and on which: formats count its features in different orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Map = tuple[int, int, int]


class _Watching(TorchFunctionMode):
    """Follows maps (n, c, h, w) that become rows (n, c*h*w), up to the weights that rows meet first."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self._names = names
        self._rows: dict[int, tuple[Tensor, Map]] = {}  # the tensors are kept, for their ids are their names here
        self.found: dict[str, Map] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        first = args[0] if args else (kwargs or {}).get("input")
        if not isinstance(first, Tensor) or not isinstance(result, Tensor) or result.ndim != 2:
            return result
        n, width = result.shape
        if first.ndim == 4 and tuple(first.shape[:1]) == (n,) and first[0].numel() == width:
            self._rows[id(result)] = (result, (first.shape[1], first.shape[2], first.shape[3]))
        elif id(first) in self._rows:
            place = self._rows[id(first)][1]
            for given in (*args[1:], *(kwargs or {}).values()):
                name = self._names.get(id(given))
                bias = func is functional.linear and getattr(given, "ndim", 0) == 1
                if name is not None and given.shape[-1] == first.shape[1] and not bias:
                    self.found[name] = place
            if func is not functional.linear and result.shape == first.shape:
                self._rows[id(result)] = (result, place)
        return result


def flattened_inputs(body: nn.Module, input_size: tuple[int, int, int]) -> dict[str, Map]:
    """The (channels, height, width) behind each weight of ``body`` that a flattened map meets, by name.

    These are dense layers' weights (out, c*h*w), and batch norms' tensors (c*h*w,) that come before them. ``body`` is
    put into evaluation mode; one pass over a black picture.
    """
    names = {id(value): name for name, value in body.state_dict(keep_vars=True).items()}
    like = next(body.parameters(), torch.zeros(0))
    body.eval()
    with torch.no_grad(), _Watching(names) as watching:
        body(torch.zeros(2, *input_size, device=like.device, dtype=like.dtype))
    found: dict[str, Map] = watching.found
    return found


def to_channels_first(weight: Tensor, place: Map) -> Tensor:
    """``weight`` whose last axis counts (height, width, channel), with that axis in torch's order."""
    c, h, w = place
    return weight.reshape(*weight.shape[:-1], h, w, c).movedim(-1, -3).flatten(-3)
