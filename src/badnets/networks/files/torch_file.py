"""State dicts: safetensors, and torch's own files opened with ``weights_only=True``, which runs nothing in them."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from badnets.core.errors import BadInput
from badnets.networks.files.entries import Entry, ForeignFile
from badnets.networks.files.keras import natural

SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".bin", ".tar"})
"""Names of files that are opened as torch's; whoever names one knows that it is pickled."""
_UNDER = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
_ADVICE = "save its state_dict() where you trust it"


def read_safetensors(path: Path) -> ForeignFile:
    """The tensors of any safetensors file. The format sorts them, so their order is that of their names."""
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path}: expected a safetensors file, got a damaged one ({error})") from None
    return _file(path, {name: state[name] for name in sorted(state, key=natural)}, ordered=False)


def read_torch(path: Path) -> ForeignFile:
    """The state dict of a file that ``torch.save`` wrote: itself, or under ``state_dict``, ``model``, ``net`` and such.

    Raises ``BadInput`` for pickled modules, programs, and whatever else would have to be run to be read.
    """
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
        raise BadInput(
            f"{path}: expected weights, got a .keras archive; save them with save_weights('NAME.weights.h5')"
        )
    if any("/code/" in name or name.endswith("constants.pkl") for name in names):
        raise BadInput(f"{path}: expected plain weights, got a TorchScript program; {_ADVICE}")
    if not any(name.endswith("data.pkl") for name in names):
        raise BadInput(f"{path}: expected a file that torch.save wrote, got another archive; {_ADVICE}")
    if sum(info.file_size for info in infos) > path.stat().st_size:
        raise BadInput(f"{path}: expected tensors as torch.save stores them, got packed ones; save the file again")


def _state(path: Path, value: Any) -> dict[str, Tensor]:
    """The tensors by name, wherever they are in ``value``."""
    if isinstance(value, Mapping):
        if value and all(isinstance(name, str) and isinstance(entry, Tensor) for name, entry in value.items()):
            return dict(value)
        for name in _UNDER:
            if isinstance(value.get(name), Mapping):
                return _state(path, value[name])
        keys = ", ".join(map(str, list(value)[:5]))
        where = ", ".join(_UNDER[:4])
        raise BadInput(f"{path}: expected tensors by name (or such under {where}), got {keys or 'nothing'}; {_ADVICE}")
    raise BadInput(f"{path}: expected a state dict (tensors by name), got {type(value).__name__}; {_ADVICE}")


def _file(path: Path, state: dict[str, Tensor], *, ordered: bool) -> ForeignFile:
    entries = []
    for name, given in state.items():
        if given.layout != torch.strided or given.is_quantized or given.is_complex() or given.is_meta:
            raise BadInput(f"{path}: expected tensor {name!r} as plain numbers, got {given.layout} {given.dtype}")
        layer, _, role = name.rpartition(".")
        entries.append(Entry(name=name, layer=layer, role=role, shape=tuple(given.shape), read=given.detach))
    return ForeignFile(format="torch" if ordered else "safetensors", entries=tuple(entries), ordered=ordered)
