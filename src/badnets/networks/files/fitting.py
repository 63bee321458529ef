"""Which tensor of a foreign file is which of a network's: by name, else by shape and order."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from badnets.core.errors import BadInput
from badnets.core.text import brief
from badnets.networks.files.formats.entries import Entry, ForeignFile
from badnets.networks.files.header import Shape, check_shapes
from badnets.networks.files.tensors import check_finite, check_numbers
from badnets.networks.network import black
from badnets.networks.registry import COUNTER

Kind = frozenset[tuple[str | None, Shape]]
Map = tuple[int, int, int]
Row = tuple[Map, ...]
"""The maps that are flattened, one after the other, in a row of features."""
T = TypeVar("T")
_HEAD = re.compile(r"(?P<head>fc|classifier|head|linear)\.\d\.")
_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")  # torchvision's heads that only help training
_OPTIONS = " (--arch), size (--input-size) or number of classes (--classes)"


@dataclass(frozen=True, kw_only=True)
class Matched:
    """The file's tensor for each of the network's names; ``swappable`` counts those that another one would fit too."""

    entries: dict[str, Entry]
    by_name: bool
    swappable: int = 0


def match(path: Path, file: ForeignFile, needed: Mapping[str, Shape], what: str, *, by_name: bool = False) -> Matched:
    """Names first, without prefixes such as ``module.``; else shapes, of layers or tensors, in the order of the file.
    ``needed`` are the shapes of a state dict, ``what`` says whose. Each tensor of the file is used once, and none is
    left over: otherwise ``BadInput`` names the first that does not fit. With ``by_name`` only names count."""
    wanted = {name: shape for name, shape in needed.items() if not name.endswith(COUNTER)}
    given = [entry for entry in file.entries if entry.role != COUNTER]
    for names in strippings([entry.key for entry in given]):
        named = {name: e for name, e in zip(names, given, strict=True) if not name.startswith(_AUXILIARY)}
        if set(wanted) <= set(named):
            check_shapes(path, {name: e.shape for name, e in named.items()}, wanted, what, advice=_OPTIONS)
            return Matched(entries={name: named[name] for name in wanted}, by_name=True)
    if by_name:
        raise BadInput(f"{path}: expected the tensors of {what}, got others")
    return _by_layer(given, wanted) or _by_tensor(path, given, wanted, what)


def has_names(file: ForeignFile, needed: Iterable[str]) -> bool:
    """Whether the tensors of ``file`` have all these names, with or without prefixes."""
    wanted = {name for name in needed if not name.endswith(COUNTER)}
    given = [entry.key for entry in file.entries if entry.role != COUNTER]
    return any(wanted <= set(names) for names in strippings(given))


def strippings(names: list[str]) -> Iterator[list[str]]:
    """``names`` as they are; then without what wrappers put into them: ``module`` of torch's DataParallel wherever it
    is, a prefix that all of them have, and so on; last with a head that has a dropout in front (``fc.1.weight``) under
    the name of the head."""
    yield names
    if any(".module." in name for name in names):
        names = [name.replace(".module.", ".") for name in names]
        yield names
    while names and "." in names[0]:
        prefix = names[0].partition(".")[0] + "."
        if not all(name.startswith(prefix) and "." in name.removeprefix(prefix) for name in names):
            break
        names = [name.removeprefix(prefix) for name in names]
        yield names
    heads = {match[0] for name in names if (match := _HEAD.match(name))}
    if len(heads) == 1:
        yield [_HEAD.sub(r"\g<head>.", name) for name in names]


def _by_layer(given: list[Entry], wanted: Mapping[str, Shape]) -> Matched | None:
    """Whole layers: each gets the first unused one whose tensors have the same roles and shapes; None if any lacks."""
    theirs = _layers((entry.layer, entry.role, entry.shape, entry) for entry in given)
    ours = _layers((*name.rpartition(".")[::2], shape, name) for name, shape in wanted.items())
    if {kind: len(layers) for kind, layers in theirs.items()} != {kind: len(layers) for kind, layers in ours.items()}:
        return None
    pairs = [pair for kind, layers in ours.items() for pair in zip(layers, theirs[kind], strict=True)]
    chosen = {name: other[role] for layer, other in pairs for role, name in layer.items()}
    swappable = sum(len(kind) * len(layers) for kind, layers in ours.items() if len(layers) > 1)
    return Matched(entries=chosen, by_name=False, swappable=swappable)


def _layers(tensors: Iterable[tuple[str, str | None, Shape, T]]) -> dict[Kind, list[dict[str | None, T]]]:
    """The tensors of each layer by role, under what the layer is made of: its roles and shapes."""
    layers: dict[str, dict[str | None, tuple[Shape, T]]] = defaultdict(dict)
    for layer, role, shape, tensor in tensors:
        layers[layer][role] = shape, tensor
    kinds: dict[Kind, list[dict[str | None, T]]] = defaultdict(list)
    for parts in layers.values():
        kind = frozenset((role, shape) for role, (shape, _) in parts.items())
        kinds[kind].append({role: tensor for role, (_, tensor) in parts.items()})
    return kinds


def _by_tensor(path: Path, given: list[Entry], wanted: Mapping[str, Shape], what: str) -> Matched:
    """Each tensor gets the first unused one of its shape and, where the file says it, its role (weight, bias, ...)."""
    keys = {name: (name.rpartition(".")[2], shape) for name, shape in wanted.items()}
    roles = {role for role, _ in keys.values()}
    left: dict[tuple[str | None, Shape], list[Entry]] = defaultdict(list)
    for entry in given:
        left[entry.role if entry.role in roles else None, entry.shape].append(entry)
    chosen: dict[str, Entry] = {}
    for name, shape in wanted.items():
        fitting = left.get(keys[name]) or left.get((None, shape))
        if not fitting:
            raise BadInput(
                f"{path}: expected a tensor of {list(shape)} for {name!r} of {what}, got none; "
                f"the weights are of another network{_OPTIONS}"
            )
        chosen[name] = fitting.pop(0)
    unused = next((entry for entries in left.values() for entry in entries), None)
    if unused is not None:
        tensor = f"{brief(unused.name)!r} of {brief(str(list(unused.shape)))}"
        raise BadInput(f"{path}: expected no tensor {tensor} for {what}, got one")
    return Matched(entries=chosen, by_name=False, swappable=sum(n for n in Counter(keys.values()).values() if n > 1))


def load(path: Path, file: ForeignFile, matched: Matched, body: nn.Module, input_size: Map) -> None:
    """Put the matched tensors into ``body``, in its dtypes and torch's order of features. Batch norms of a format that
    adds another number to the variance get the difference in their running variance, so that evaluation gives the same;
    trained further, they use torch's. Raises ``BadInput`` for NaN and infinity."""
    state = body.state_dict()
    places = flattened_inputs(body, input_size) if file.channels_last else {}
    for name, entry in matched.entries.items():
        tensor = entry.read()
        if tensor.is_floating_point() != state[name].is_floating_point():
            wanted = f"tensor {brief(entry.name)!r} as {state[name].dtype}"
            raise BadInput(f"{path}: expected {wanted}, got {tensor.dtype}; save it as that")
        tensor = tensor.to(state[name].dtype)
        check_finite(path, entry.name, tensor)
        if name in places:
            tensor = to_channels_first(tensor, places[name])
        layer, _, role = name.rpartition(".")
        epsilon = getattr(body.get_submodule(layer), "eps", None)
        if role == "running_var" and file.epsilons and epsilon is not None:
            tensor = tensor + (file.epsilons.get(entry.layer, file.epsilons[""]) - epsilon)
        state[name] = tensor
    body.load_state_dict(state)
    check_numbers(path, body)


