"""Networks that a file of plain weights may be of: layers in a row, read off the shapes alone.

Weights say how many channels and features each layer has, but not what lies between: poolings, padding, functions.
Those in use are proposed, as far as the features of the first dense layer allow; pictures tell which of them it is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from badnets.networks.architecture import InputSize
from badnets.networks.architectures.graph import (
    Activation,
    Conv,
    Dense,
    Flatten,
    Function,
    GlobalPool,
    Layer,
    Norm,
    Pool,
)
from badnets.networks.files.formats.entries import Entry
from badnets.networks.registry import COUNTER

MOST = 60
"""Networks that are proposed for one file."""
_TENSORS = 80  # in a file whose network may be a row of layers
_FEW = 4  # convolutions; with more they are padded alike
_DEEP = 8  # convolutions; with more there are too many ways to pool between them
Fold = Literal["", "max", "mean"]


@dataclass(frozen=True)
class Weighted:
    """A layer with weights: a convolution, a dense layer or a batch norm, and its tensors by role."""

    kind: Literal["conv", "dense", "norm"]
    entries: dict[str, Entry]

    @property
    def out(self) -> int:
        """Channels or features that it gives."""
        return self.entries["weight"].shape[0]

    @property
    def bias(self) -> bool:
        """Whether it has one."""
        return "bias" in self.entries


def weighted_layers(entries: Sequence[Entry]) -> list[Weighted] | None:
    """The layers in the order of ``entries``; None where some tensor belongs to none of these kinds."""
    by_name: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        if entry.role != COUNTER:
            by_name.setdefault(entry.layer, {})[str(entry.role)] = entry
    layers = []
    for tensors in by_name.values():
        if "weight" not in tensors or not set(tensors) <= {"weight", "bias", "running_mean", "running_var"}:
            return None
        shape = tensors["weight"].shape
        axes = len(shape)
        if 0 in shape:
            return None
        kind: Literal["conv", "dense", "norm"]
        if "running_mean" in tensors and axes == 1 and len(tensors) == 4:
            kind = "norm"
        elif axes in (2, 4) and "running_mean" not in tensors:
            kind = "dense" if axes == 2 else "conv"
        else:
            return None
        layers.append(Weighted(kind, tensors))
    return layers


def segments(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The networks in a file that holds several, one after another: each begins where, behind a dense layer, a
    convolution takes pictures (1 or 3 channels) again."""
    layers = weighted_layers(entries)
    if layers is None:
        return []
    parts: list[list[Weighted]] = [[]]
    for layer in layers:
        starts = layer.kind == "conv" and layer.entries["weight"].shape[1] in (1, 3)
        if starts and any(before.kind == "dense" for before in parts[-1]):
            parts.append([])
        parts[-1].append(layer)
    if len(parts) < 2:
        return []
    return [[entry for layer in part for entry in layer.entries.values()] for part in parts]


def chains(entries: Sequence[Entry], size: InputSize) -> list[tuple[Layer, ...]]:
    """Networks of layers in a row that these tensors fit, for pictures of this size, the simplest first; at most
    ``MOST``."""
    if len(entries) > _TENSORS:
        return []
    layers = weighted_layers(entries)
    if not layers or layers[-1].kind != "dense" or not _is_row(layers, size):
        return []
    convs = sum(layer.kind == "conv" for layer in layers)
    if convs > _DEEP:
        return []
    found = []
    for shape in _geometries(layers, size):
        for fold, function, behind, last in _variants(convs, len(layers)):
            found.append(tuple(_laid_out(layers, shape, fold, function, behind, last)))
            if len(found) == MOST:
                return found
    return found


def _is_row(layers: Sequence[Weighted], size: InputSize) -> bool:
    """Whether each layer takes what the one before it gives, as far as shapes say; convolutions come first."""
    channels, dense = size[0], False
    for layer in layers:
        if layer.kind == "conv":
            shape = layer.entries["weight"].shape
            if dense or shape[1] != channels or shape[2] > size[1] or shape[3] > size[2]:
                return False
            channels = layer.out
        elif layer.kind == "norm":
            if layer.out != channels:
                return False
        else:
            if dense and layer.entries["weight"].shape[1] != channels:
                return False
            channels, dense = layer.out, True
    return dense


