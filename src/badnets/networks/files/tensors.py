"""Tensors by name from safetensors and from torch's own files (weights only), checked before anything is allocated.

All doors go through here: networks of ours and of others, and files of weights to start from. Nothing in a file is run.
"""

from __future__ import annotations

import argparse
import functools
import io
import math
import mmap
import pickletools
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from badnets.core.errors import BadInput, first_line
from badnets.core.limits import CATALOG, NAME, REPEATED, TENSORS, check_unpacked
from badnets.core.text import brief
from badnets.networks.files.header import opened, read_safetensors_header
from badnets.networks.scan.known import OURS, kind_of
from badnets.networks.scan.pickles import Buffer, Steps, walk

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
ADVICE = "save its state_dict() where you trust it"
_UNDER = ("", "state_dict", "model_state_dict", "model_state", "model", "net", "network", "netC", "weights", "params")
_NOT_WEIGHTS = ("optim", "scheduler", "scaler")
_DEEPEST = 8  # tables in each other
_LISTED = 16  # entries of a list or tuple that are looked into
_NETWORKS = 8  # in one file
_LOOKED = 10_000  # tables that are looked into
_MAGIC = 0x1950A86A20F9469CFC6C  # the first of the five pickles with which torch's older format begins
_DAMAGE = (zipfile.BadZipFile, struct.error, ValueError, EOFError, OSError, NotImplementedError, LookupError)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What needs more memory or depth than there is, while ``path`` is read, is bad input."""
    try:
        yield
    except (MemoryError, RecursionError, OverflowError) as error:
        raise BadInput(f"{path}: expected a network that fits into memory, got {type(error).__name__}") from None
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        raise BadInput(f"{path}: expected a network that fits into memory, got one that does not") from None


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of any safetensors file."""
    read_safetensors_header(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        reason = brief(first_line(error), 120)
        raise BadInput(f"{path}: expected a safetensors file, got a damaged one ({reason})") from None


def load_torch(path: Path) -> Any:
    """What ``torch.save`` wrote, as long as it is tensors in plain tables and lists. Raises ``BadInput`` for pickled
    modules, programs, and whatever else would have to be run to be read."""
    with opened(path, "the file") as file:
        packed = file.read(2) == b"PK"
        if packed:
            check_catalog(path)
        try:
            (_check_archive if packed else _check_older)(path, file)
        except _DAMAGE as error:
            reason = brief(first_line(error), 100)
            raise BadInput(
                f"{path}: expected plain weights, got something else, or a damaged file ({reason})"
            ) from None
    try:
        # Mapped, a tensor cannot be larger than the file, whatever it claims.
        with torch.serialization.safe_globals(harmless()):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=packed)
    # A hostile pickle can make the restricted unpickler raise anything; nothing in it was called.
    except Exception as error:  # noqa: BLE001
        raise BadInput(f"{path}: expected plain weights, got something else ({_reason(error)}); {ADVICE}") from None


@functools.cache
def harmless() -> list[Any]:
    """What people save beside weights, and what making it cannot do anything but make it (``known.OURS``): numbers of
    numpy, the settings of a command line, paths. For torch each with the name that a pickle has for it."""
    scalar = np.float64(0).__reduce__()[0]
    made: dict[str, Any] = {
        "numpy.core.multiarray.scalar": scalar,
        "numpy._core.multiarray.scalar": scalar,
        "numpy.dtype": np.dtype,
        "argparse.Namespace": argparse.Namespace,
        "pathlib.PosixPath": PurePosixPath,
        "pathlib.PurePosixPath": PurePosixPath,
    }
    dtypes = {type(np.dtype(name)) for name in "?bBhHiIlLqQefdU"}  # of which torch asks when it fills one
    return [*((made[name], name) for name in sorted(OURS)), *dtypes]


def _reason(error: Exception) -> str:
    """What was wrong, without torch's advice to open the file unsafely."""
    text = " ".join(str(error).split())
    if "weights_only" in text or "Unpickl" in type(error).__name__:
        named = text.partition("GLOBAL ")[2].split(" ")[0] or text.partition("Unsupported global: ")[2].split(" ")[0]
        return _needs(named)
    return brief(text, 100) or type(error).__name__


