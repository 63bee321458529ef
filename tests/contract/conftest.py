"""A card that is not there: tensors are marked as if they lay on one, and what a real card refuses is refused.

The numbers are computed on the CPU, so control flow goes its usual way. A tensor is on the card when it was moved or
made there, or came out of something with a tensor from there. As with a real card, operations that mix both kinds fail
(but for single numbers, and rows to choose by), so does ``.numpy()``, and draws need a generator of the same kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from badnets.networks.device import working_on

CARD = torch.device("privateuseone", 0)
_COPIES = {"copy_", "__deepcopy__", "_has_compatible_shallow_copy_type"}
_MOVES = {"to", "cpu"}


def on_card(value: Any) -> bool:
    return bool(getattr(value, "_on_card", False))


def _tensors(*values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(list(values)) if isinstance(leaf, Tensor)]


def _marked(result: Any, *, card: bool = True) -> Any:
    for tensor in _tensors(result):
        tensor._on_card = card  # type: ignore[attr-defined]
    return result


def _is_card(value: Any) -> bool:
    return isinstance(value, torch.device | str) and str(value).startswith(CARD.type)


class Pretending(TorchFunctionMode):
    """Inside, ``CARD`` is a device like any other."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if func == torch.Tensor.device.__get__:  # type: ignore[attr-defined]
            return CARD if on_card(args[0]) else func(*args)
        if name == "__set__":  # param.data = ..., param.grad = ...
            func(*args)
            return _marked(args[0], card=on_card(args[1])) if isinstance(args[1], Tensor) else None
        if name in _MOVES and isinstance(args[0], Tensor):
            return _moved(name, args, named)
        given = _tensors(args, named)
        card = any(map(on_card, given))
        if name in ("numpy", "__array__") and card:
            raise TypeError("can't convert a tensor of the card to numpy; use .cpu() first")
        if "device" in named:
            card = _is_card(named["device"])
            named["device"] = "cpu" if card else named["device"]
            if card and named.get("generator") is not None:
                raise RuntimeError("expected a generator of the card, got one of the CPU")
        elif card:
            _check(name, args, given)
        return _marked(func(*args, **named), card=True) if card else func(*args, **named)


def _moved(name: str, args: Any, named: dict[str, Any]) -> Any:
    """``.to(...)`` and ``.cpu()``: a copy where the mark changes, in the type and layout that are asked for."""
    first, *rest = args
    said = [*rest, *named.values()]
    places = [_is_card(v) for v in said if isinstance(v, torch.device | str)] + [on_card(v) for v in _tensors(rest)]
    target = name == "to" and (places[0] if places else on_card(first))
    kinds = [v for v in said if isinstance(v, torch.dtype)] + [v.dtype for v in _tensors(rest)]
    layout = {"memory_format": named["memory_format"]} if "memory_format" in named else {}
    result = first.to(kinds[0] if kinds else first.dtype, **layout)
    return _marked(first.clone() if target != on_card(first) and result is first else result, card=target)


def _check(name: str, args: Any, given: list[Tensor]) -> None:
    if name in _COPIES:
        return
    first = args[0] if args and isinstance(args[0], Tensor) else None
    if name in ("__getitem__", "__setitem__"):  # rows may come from the CPU
        given = [first, *_tensors(args[2:])] if first is not None and on_card(first) else given
    in_place = name.endswith("_") and (not name.endswith("__") or name.startswith("__i"))
    if in_place and first is not None and not on_card(first):
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, but a number of the CPU is changed")
    if any(not on_card(tensor) and tensor.ndim for tensor in given):
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found at least two")


class _Fabric:
    """What the loop asks of Lightning's."""

    world_size, global_rank, is_global_zero = 1, 0, True

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def setup(self, model: nn.Module, optimizer: Any) -> Any:
        return model, optimizer

    def backward(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]

    def all_reduce(self, value: Tensor, reduce_op: str) -> Tensor:
        return value


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """The pretended card, which is also the best device there is."""
    new = nn.Parameter.__new__

    def parameter(cls: Any, data: Any = None, requires_grad: bool = True) -> Any:  # noqa: FBT002
        made = new(cls, data, requires_grad)
        return _marked(made) if on_card(data) else made

    monkeypatch.setattr(nn.Parameter, "__new__", parameter)
    monkeypatch.setattr("badnets.training.loop.make_fabric", lambda precision, devices, device: _Fabric(device))
    with working_on(CARD), Pretending():
        yield CARD
