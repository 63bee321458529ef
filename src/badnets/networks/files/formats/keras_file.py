"""Keras's files: weights and whole models in HDF5, and ``.keras`` archives. Nothing in them is run.

Keras 2 keeps a group for each layer and says the order in attributes (``layer_names``, ``weight_names``), in a full
model under ``model_weights``; Keras 3 keeps ``layers/<name>/vars/<number>``. A full model says in ``model_config`` (a
``.keras`` archive in ``config.json``) what its layers are; it is then read as that network.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from badnets.core.errors import BadInput, first_line
from badnets.core.limits import DESCRIPTION, MEMBER, NAME, TENSORS, check_unpacked
from badnets.core.text import brief
from badnets.data.formats.hdf5_file import DAMAGE, open_hdf5
from badnets.data.formats.hdf5_file import check_plain as check_plain_dataset
from badnets.networks.files.formats.entries import Entry, ForeignFile, natural
from badnets.networks.files.formats.keras_model import KerasModel, Weights, read_model

EPSILON = 1e-3  # what Keras's batch norm adds to the variance unless told otherwise; torch's adds 1e-5
_ROLES = {
    **dict.fromkeys(("kernel", "depthwise_kernel", "pointwise_kernel", "gamma"), "weight"),
    **dict.fromkeys(("bias", "beta"), "bias"),
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_NORM = ("weight", "bias", "running_mean", "running_var")
_BY_COUNT = {1: ("weight",), 2: ("weight", "bias"), 3: _NORM[1:], 4: _NORM}
_VARS = re.compile(r"(?P<layer>.+)/vars/(?P<number>\d+)")
_WITHOUT_NAME = ("layers", "_layer_checkpoint_dependencies")
WEIGHTS = "model.weights.h5"


@dataclass(frozen=True)
class _Place:
    """Where a tensor is in the file, which layer it is of, and its role there, None where the file does not say;
    ``number`` of ``count`` is its place among those of its layer. ``path`` is how the file's description calls the
    layer: the names of Keras 2 with that of the outermost model or layer first, the kinds and numbers of Keras 3."""

    name: str
    layer: str
    role: str | None
    path: str
    depthwise: bool = False
    number: int = 0
    count: int = 0


def read_keras(path: Path) -> ForeignFile:
    """The tensors of a Keras file in torch's layout and the order of its layers; nothing is read but their shapes.
    Raises ``BadInput`` for truncated and damaged files and for HDF5 of another layout."""
    return _read(path, None, None)


def read_keras_archive(path: Path) -> ForeignFile:
    """The same of a ``.keras`` archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            description = _member(path, archive, "config.json", DESCRIPTION.now)
            content = _member(path, archive, WEIGHTS, MEMBER.now)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, ValueError, KeyError) as error:
        reason = brief(first_line(error), 100)
        raise BadInput(f"{path}: expected a whole .keras archive, got a damaged one ({reason})") from None
    return _read(path, content, description.decode(errors="replace"))


def _member(path: Path, archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """One file of the archive, of at most so many bytes."""
    info = archive.getinfo(name)
    check_unpacked(info.file_size, info.compress_size, path)
    with archive.open(info) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise BadInput(f"{path}: expected at most {most:,} bytes as its {name}, got more; do not trust this file")
    return content


def _read(path: Path, content: bytes | None, description: str | None) -> ForeignFile:
    with open_hdf5(path, content) as file:
        root = file.get("model_weights", file)
        said = description if description is not None else file.attrs.get("model_config", "{}")
        config = _description(path, said)
        ordered = bool(_names(path, root, "layer_names"))
        places = list(_keras_2(path, root) if ordered else _keras_3(file))
        content_words = ", ".join(brief(name, 20) for name in list(file)[:5]) or "nothing in it"
        model, problem, places = _in_model(config, places)
        entries: list[Entry] = []
        total = 0
        for place in places:
            entries.append(_entry(path, content, file[place.name], place))
            total += file[place.name].nbytes
            TENSORS.check(len(entries), path)
        check_unpacked(total, path.stat().st_size, path)
    if not entries:
        raise BadInput(
            f"{path}: expected Keras weights in HDF5 (layer_names, or layers/<name>/vars), got another layout "
            f"({content_words}); pictures are named with --data"
        )
    layers = list(_settings(config))
    epsilons = {"": EPSILON, **{layer["name"]: layer["epsilon"] for layer in layers if "epsilon" in layer}}
    return ForeignFile(
        format="keras-hdf5" if content is None else "keras-archive",
        entries=tuple(_with_identities(entries)),
        ordered=ordered,
        channels_last=not any(layer.get("data_format") == "channels_first" for layer in layers),
        epsilons=None if model is not None else epsilons,
        model=model,
        problem=problem,
    )


def _description(path: Path, text: str | bytes) -> dict[str, Any]:
    """What a full model says of itself; empty, if it is none."""
    DESCRIPTION.check(len(text), path)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"model_config is no JSON, or too deep: {brief(first_line(error), 60)}") from None
    return value if isinstance(value, dict) else {}


