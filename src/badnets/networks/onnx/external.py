"""The numbers of an ONNX network that lie in a second file: the one exception to reading only the file that is named.

It must be a plain name in the same folder, of a regular file that is no link to another; nothing else is looked at.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from badnets.core.errors import BadInput
from badnets.core.files import check_regular
from badnets.core.limits import ONNX, PARAMETERS
from badnets.core.text import brief
from badnets.networks.onnx.model import is_external, itemsize

_LONGEST = 255  # bytes in a file's name


def take_in(path: Path, model: Any) -> tuple[str, ...]:
    """Put the numbers that lie beside ``path`` into the checked ``model``; the names of the files that they came from.
    Raises ``BadInput`` that names what was refused."""
    outside = [tensor for tensor in model.graph.initializer if is_external(tensor)]
    PARAMETERS.check(sum(math.prod(tensor.dims) for tensor in outside), path)
    ONNX.check(sum(math.prod(tensor.dims) * itemsize(tensor) for tensor in outside), path)
    names = set[str]()
    for tensor in outside:
        said = {entry.key: entry.value for entry in tensor.external_data}
        beside = _beside(path, said.get("location", ""))
        offset, length = (_number(path, said.get(key), none) for key, none in (("offset", 0), ("length", None)))
        wanted = math.prod(tensor.dims) * itemsize(tensor)
        size = beside.stat().st_size
        if length not in (None, wanted) or (offset or 0) + wanted > size:
            got = f"{length if length is not None else 'the rest'} at {offset} of {size:,}"
            raise BadInput(
                f"{path}: expected {wanted:,} bytes of tensor {brief(tensor.name, 60)!r} in {brief(beside.name, 60)}, "
                f"got {brief(got, 60)}; the files do not belong together"
            )
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
        tensor.raw_data = np.fromfile(beside, np.uint8, wanted, offset=offset or 0).tobytes()
        names.add(beside.name)
    return tuple(sorted(names))


def _beside(path: Path, name: str) -> Path:
    plain = name not in ("", ".", "..") and not set(name) & {"/", "\\", "\0", ":"}
    if not plain or len(name.encode()) > _LONGEST:
        raise BadInput(
            f"{path}: expected its weights in a file of the same folder, got {brief(name, 100)!r}; nothing was read"
        )
    beside = path.parent / name
    if beside.is_symlink() and beside.resolve().parent != path.parent.resolve():
        raise BadInput(f"{path}: expected its weights in this folder, got the link {brief(name, 100)!r}; copy the file")
    if not beside.exists():
        raise BadInput(
            f"{path}: expected its weights beside it in {brief(name, 100)!r}, got nothing; put that file there too"
        )
    check_regular(beside, f"weights of {path.name}")
    return beside


def _number(path: Path, text: str | None, none: int | None) -> int | None:
    if text is None:
        return none
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BadInput(f"{path}: expected places in a file of weights as numbers, got {brief(text, 40)!r}")
    return int(text)
