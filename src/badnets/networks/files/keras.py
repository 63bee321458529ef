"""Keras weights in HDF5, read with h5py alone: files of weights and full models, Keras 2 and 3.

Layouts: Keras 2 keeps a group for each layer and says the order in attributes (``layer_names``, ``weight_names``),
in a full model under ``model_weights``; Keras 3 keeps ``layers/<name>/vars/<number>``.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from badnets.core.errors import BadInput, first_line
from badnets.networks.files.entries import Entry, ForeignFile

EPSILON = 1e-3  # what Keras's batch norm adds to the variance unless told otherwise; torch's adds 1e-5
_ROLES = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "gamma": "weight",
    "bias": "bias",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_BY_COUNT = {1: ("weight",), 2: ("weight", "bias"), 4: ("weight", "bias", "running_mean", "running_var")}
_DENSEST = 1100  # deflate shrinks by 1032 at most
_DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError)
_VARS = re.compile(r"(?P<layer>.+)/vars/(?P<number>\d+)")


def read_keras(path: Path) -> ForeignFile:
    """The tensors of a Keras file in torch's layout and the order of its layers; nothing is read but their shapes.

    Raises ``BadInput`` for truncated and damaged files and for HDF5 of another layout.
    """
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            layers = _layers(file)
            ordered = bool(_names(root, "layer_names"))
            raw = _keras_2(root) if ordered else _keras_3(file)
            content = ", ".join(sorted(file)[:5])
            entries = tuple(_entry(path, file[name], layer, role) for name, layer, role in raw)
    except _DAMAGE as error:
        raise BadInput(
            f"{path}: expected a whole HDF5 file, got a truncated or damaged one ({first_line(error)})"
        ) from None
    if not entries:
        raise BadInput(
            f"{path}: expected Keras weights in HDF5 (layer_names, or layers/<name>/vars), got another layout "
            f"({content or 'nothing in it'}); pictures are named with --data"
        )
    return ForeignFile(
        format="keras-hdf5",
        entries=_with_identities(entries),
        ordered=ordered,
        channels_last=not any(layer.get("data_format") == "channels_first" for layer in layers),
        epsilons={"": EPSILON, **{layer["name"]: layer["epsilon"] for layer in layers if "epsilon" in layer}},
    )


def _names(group: Any, attribute: str) -> list[str]:
    """A list of names in an attribute, which Keras cuts into numbered parts when it is long."""
    parts = [group.attrs[attribute]] if attribute in group.attrs else []
    while f"{attribute}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{attribute}{len(parts)}"])
    return [name.decode() if isinstance(name, bytes) else str(name) for part in parts for name in part]


def _keras_2(root: Any) -> list[tuple[str, str, str | None]]:
    """(place in the file, layer, role) of each tensor."""
    found = []
    for layer in _names(root, "layer_names"):
        for name in _names(root[layer], "weight_names"):
            above, _, last = name.partition(":")[0].rpartition("/")
            # Of a nested model the inner layer's path counts; some versions write the model's name before it.
            inner = above[above.find(layer) :] if layer in above.split("/") else above
            found.append((f"{root[layer].name}/{name}", inner or layer, _ROLES.get(last)))
    return found


def _keras_3(file: Any) -> list[tuple[str, str, str | None]]:
    """As ``_keras_2``; a layer's tensors have numbers there, and their count says what they are."""
    numbers: dict[str, list[int]] = defaultdict(list)

    def note(name: str, item: Any) -> None:
        match = _VARS.fullmatch(name)
        if match and isinstance(item, h5py.Dataset) and item.dtype.kind == "f" and not name.startswith("optimizer"):
            numbers[match["layer"]].append(int(match["number"]))

    file.visititems(note)
    found: list[tuple[str, str, str | None]] = []
    for group in sorted(numbers, key=natural):
        layer = str(file[group].attrs.get("name", group.rpartition("/")[2]))
        roles = _BY_COUNT.get(len(numbers[group]), (None,) * len(numbers[group]))
        found += [(f"{group}/vars/{n}", layer, role) for n, role in zip(sorted(numbers[group]), roles, strict=True)]
    return found


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts ``conv2d_10`` after ``conv2d_2``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _entry(path: Path, item: Any, layer: str, role: str | None) -> Entry:
    name = str(item.name).lstrip("/")
    if not isinstance(item, h5py.Dataset) or item.dtype.kind != "f" or item.external:
        raise BadInput(f"{path}: expected numbers in {name!r}, got something else; it is not a file of Keras weights")
    if item.nbytes > _DENSEST * item.id.get_storage_size():
        raise BadInput(f"{path}: expected tensor {name!r} in full, got one that was never written; save it again")
    depthwise = "depthwise" in name
    return Entry(
        name=name,
        layer=layer.replace("/", "."),
        role=role,
        shape=_turned_shape(item.shape, depthwise=depthwise),
        read=partial(_read, path, name, depthwise=depthwise),
    )


def _turned_shape(shape: tuple[int, ...], *, depthwise: bool) -> tuple[int, ...]:
    if len(shape) < 2:
        return shape
    *kernel, channels, out = shape
    return (channels * out, 1, *kernel) if depthwise and kernel else (out, channels, *kernel)


def _read(path: Path, name: str, *, depthwise: bool) -> Tensor:
    """A tensor in torch's layout: kernels (h, w, in, out) as (out, in, h, w), dense ones (in, out) as (out, in)."""
    try:
        with h5py.File(path, "r") as file:
            array = np.asarray(file[name][()], np.float32)
    except _DAMAGE as error:
        raise BadInput(f"{path}: expected tensor {name!r} in full, got damaged numbers ({first_line(error)})") from None
    if array.ndim >= 2:
        axes = range(array.ndim - 2)
        order = (array.ndim - 2, array.ndim - 1) if depthwise and axes else (array.ndim - 1, array.ndim - 2)
        turned = array.transpose(*order, *axes)
        array = turned.reshape(math.prod(turned.shape[:2]), 1, *turned.shape[2:]) if depthwise and axes else turned
    return torch.from_numpy(np.ascontiguousarray(array))


def _layers(file: Any) -> list[dict[str, Any]]:
    """What a full model's ``model_config`` says of each layer: ``{"name", "data_format", "epsilon"}``."""
    text = file.attrs.get("model_config", "{}")
    found: list[dict[str, Any]] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            own = value.get("config")
            if isinstance(own, dict) and isinstance(own.get("name"), str):
                kept = {key: own[key] for key in ("name", "data_format") if key in own}
                if "BatchNorm" in str(value.get("class_name")) and isinstance(own.get("epsilon"), float):
                    kept["epsilon"] = own["epsilon"]
                found.append(kept)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(inner)

    try:
        walk(json.loads(text))
    except RecursionError:
        raise ValueError("model_config is nested too deeply") from None
    return found


def _with_identities(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Batch norms that Keras saved without scale or shift get ones and zeros, which is what they compute."""
    known = {entry.key for entry in entries}
    result: list[Entry] = []
    for entry in entries:
        if entry.role == "running_mean":
            for role, make in (("weight", torch.ones), ("bias", torch.zeros)):
                if f"{entry.layer}.{role}" not in known:
                    name = f"{entry.layer} ({role})"
                    read = partial(make, entry.shape)
                    result.append(Entry(name=name, layer=entry.layer, role=role, shape=entry.shape, read=read))
        result.append(entry)
    return tuple(result)