@dataclass(frozen=True)
class _Geometry:
    """Of each convolution its padding, and by how much the maps behind it are pooled (1: not); ``whole``: each map is
    pooled to one number at the end."""

    padding: tuple[int, ...]
    pools: tuple[int, ...]
    whole: bool = False


def _geometries(layers: Sequence[Weighted], size: InputSize) -> list[_Geometry]:
    """Those that give as many features as the first dense layer takes: equal padding and equal pools first."""
    convs = [layer.entries["weight"].shape[2:] for layer in layers if layer.kind == "conv"]
    features = next(layer.entries["weight"].shape[1] for layer in layers if layer.kind == "dense")
    channels = next((layer.out for layer in reversed(layers) if layer.kind == "conv"), size[0])
    if not convs:
        return [_Geometry((), ())] if features == math.prod(size) else []
    found = []
    many = len(convs) > _FEW
    same = tuple(kernel[0] // 2 for kernel in convs)
    paddings = [(0,) * len(convs), same] if many else itertools.product(*((0, side) if side else (0,) for side in same))
    for padding in paddings:
        for pools in itertools.product((2, 1) if many else (2, 1, 3), repeat=len(convs)):
            sides = _after(convs, padding, pools, size)
            if sides is not None and channels * sides[0] * sides[1] == features:
                found.append(_Geometry(padding, pools))
    if features == channels:
        every = itertools.product((2, 1), repeat=len(convs))
        found += [_Geometry(same, pools, whole=True) for pools in every if _after(convs, same, pools, size) is not None]
    return sorted(found, key=lambda g: (len(set(map(bool, g.padding))) + len(set(g.pools)), 3 in g.pools))


def _after(
    convs: Sequence[Sequence[int]], padding: Sequence[int], pools: Sequence[int], size: InputSize
) -> tuple[int, int] | None:
    """Height and width behind all convolutions; None where nothing is left."""
    height, width = size[1:]
    for (high, wide), pad, pool in zip(convs, padding, pools, strict=True):
        height, width = (height + 2 * pad - high + 1) // pool, (width + 2 * pad - wide + 1) // pool
        if min(height, width) < 1:
            return None
    return height, width


def _variants(convs: int, layers: int) -> Iterator[tuple[Fold, Function, bool, Function | None]]:
    """How maps are pooled, the function, whether it comes behind the pooling, and that of hidden dense layers."""
    folds: tuple[Fold, ...] = ("max", "mean") if convs else ("",)
    functions: tuple[Function, ...] = ("relu", "tanh", "sigmoid", "leaky-relu", "elu")
    for function in functions:
        for fold in folds:
            yield fold, function, False, function
        if function in ("tanh", "sigmoid") and convs:  # with the others the order makes no difference, or hardly any
            yield "mean", function, True, function
    if layers > 1:
        for fold in folds:
            yield fold, "relu", False, None


def _laid_out(
    layers: Sequence[Weighted], shape: _Geometry, fold: Fold, function: Function, behind: bool, hidden: Function | None
) -> Iterator[Layer]:
    """All layers in a row; ``input`` is never named, so each takes the answer of the one before it."""
    convs = 0
    flat = False
    for index, layer in enumerate(layers):
        number, last = index + 1, index == len(layers) - 1
        norm_follows = not last and layers[index + 1].kind == "norm"
        if layer.kind == "conv":
            kernel = layer.entries["weight"].shape[2:]
            pad = shape.padding[convs]
            padding = (pad if kernel[0] > 1 else 0, pad if kernel[1] > 1 else 0)
            yield Conv(
                name=f"conv{number}", filters=layer.out, kernel=(kernel[0], kernel[1]), padding=padding, bias=layer.bias
            )
            convs += 1
        elif layer.kind == "norm":
            yield Norm(name=f"norm{number}")
        else:
            if not flat:
                yield GlobalPool(name="pool", how="mean") if shape.whole else Flatten(name="flatten")
                flat = True
            yield Dense(name=f"fc{number}", features=layer.out, bias=layer.bias)
        if last or norm_follows:
            continue
        side = shape.pools[convs - 1] if not flat and convs else 1
        pool = [Pool(name=f"pool{number}", how=fold or "max", kernel=(side, side), stride=(side, side))]
        pool = pool if side > 1 else []
        used = hidden if flat else function
        acts = [] if used is None else [Activation(name=f"act{number}", function=used)]
        yield from [*pool, *acts] if behind else [*acts, *pool]
