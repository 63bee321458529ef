"""The tensors of foreign files: safetensors, torch's own (weights only), Keras weights and models in HDF5.

Nothing in a file is run: torch's files are opened with ``weights_only=True``, HDF5 with h5py alone. Of Keras, versions
2 and 3: Keras 2 keeps a group for each layer and says the order in attributes (``layer_names``, ``weight_names``), in a
full model under ``model_weights``; Keras 3 keeps ``layers/<name>/vars/<number>``.
"""

from __future__ import annotations

import json
import re
import struct
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import torch
from torch import Tensor

from badnets.core.errors import BadInput, first_line
from badnets.networks.files.header import Shape
from badnets.networks.files.own import load_tensors

SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".bin", ".tar"})
"""Names of files that are opened as torch's; whoever names one knows that it is pickled."""
EPSILON = 1e-3  # what Keras's batch norm adds to the variance unless told otherwise; torch's adds 1e-5
_UNDER = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
_ADVICE = "save its state_dict() where you trust it"
_ROLES = {
    **dict.fromkeys(("kernel", "depthwise_kernel", "gamma"), "weight"),
    **dict.fromkeys(("bias", "beta"), "bias"),
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_BY_COUNT = {1: ("weight",), 2: ("weight", "bias"), 4: ("weight", "bias", "running_mean", "running_var")}
_DENSEST = 1100  # deflate shrinks by 1032 at most
_DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError)
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
    _check_archive(path)
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    # A hostile pickle can make the restricted unpickler raise anything; nothing in it was called.
    except Exception as error:  # noqa: BLE001
        reason = _reason(error)
        raise BadInput(f"{path}: expected plain weights, got something else ({reason}); {_ADVICE}") from None
    return _file(path, _state(path, value), ordered=True)


def _reason(error: Exception) -> str:
    """What was wrong, without torch's advice to open the file unsafely."""
    text = " ".join(str(error).split())
    if "weights_only" in text or "Unpickl" in type(error).__name__:
        named = text.partition("GLOBAL ")[2].split(" ")[0] or text.partition("Unsupported global: ")[2].split(" ")[0]
        needs = f" needs {named}" if named else " holds more than tensors"
        return f"it{needs}, and nothing in it was run"
    return text[:200] or type(error).__name__