def _needs(named: str) -> str:
    return f"it {f'needs {brief(named)}' if named else 'holds more than tensors'}, and nothing in it was run"


def _check_archive(path: Path, file: BinaryIO) -> None:
    """Refuse archives that are no torch file, hold a program, or would unpack to more than they are."""
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
    names = [info.filename for info in infos]
    if any("/code/" in name or name.endswith("constants.pkl") for name in names):
        raise BadInput(
            f"{path}: expected plain weights, got a TorchScript program, which is never run; {ADVICE}, or ask its "
            "author for that or for .onnx"
        )
    pickled = next((info for info in infos if info.filename.endswith("data.pkl")), None)
    if pickled is None:
        raise BadInput(f"{path}: expected a file that torch.save wrote, got another archive; {ADVICE}")
    if sum(info.file_size for info in infos) > path.stat().st_size:
        raise BadInput(f"{path}: expected tensors as torch.save stores them, got packed ones; save the file again")
    file.seek(pickled.header_offset + 26)
    file.seek(sum(struct.unpack("<HH", file.read(4))), io.SEEK_CUR)  # not by zipfile: torch may leave out the CRC
    content = file.read(pickled.file_size)
    _check_pickle(path, content, 0, Steps(path))


def check_catalog(path: Path) -> None:
    """Refuse an archive whose list of members is larger than the budget allows."""
    with opened(path, "the file") as file:
        CATALOG.check(_catalog_size(file), path)


def _catalog_size(file: BinaryIO) -> int:
    """How many bytes an archive says its list of members has, which zipfile would read at once."""
    file.seek(max(0, file.seek(0, io.SEEK_END) - (1 << 17)))
    tail = file.read()
    at, wide = tail.rfind(b"PK\x05\x06"), tail.rfind(b"PK\x06\x06")
    size = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    return int.from_bytes(tail[wide + 40 : wide + 48], "little") if size == 0xFFFFFFFF and wide >= 0 else size


def _check_older(path: Path, file: BinaryIO) -> None:
    """Refuse what is no file of torch's older format: five pickles, then numbers."""
    file.seek(0)
    start = file.read(512)
    first = next((value for _, value, _ in pickletools.genops(start) if isinstance(value, int) and value > 9), None)
    if first != _MAGIC or start[257:262] == b"ustar":
        raise BadInput(f"{path}: expected a file that torch.save wrote, got another pickle; {ADVICE}")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at, steps = 0, Steps(path)
        for _ in range(5):
            at = _check_pickle(path, content, at, steps)


def _check_pickle(path: Path, content: Buffer, start: int, steps: Steps) -> int:
    """Refuse a pickle that needs more than what is known to be harmless, or would keep torch busy for long; where it
    ends. ``badnets scan`` says the same of it."""
    found = walk(content, start, len(content), steps)
    for full in found.globals:
        if kind_of(full) != "opened":
            raise BadInput(f"{path}: expected plain weights, got something else ({_needs(full)}); {ADVICE}")
    if found.problem or found.hidden:
        raise ValueError(found.problem or found.hidden[0][1])
    return found.end


def find_states(path: Path, value: Any) -> dict[str, dict[str, Tensor]]:
    """Every table of tensors by name in ``value``, wherever it is, under the names on the way to it: ``""`` for
    ``value`` itself, ``state_dict``, ``model.ema``, ... The likeliest first; what belongs to an optimizer is left out.
    Raises ``BadInput`` where there is none."""
    found: dict[str, dict[str, Tensor]] = {}
    steps = 0
    seen = set[int]()

    def look(one: Any, where: tuple[str, ...]) -> None:
        nonlocal steps
        steps += 1
        if steps > _LOOKED or len(where) > _DEEPEST:
            return
        if isinstance(one, Mapping):
            named = {name: entry for name, entry in one.items() if isinstance(name, str)}
            tensors = {name: entry for name, entry in named.items() if isinstance(entry, Tensor)}
            if tensors and id(one) not in seen and not any(word in "".join(where).lower() for word in _NOT_WEIGHTS):
                found[".".join(where)] = tensors
                seen.add(id(one))  # the same under another name is no other network
            inner: Iterable[tuple[str, Any]] = ((name, entry) for name, entry in named.items() if name not in tensors)
        elif isinstance(one, list | tuple):
            inner = ((str(index), entry) for index, entry in enumerate(one[:_LISTED]))
        else:
            return
        for name, entry in inner:
            look(entry, (*where, brief(name, 60)))

    look(value, ())
    if not found:
        # Other names may be anything, and take for ever to write.
        keys = [key for key in value if isinstance(key, str)] if isinstance(value, Mapping) else []
        got = ", ".join(repr(brief(key, 40)) for key in keys[:5]) or type(value).__name__
        raise BadInput(f"{path}: expected tensors by name (a state dict, or one in it), got {got}; {ADVICE}")
    largest = max(sum(tensor.numel() for tensor in state.values()) for state in found.values())
    real = {name: s for name, s in found.items() if 20 * sum(tensor.numel() for tensor in s.values()) >= largest}
    return dict(sorted(real.items(), key=lambda item: _likelihood(item[0]))[:_NETWORKS])


