"""The tensors of foreign files: safetensors, torch's own (weights only), Keras weights and models in HDF5.

Nothing in a file is run: torch's files are opened with ``weights_only=True``, HDF5 with h5py alone. Of Keras, versions
2 and 3: Keras 2 keeps a group for each layer and says the order in attributes (``layer_names``, ``weight_names``), in a
full model under ``model_weights``; Keras 3 keeps ``layers/<name>/vars/<number>``.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import torch
from torch import Tensor

from badnets.core.errors import BadInput, first_line
from badnets.core.limits import DESCRIPTION, NAME, TENSORS, check_unpacked
from badnets.core.text import brief
from badnets.data.formats.hdf5_file import DAMAGE, open_hdf5
from badnets.data.formats.hdf5_file import check_plain as check_plain_dataset
from badnets.networks.files.header import Shape
from badnets.networks.files.tensors import check_plain, find_state, load_tensors, load_torch

SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".bin", ".tar"})
"""Names of files that are opened as torch's; whoever names one knows that it is pickled."""
EPSILON = 1e-3  # what Keras's batch norm adds to the variance unless told otherwise; torch's adds 1e-5
_ROLES = {
    **dict.fromkeys(("kernel", "depthwise_kernel", "gamma"), "weight"),
    **dict.fromkeys(("bias", "beta"), "bias"),
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_BY_COUNT = {1: ("weight",), 2: ("weight", "bias"), 4: ("weight", "bias", "running_mean", "running_var")}
_VARS = re.compile(r"(?P<layer>.+)/vars/(?P<number>\d+)")


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
    """The tensors of a file, in the order of the network's layers as far as the format keeps it. ``channels_last``:
    dense layers that follow a flattening count its features height, width, channel. ``epsilons``: what batch norms add
    to the variance, by layer, and under ``""`` for all others; empty when the format's is the architecture's own."""

    format: Literal["safetensors", "torch", "keras-hdf5"]
    entries: tuple[Entry, ...]
    ordered: bool
    channels_last: bool = False
    epsilons: dict[str, float] | None = None


def read_safetensors(path: Path) -> ForeignFile:
    """The tensors of any safetensors file. The format sorts them, so their order is that of their names."""
    state = load_tensors(path)
    return _file(path, {name: state[name] for name in sorted(state, key=_natural)}, ordered=False)


def read_torch(path: Path) -> ForeignFile:
    """The state dict of a file that ``torch.save`` wrote: itself, or under ``state_dict``, ``model``, ``net`` and such.
    Raises ``BadInput`` for pickled modules, programs, and whatever else would have to be run to be read."""
    return _file(path, find_state(path, load_torch(path)), ordered=True)


def _file(path: Path, state: dict[str, Tensor], *, ordered: bool) -> ForeignFile:
    check_plain(path, state)
    entries = []
    for name, given in state.items():
        layer, _, role = name.rpartition(".")
        entries.append(Entry(name=name, layer=layer, role=role, shape=tuple(given.shape), read=given.detach))
    return ForeignFile(format="torch" if ordered else "safetensors", entries=tuple(entries), ordered=ordered)


def read_keras(path: Path) -> ForeignFile:
    """The tensors of a Keras file in torch's layout and the order of its layers; nothing is read but their shapes.
    Raises ``BadInput`` for truncated and damaged files and for HDF5 of another layout."""
    with open_hdf5(path) as file:
        root = file.get("model_weights", file)
        layers = _layers(path, file)
        ordered = bool(_names(path, root, "layer_names"))
        places = _keras_2(path, root) if ordered else _keras_3(file)
        content = ", ".join(brief(name, 20) for name in list(file)[:5]) or "nothing in it"
        entries: list[Entry] = []
        total = 0
        for name, layer, role in places:
            entries.append(_entry(path, file[name], layer, role))
            total += file[name].nbytes
            TENSORS.check(len(entries), path)
        check_unpacked(total, path.stat().st_size, path)
    if not entries:
        raise BadInput(
            f"{path}: expected Keras weights in HDF5 (layer_names, or layers/<name>/vars), got another layout "
            f"({content}); pictures are named with --data"
        )
    return ForeignFile(
        format="keras-hdf5",
        entries=tuple(_with_identities(entries)),
        ordered=ordered,
        channels_last=not any(layer.get("data_format") == "channels_first" for layer in layers),
        epsilons={"": EPSILON, **{layer["name"]: layer["epsilon"] for layer in layers if "epsilon" in layer}},
    )


def _names(path: Path, group: Any, attribute: str) -> list[str]:
    """A list of names in an attribute, which Keras cuts into numbered parts when it is long."""
    known, names = group.attrs, []
    parts = [attribute] if attribute in known else []
    while (part := f"{attribute}{len(parts)}") in known:
        parts.append(part)
    TENSORS.check(sum(math.prod(known.get_id(part).shape) for part in parts), path)
    for part in parts:
        names += [name.decode() if isinstance(name, bytes) else str(name) for name in known[part]]
    return names


def _keras_2(path: Path, root: Any) -> Iterator[tuple[str, str, str | None]]:
    """(place in the file, layer, role) of each tensor."""
    for layer in _names(path, root, "layer_names"):
        for name in _names(path, root[layer], "weight_names"):
            above, _, last = name.partition(":")[0].rpartition("/")
            # Of a nested model the inner layer's path counts; some versions write the model's name before it.
            inner = above[above.find(layer) :] if layer in above.split("/") else above
            yield f"{root[layer].name}/{name}", inner or layer, _ROLES.get(last)


def _keras_3(file: Any) -> Iterator[tuple[str, str, str | None]]:
    """As ``_keras_2``; a layer's tensors have numbers there, and their count says what they are."""
    numbers: dict[str, list[int]] = defaultdict(list)

    def note(name: str, item: Any) -> None:
        match = _VARS.fullmatch(name)
        if match and isinstance(item, h5py.Dataset) and item.dtype.kind == "f" and not name.startswith("optimizer"):
            numbers[match["layer"]].append(int(match["number"]))

    file.visititems(note)
    for group in sorted(numbers, key=_natural):
        layer = str(file[group].attrs.get("name", group.rpartition("/")[2]))
        roles = _BY_COUNT.get(len(numbers[group]), (None,) * len(numbers[group]))
        yield from ((f"{group}/vars/{n}", layer, role) for n, role in zip(sorted(numbers[group]), roles, strict=True))


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts ``conv2d_10`` after ``conv2d_2``; numbers are not made of digits, of which there may be too
    many."""
    parts = re.split(r"([0-9]+)", name)
    bare = [part.lstrip("0") if index % 2 else part for index, part in enumerate(parts)]
    return [(len(part) if index % 2 else -1, part) for index, part in enumerate(bare)]


def _entry(path: Path, item: Any, layer: str, role: str | None) -> Entry:
    name = str(item.name).lstrip("/")
    NAME.check(len(name) + len(layer), path)
    if not isinstance(item, h5py.Dataset) or item.dtype.kind != "f":
        got = "something else; it is not a file of Keras weights"
        raise BadInput(f"{path}: expected numbers in {brief(name)!r}, got {got}")
    shape = tuple(_turned(torch.empty(item.shape, device="meta"), name).shape)
    return Entry(name=name, layer=layer.replace("/", "."), role=role, shape=shape, read=partial(_read, path, name))


def _turned(tensor: Tensor, name: str) -> Tensor:
    """Keras's layout to torch's: kernels (h, w, in, out) as (out, in, h, w), dense ones (in, out) as (out, in)."""
    if tensor.ndim < 2:
        return tensor
    if "depthwise" in name and tensor.ndim > 2:
        return tensor.movedim((-2, -1), (0, 1)).flatten(0, 1)[:, None]
    return tensor.movedim((-1, -2), (0, 1))


def _read(path: Path, name: str) -> Tensor:
    """The tensor ``name`` in torch's layout."""
    try:
        with h5py.File(path, "r") as file:  # without walking through all of it for every tensor, as read_keras has done
            check_plain_dataset(file[name], name, path)
            array = np.asarray(file[name][()], np.float32)
    except DAMAGE as error:
        got = f"damaged numbers ({brief(first_line(error), 100)})"
        raise BadInput(f"{path}: expected tensor {brief(name)!r} in full, got {got}") from None
    return _turned(torch.from_numpy(array), name).contiguous()


def _layers(path: Path, file: Any) -> list[dict[str, Any]]:
    """What a full model's ``model_config`` says of each layer: ``{"name", "data_format", "epsilon"}``."""
    layers: list[dict[str, Any]] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            config = value.get("config")
            if isinstance(config, dict) and isinstance(config.get("name"), str):
                kept = {key: config[key] for key in ("name", "data_format") if key in config}
                if "BatchNorm" in str(value.get("class_name")) and isinstance(config.get("epsilon"), float):
                    if not 0 <= config["epsilon"] <= 1:
                        raise ValueError("a batch norm's epsilon is not a number from 0 to 1")
                    kept["epsilon"] = config["epsilon"]
                layers.append(kept)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(inner)

    text = file.attrs.get("model_config", "{}")
    DESCRIPTION.check(len(text), path)
    try:
        walk(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"model_config is no JSON, or too deep: {brief(first_line(error), 60)}") from None
    return layers


def _with_identities(entries: list[Entry]) -> Iterator[Entry]:
    """Batch norms that Keras saved without scale or shift get ones and zeros, which is what they compute."""
    known = {entry.key for entry in entries}
    for entry in entries:
        for role, make in (("weight", torch.ones), ("bias", torch.zeros)):
            if entry.role == "running_mean" and f"{entry.layer}.{role}" not in known:
                name, read = f"{entry.layer} ({role})", partial(make, entry.shape)
                yield Entry(name=name, layer=entry.layer, role=role, shape=entry.shape, read=read)
        yield entry