def _in_model(config: dict[str, Any], places: list[_Place]) -> tuple[KerasModel | None, str, list[_Place]]:
    """The described network, if it is one that can be read, and ``places`` under its names; else why not."""
    if "class_name" not in config:
        return None, "", places
    try:
        model = read_model(config)
        known = _Weights(model)
        named = [_renamed(place, known.of(place)) for place in places]
    except BadInput as error:
        return None, str(error), places
    twice = next((at for at, count in Counter((p.layer, p.role) for p in named).items() if count > 1), None)
    if twice is not None:
        problem = f"expected weights of each described layer once, got those of {brief(twice[0], 60)!r} twice"
        return None, problem, places
    return model, "", named


class _Weights:
    """What the weights at a place in the file are."""

    def __init__(self, model: KerasModel) -> None:
        self.model = model
        self.inside: dict[tuple[str, str], list[list[str]]] = defaultdict(list)  # by outermost model and own name
        for path in model.named:
            parts = path.split("/")
            self.inside[parts[0], parts[-1]].append(parts)

    def of(self, place: _Place) -> Weights:
        """Raises BadInput where the description has no such layer, or several."""
        if place.count:
            found = self.model.numbered.get(place.path)
        else:
            top, *below = place.path.split("/")
            found = self.model.named.get(top) or self._nested(top, below)
        if found is None or not found.layer:
            raise BadInput(f"expected weights of the described layers, got {brief(place.path, 60)!r}")
        return found

    def _nested(self, top: str, below: list[str]) -> Weights | None:
        """Of a layer in a model: versions write all, some or none of the names of the models around it."""
        alike = self.inside[top, below[-1]] if below else []
        for count in range(len(below), 0, -1):
            ending = [parts for parts in alike if parts[-count:] == below[-count:]]
            if len(ending) == 1:
                return self.model.named["/".join(ending[0])]
            if ending:
                return None
        return None


def _renamed(place: _Place, weights: Weights) -> _Place:
    """``place`` under the name that its layer has in the read model."""
    role, alone = place.role, weights.depthwise == weights.layer
    first = place.number == 0 if place.count else place.depthwise or (alone and role == "weight")
    deep = bool(weights.depthwise) and first
    if place.count:  # Keras 3: by number
        roles: tuple[str, ...] = ("weight", "bias")
        if weights.depthwise and not alone:
            roles = ("weight", *roles)
        elif weights.norm:
            roles = tuple(
                r for r, there in zip(_NORM, (weights.scale, weights.center, True, True), strict=True) if there
            )
        role = roles[place.number] if place.number < len(roles) else None
    return replace(place, layer=weights.depthwise if deep else weights.layer, role=role, depthwise=deep)


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


def _keras_2(path: Path, root: Any) -> Iterator[_Place]:
    layers = _names(path, root, "layer_names")
    if len(set(layers)) < len(layers):
        raise BadInput(f"{path}: expected every layer once in layer_names, got one twice; the file is damaged")
    for layer in layers:
        for name in _names(path, root[layer], "weight_names"):
            above, _, last = name.partition(":")[0].rpartition("/")
            # Of a nested model the inner layer's path counts; some versions write the model's name before it.
            parts = above.split("/") if above else [layer]
            inner = "/".join(parts[parts.index(layer) :]) if layer in parts else above
            deep = last == "depthwise_kernel" or (last == "kernel" and parts[-1].startswith("depthwise_conv2d"))
            place = f"{root[layer].name}/{name}"
            yield _Place(place, inner or layer, _ROLES.get(last), f"{layer}/{above or layer}", depthwise=deep)


