"""Which tensor of a foreign file is which of a network's: by name, else by shape and order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.networks.files.entries import Entry, ForeignFile
from badnets.networks.files.flattened import flattened_inputs, to_channels_first

Shape = tuple[int, ...]
Kind = frozenset[tuple[str | None, Shape]]
T = TypeVar("T")
_PREFIXES = ("module.", "model.", "body.", "_orig_mod.", "net.", "network.")
_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")  # torchvision's heads that only help training
_COUNTER = "num_batches_tracked"  # counts training steps; older files lack it, and nothing depends on it


@dataclass(frozen=True, kw_only=True)
class Matched:
    """The file's tensor for each of the network's names; ``swappable`` counts those that another one would fit too."""

    entries: dict[str, Entry]
    by_name: bool
    swappable: int = 0


def match(path: Path, file: ForeignFile, needed: Mapping[str, Shape], what: str) -> Matched:
    """Names first, without prefixes such as ``module.``; else shapes, of layers or tensors, in the order of the file.

    ``needed`` are the shapes of a state dict, ``what`` says whose. Each tensor of the file is used once, and none is
    left over: otherwise ``BadInput`` names the first that does not fit.
    """
    wanted = {name: shape for name, shape in needed.items() if not name.endswith(_COUNTER)}
    given = [entry for entry in file.entries if entry.role != _COUNTER]
    for names in _strippings([entry.key for entry in given]):
        named = {name: e for name, e in zip(names, given, strict=True) if not name.startswith(_AUXILIARY)}
        if set(wanted) <= set(named):
            return _by_name(path, named, wanted, what)
    return _by_shape(path, given, wanted, what)


def _strippings(names: list[str]) -> Iterator[list[str]]:
    """``names`` as they are, then without a prefix that all of them have, and so on."""
    yield names
    while prefix := next((p for p in _PREFIXES if names and all(name.startswith(p) for name in names)), None):
        names = [name.removeprefix(prefix) for name in names]
        yield names


def _by_name(path: Path, named: dict[str, Entry], wanted: Mapping[str, Shape], what: str) -> Matched:
    for name, shape in wanted.items():
        if named[name].shape != shape:
            raise BadInput(
                f"{path}: expected tensor {name!r} of {list(shape)} for {what}, got {list(named[name].shape)}; "
                "the weights are of another network (--arch), size (--input-size) or number of classes (--classes)"
            )
    extra = next((name for name in named if name not in wanted), None)
    if extra is not None:
        raise BadInput(f"{path}: expected no tensor {extra!r} for {what}, got one of {list(named[extra].shape)}")
    return Matched(entries={name: named[name] for name in wanted}, by_name=True)


def _by_shape(path: Path, given: list[Entry], wanted: Mapping[str, Shape], what: str) -> Matched:
    """Whole layers: each gets the first unused one whose tensors have the same roles and shapes."""
    theirs = _layers((entry.layer, entry.role, entry.shape, entry) for entry in given)
    ours = _layers((*name.rpartition(".")[::2], shape, name) for name, shape in wanted.items())
    if {kind: len(layers) for kind, layers in theirs.items()} != {kind: len(layers) for kind, layers in ours.items()}:
        return _by_tensor(path, given, wanted, what)
    chosen: dict[str, Entry] = {}
    for kind, layers in ours.items():
        for own, other in zip(layers, theirs[kind], strict=True):
            chosen.update({name: other[role] for role, name in own.items()})
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
    roles = {name.rpartition(".")[2] for name in wanted}
    left: dict[tuple[str | None, Shape], list[Entry]] = defaultdict(list)
    for entry in given:
        left[entry.role if entry.role in roles else None, entry.shape].append(entry)
    chosen: dict[str, Entry] = {}
    for name, shape in wanted.items():
        fitting = left.get((name.rpartition(".")[2], shape)) or left.get((None, shape))
        if not fitting:
            raise BadInput(
                f"{path}: expected a tensor of {list(shape)} for {name!r} of {what}, got none; "
                "the weights are of another network (--arch), size (--input-size) or number of classes (--classes)"
            )
        chosen[name] = fitting.pop(0)
    unused = next((entry for entries in left.values() for entry in entries), None)
    if unused is not None:
        raise BadInput(f"{path}: expected no tensor {unused.name!r} of {list(unused.shape)} for {what}, got one")
    counts = Counter((name.rpartition(".")[2], shape) for name, shape in wanted.items())
    return Matched(entries=chosen, by_name=False, swappable=sum(n for n in counts.values() if n > 1))


def load(path: Path, file: ForeignFile, matched: Matched, body: nn.Module, input_size: tuple[int, int, int]) -> None:
    """Put the matched tensors into ``body``, in its dtypes and torch's order of features.

    Batch norms of a format that adds another number to the variance get the difference in their running variance, so
    that evaluation gives the same; trained further, they use torch's. Raises ``BadInput`` for NaN and infinity.
    """
    own = body.state_dict()
    places = flattened_inputs(body, input_size) if file.channels_last else {}
    state: dict[str, Tensor] = {}
    for name, entry in matched.entries.items():
        tensor = entry.read()
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            kind = "NaN" if bool(tensor.isnan().any()) else "infinity"
            raise BadInput(
                f"{path}: expected finite numbers in tensor {entry.name!r}, got {kind}; the file is damaged or its "
                "training failed"
            )
        tensor = tensor.to(own[name].dtype)
        if name in places:
            tensor = to_channels_first(tensor, places[name])
        layer, _, role = name.rpartition(".")
        epsilon = getattr(body.get_submodule(layer), "eps", None)
        if role == "running_var" and file.epsilons and epsilon is not None:
            tensor = tensor + (file.epsilons.get(entry.layer, file.epsilons[""]) - epsilon)
        state[name] = tensor
    body.load_state_dict({**own, **state})