class _Watching(TorchFunctionMode):
    """Follows maps (n, c, h, w) that become rows (n, c*h*w), which may be joined, up to the weights that rows meet
    first: in ``places``."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self._names = names
        self._rows: dict[int, tuple[Tensor, Row]] = {}  # the tensors are kept, for their ids are their names here
        self.places: dict[str, Row] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        result = func(*args, **named)
        first = args[0] if args else named.get("input")
        if func is torch.cat and isinstance(first, list | tuple):
            self._join(first, result)
        if not isinstance(first, Tensor) or not isinstance(result, Tensor) or result.ndim != 2:
            return result
        n, width = result.shape
        if first.ndim == 4 and first.shape[0] == n and first[0].numel() == width:
            self._rows[id(result)] = (result, ((first.shape[1], first.shape[2], first.shape[3]),))
        elif id(first) in self._rows:
            place = self._rows[id(first)][1]
            for given in (*args[1:], *named.values()):
                bias = func is functional.linear and getattr(given, "ndim", 0) == 1
                if id(given) in self._names and given.shape[-1] == first.shape[1] and not bias:
                    self.places[self._names[id(given)]] = place
            if func is not functional.linear and result.shape == first.shape:
                self._rows[id(result)] = (result, place)
        return result

    def _join(self, parts: Sequence[Tensor], whole: Tensor) -> None:
        """Rows of flattened maps, and other features, one after the other."""
        if whole.ndim == 2 and sum(part.shape[1] for part in parts) == whole.shape[1]:
            rows = [self._rows[id(p)][1] if id(p) in self._rows else ((p.shape[1], 1, 1),) for p in parts]
            if any(id(part) in self._rows for part in parts):
                self._rows[id(whole)] = (whole, tuple(place for row in rows for place in row))


def flattened_inputs(body: nn.Module, input_size: Map) -> dict[str, Row]:
    """The (channels, height, width) behind each weight of ``body`` that flattened maps meet, by name. These are dense
    layers' weights (out, c*h*w), and batch norms' tensors (c*h*w,) that come before them. ``body`` is put into
    evaluation mode; one pass over a black picture."""
    names = {id(value): name for name, value in body.state_dict(keep_vars=True).items()}
    body.eval()
    with torch.no_grad(), _Watching(names) as watching:
        body(black(body, 2, input_size))
    return dict(watching.places)


def to_channels_first(weight: Tensor, row: Row) -> Tensor:
    """``weight`` whose last axis counts, map by map, (height, width, channel), with that axis in torch's order."""
    parts = torch.split(weight, [math.prod(place) for place in row], dim=-1)
    turned = [
        part.reshape(*weight.shape[:-1], h, w, c).movedim(-1, -3).flatten(-3)
        for part, (c, h, w) in zip(parts, row, strict=True)
    ]
    return torch.cat(turned, -1)