def _keras_3(file: Any) -> Iterator[_Place]:
    """A layer's tensors have numbers there, and their count says what they are."""
    numbers: dict[str, list[int]] = defaultdict(list)

    def note(name: str, item: Any) -> None:
        match = _VARS.fullmatch(name)
        if match and isinstance(item, h5py.Dataset) and item.dtype.kind == "f" and not name.startswith("optimizer"):
            numbers[match["layer"]].append(int(match["number"]))

    file.visititems(note)
    for group in sorted(numbers, key=natural):
        inside = "/".join(part for part in group.split("/") if part not in _WITHOUT_NAME)
        own = file[f"{group}/vars"].attrs.get("name")  # Keras from 3.9 on or so
        layer = f"{inside.rpartition('/')[0]}/{own}".lstrip("/") if isinstance(own, str) else inside
        roles = _BY_COUNT.get(len(numbers[group]), (None,) * len(numbers[group]))
        if len(numbers[group]) == 2 and all(len(file[f"{group}/vars/{n}"].shape) == 1 for n in numbers[group]):
            roles = _NORM[2:]  # a batch norm without scale and shift
        for index, (number, role) in enumerate(zip(sorted(numbers[group]), roles, strict=True)):
            deep = "depthwise" in group and role == "weight"
            yield _Place(f"{group}/vars/{number}", layer, role, inside, deep, index, len(numbers[group]))


def _entry(path: Path, content: bytes | None, item: Any, place: _Place) -> Entry:
    name = str(item.name).lstrip("/")
    NAME.check(len(name) + len(place.layer), path)
    if not isinstance(item, h5py.Dataset) or item.dtype.kind != "f":
        got = "something else; it is not a file of Keras weights"
        raise BadInput(f"{path}: expected numbers in {brief(name)!r}, got {got}")
    shape = tuple(_turned(torch.empty(item.shape, device="meta"), place.depthwise).shape)
    read = partial(_numbers, path, content, name, depthwise=place.depthwise)
    return Entry(name=name, layer=place.layer.replace("/", "."), role=place.role, shape=shape, read=read)


def _turned(tensor: Tensor, depthwise: bool) -> Tensor:
    """Keras's layout to torch's: kernels (h, w, in, out) as (out, in, h, w), dense ones (in, out) as (out, in)."""
    if tensor.ndim < 2:
        return tensor
    if depthwise and tensor.ndim > 2:
        return tensor.movedim((-2, -1), (0, 1)).flatten(0, 1)[:, None]
    return tensor.movedim((-1, -2), (0, 1))


def _numbers(path: Path, content: bytes | None, name: str, *, depthwise: bool) -> Tensor:
    """The tensor ``name`` in torch's layout."""
    try:
        # Without walking through all of it for every tensor, as _read has done.
        with h5py.File(path if content is None else io.BytesIO(content), "r") as file:
            check_plain_dataset(file[name], name, path)
            array = np.asarray(file[name][()], np.float32)
    except DAMAGE as error:
        got = f"damaged numbers ({brief(first_line(error), 100)})"
        raise BadInput(f"{path}: expected tensor {brief(name)!r} in full, got {got}") from None
    return _turned(torch.from_numpy(array), depthwise).contiguous()


def _settings(config: Any) -> Iterator[dict[str, Any]]:
    """What a description says of each layer, wherever it is: ``{"name", "data_format", "epsilon"}``."""
    if isinstance(config, dict):
        own = config.get("config")
        if isinstance(own, dict) and isinstance(own.get("name"), str):
            kept = {key: own[key] for key in ("name", "data_format") if key in own}
            if "BatchNorm" in str(config.get("class_name")) and isinstance(own.get("epsilon"), float):
                if not 0 <= own["epsilon"] <= 1:
                    raise BadInput(
                        f"expected a batch norm's epsilon from 0 to 1, got {own['epsilon']:g}; it is damaged"
                    )
                kept["epsilon"] = own["epsilon"]
            yield kept
    for inner in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from _settings(inner)


def _with_identities(entries: list[Entry]) -> Iterator[Entry]:
    """Batch norms that Keras saved without scale or shift get ones and zeros, which is what they compute."""
    known = {entry.key for entry in entries}
    for entry in entries:
        for role, make in (("weight", torch.ones), ("bias", torch.zeros)):
            if entry.role == "running_mean" and f"{entry.layer}.{role}" not in known:
                name, read = f"{entry.layer} ({role})", partial(make, entry.shape)
                yield Entry(name=name, layer=entry.layer, role=role, shape=entry.shape, read=read)
        yield entry