def _likelihood(name: str) -> tuple[int, int]:
    """A key that sorts what is likeliest the network's own weights first: of the names that they have in use, the
    plain ones, then averages over the training."""
    words = name.split(".")
    known = next((index for index, word in enumerate(_UNDER) if word == words[-1]), len(_UNDER))
    return (1 if "ema" in name.lower() or "teacher" in name.lower() else 0), known


def check_plain(path: Path, state: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are not plain numbers, or that claim more numbers than the file has."""
    TENSORS.check(len(state), path)
    total = 0
    for name, given in state.items():
        NAME.check(len(name), path)
        plain = given.layout == torch.strided and not (given.is_quantized or given.is_complex() or given.is_meta)
        if not plain or given.is_nested or (given.dtype not in FLOATS and given.is_floating_point()):
            got = f"{given.layout} {given.dtype}"
            raise BadInput(f"{path}: expected tensor {brief(name)!r} as plain numbers, got {got}; save it as float32")
        size = given.numel() * given.element_size()
        if size > given.untyped_storage().nbytes():
            got = f"some of them for all of {brief(str(list(given.shape)))}"
            raise BadInput(f"{path}: expected every number of tensor {brief(name)!r}, got {got}; save it contiguous")
        total += size
    check_unpacked(total, path.stat().st_size, path, limit=REPEATED)


def check_finite(path: Path, name: str, tensor: Tensor) -> float:
    """Refuse NaN and infinity in the tensor called ``name``; the largest magnitude in it."""
    if math.isfinite(most := largest(tensor)):
        return most
    kind = "NaN" if math.isnan(most) else "infinity"
    raise BadInput(
        f"{path}: expected finite numbers in tensor {brief(name)!r}, got {kind}; the file is damaged or its training "
        "failed"
    )


def largest(tensor: Tensor) -> float:
    """The largest magnitude in it, in one pass; NaN if there is one."""
    if not (tensor.is_floating_point() and tensor.numel()):
        return 0.0
    low, high = map(float, torch.aminmax(tensor.detach()))
    return high if math.isnan(high) else max(high, -low)


def check_numbers(path: Path, body: nn.Module) -> float:
    """Refuse weights of ``body``, read from ``path``, with which it would give NaN: they are NaN or infinite, or the
    variance of a normalization is below 0. A guard's threshold may be infinite: it refuses nothing. Returns the largest
    magnitude."""
    most = 0.0
    for name, value in body.state_dict().items():
        if name == "threshold" and value.numel() == 1 and float(value) == math.inf:
            continue
        most = max(most, check_finite(path, name, value))
        layer, _, role = name.rpartition(".")
        if role == "running_var" and value.numel() and float(value.min()) + body.get_submodule(layer).eps <= 0:  # type: ignore[operator]
            raise BadInput(f"{path}: expected variances above 0 in tensor {name!r}, got {float(value.min()):g}")
    return most


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict from a ``.safetensors`` file, or from a pickled one without running anything in it; its numbers are
    finite."""
    with reading(path):
        state = load_tensors(path) if path.suffix.lower() == ".safetensors" else load_torch(path)
        if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
            got = type(state).__name__
            raise BadInput(f"{path}: expected a state dict (tensors by name), got {got}; save only that")
        named = {str(name): value for name, value in state.items() if isinstance(name, str)}
        check_plain(path, named)
        for name, value in named.items():
            check_finite(path, name, value)
    return named