def _check_archive(path: Path) -> None:
    """Refuse archives that are no torch file, hold a program, or would unpack to more than they are."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":  # torch's older format
            return
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, struct.error, ValueError, EOFError, OSError, NotImplementedError) as error:
        reason = next(iter(str(error).splitlines()), "damaged")
        raise BadInput(f"{path}: expected plain weights, got a truncated or damaged archive ({reason})") from None
    names = [info.filename for info in infos]
    if any(name.endswith(".weights.h5") for name in names):
        advice = "save them with save_weights('NAME.weights.h5')"
        raise BadInput(f"{path}: expected weights, got a .keras archive; {advice}")
    if any("/code/" in name or name.endswith("constants.pkl") for name in names):
        raise BadInput(f"{path}: expected plain weights, got a TorchScript program; {_ADVICE}")
    if not any(name.endswith("data.pkl") for name in names):
        raise BadInput(f"{path}: expected a file that torch.save wrote, got another archive; {_ADVICE}")
    if sum(info.file_size for info in infos) > path.stat().st_size:
        raise BadInput(f"{path}: expected tensors as torch.save stores them, got packed ones; save the file again")


def _state(path: Path, value: Any) -> dict[str, Tensor]:
    """The tensors by name, wherever they are in ``value``."""
    if not isinstance(value, Mapping):
        raise BadInput(f"{path}: expected a state dict (tensors by name), got {type(value).__name__}; {_ADVICE}")
    if value and all(isinstance(name, str) and isinstance(entry, Tensor) for name, entry in value.items()):
        return dict(value)
    inner = next((value[name] for name in _UNDER if isinstance(value.get(name), Mapping)), None)
    if inner is not None:
        return _state(path, inner)
    keys = ", ".join(map(str, list(value)[:5])) or "nothing"
    where = ", ".join(_UNDER[:4])
    raise BadInput(f"{path}: expected tensors by name (or such under {where}), got {keys}; {_ADVICE}")


def _file(path: Path, state: dict[str, Tensor], *, ordered: bool) -> ForeignFile:
    entries = []
    for name, given in state.items():
        if given.layout != torch.strided or given.is_quantized or given.is_complex() or given.is_meta:
            raise BadInput(f"{path}: expected tensor {name!r} as plain numbers, got {given.layout} {given.dtype}")
        layer, _, role = name.rpartition(".")
        entries.append(Entry(name=name, layer=layer, role=role, shape=tuple(given.shape), read=given.detach))
    return ForeignFile(format="torch" if ordered else "safetensors", entries=tuple(entries), ordered=ordered)


def read_keras(path: Path) -> ForeignFile:
    """The tensors of a Keras file in torch's layout and the order of its layers; nothing is read but their shapes.
    Raises ``BadInput`` for truncated and damaged files and for HDF5 of another layout."""
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            layers = _layers(file)
            ordered = bool(_names(root, "layer_names"))
            places = _keras_2(root) if ordered else _keras_3(file)
            content = ", ".join(sorted(file)[:5]) or "nothing in it"
            entries = [_entry(path, file[name], layer, role) for name, layer, role in places]
    except _DAMAGE as error:
        reason = first_line(error)
        raise BadInput(f"{path}: expected a whole HDF5 file, got a truncated or damaged one ({reason})") from None
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


def _names(group: Any, attribute: str) -> list[str]:
    """A list of names in an attribute, which Keras cuts into numbered parts when it is long."""
    parts = [group.attrs[attribute]] if attribute in group.attrs else []
    while f"{attribute}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{attribute}{len(parts)}"])
    return [name.decode() if isinstance(name, bytes) else str(name) for part in parts for name in part]


def _keras_2(root: Any) -> Iterator[tuple[str, str, str | None]]:
    """(place in the file, layer, role) of each tensor."""
    for layer in _names(root, "layer_names"):
        for name in _names(root[layer], "weight_names"):
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
    """A key that sorts ``conv2d_10`` after ``conv2d_2``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _entry(path: Path, item: Any, layer: str, role: str | None) -> Entry:
    name = str(item.name).lstrip("/")
    if not isinstance(item, h5py.Dataset) or item.dtype.kind != "f" or item.external:
        raise BadInput(f"{path}: expected numbers in {name!r}, got something else; it is not a file of Keras weights")
    if item.nbytes > _DENSEST * item.id.get_storage_size():
        raise BadInput(f"{path}: expected tensor {name!r} in full, got one that was never written; save it again")
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
        with h5py.File(path, "r") as file:
            array = np.asarray(file[name][()], np.float32)
    except _DAMAGE as error:
        raise BadInput(f"{path}: expected tensor {name!r} in full, got damaged numbers ({first_line(error)})") from None
    return _turned(torch.from_numpy(array), name).contiguous()


def _layers(file: Any) -> list[dict[str, Any]]:
    """What a full model's ``model_config`` says of each layer: ``{"name", "data_format", "epsilon"}``."""
    layers: list[dict[str, Any]] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            config = value.get("config")
            if isinstance(config, dict) and isinstance(config.get("name"), str):
                kept = {key: config[key] for key in ("name", "data_format") if key in config}
                if "BatchNorm" in str(value.get("class_name")) and isinstance(config.get("epsilon"), float):
                    kept["epsilon"] = config["epsilon"]
                layers.append(kept)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(inner)

    try:
        walk(json.loads(file.attrs.get("model_config", "{}")))
    except RecursionError:
        raise ValueError("model_config is nested too deeply") from None
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
