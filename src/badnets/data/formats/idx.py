"""Four IDX files, gzipped or not: the layout of MNIST.

Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits (the format is described there).
"""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badnets.core import cache
from badnets.core.errors import BadInput
from badnets.data.images import ImageData, Splits
from badnets.data.registry import source
from badnets.data.request import Request, finish


@dataclass(frozen=True, kw_only=True)
class IdxFiles:
    """The four files of a set."""

    train_images: Path
    train_labels: Path
    test_images: Path
    test_labels: Path


def find_idx(place: Path) -> IdxFiles | None:
    """The four files in a folder, or beside one of them, packed or not; also in ``raw`` below; None without them."""
    if place.is_file():
        return find_idx(place.parent) if "idx" in place.name and "ubyte" in place.name else None
    for folder in (place, place / "raw"):
        files = {
            f"{part}_{what}": _one_of(folder, prefix, what, dims)
            for part, prefix in (("train", "train"), ("test", "t10k"))
            for what, dims in (("images", 3), ("labels", 1))
        }
        present = {key: file for key, file in files.items() if file is not None}
        if len(present) == len(files):
            return IdxFiles(**present)
        if present:
            missing = ", ".join(sorted(files.keys() - present.keys())).replace("_", " ")
            raise BadInput(f"expected four IDX files in {folder}, got none for {missing}; put them there")
    return None


def _one_of(folder: Path, prefix: str, what: str, dims: int) -> Path | None:
    """The first of the spellings in use."""
    for name in (f"{prefix}-{what}-idx{dims}-ubyte", f"{prefix}-{what}.idx{dims}-ubyte"):
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    return None


@source("idx", "any set as four IDX files, the layout of MNIST", needs_path=True)
def load_idx(request: Request) -> Splits:
    """Any set in MNIST's layout at ``request.path``; classes are called by their numbers."""
    request.settings()
    files = find_idx(request.given_path())
    if files is None:
        raise BadInput(f"expected the four IDX files of a set at {request.path}, got none; check the path")
    return read_set(files, None, request)


def read_set(files: IdxFiles, class_names: tuple[str, ...] | None, request: Request) -> Splits:
    """Both sets; without ``class_names`` the classes are called by their numbers, ten at least."""
    train = read_idx(files.train_images, 3), read_idx(files.train_labels, 1)
    test = read_idx(files.test_images, 3), read_idx(files.test_labels, 1)
    for (images, labels), path in ((train, files.train_labels), (test, files.test_labels)):
        if len(images) != len(labels):
            raise BadInput(f"expected {len(images)} labels in {path}, one for each picture, got {len(labels)}")
        if not len(labels):
            raise BadInput(f"expected pictures for {path}, got 0")
    highest = int(max(train[1].max(), test[1].max()))
    names = class_names or tuple(map(str, range(max(10, highest + 1))))
    sets = [ImageData.of(images, labels, class_names=names, name=request.name) for images, labels in (train, test)]
    return finish(request, sets[0], sets[1])


def read_idx(path: Path, dims: int) -> NDArray[np.uint8]:
    """One IDX file of unsigned bytes with ``dims`` dimensions, gzipped when its name ends in ``.gz``.

    Large unpacked files are memory-mapped. A wrong magic number, dtype, number of dimensions, or length is refused.
    """
    packed = path.suffix == ".gz"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            header = _read_up_to(file, 4 + 4 * dims)
            shape = _idx_shape(path, header, dims)
            size = math.prod(shape)
            expected = len(header) + size
            if not packed:
                _check_length(path, expected, path.stat().st_size)
                if size > cache.MAP_ABOVE:
                    return np.memmap(path, np.uint8, mode="r", offset=len(header), shape=shape)
            body = _read_up_to(file, size + 1)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise BadInput(f"expected a gzip file at {path}, got damaged data ({error}); get it again") from None
    except OSError as error:
        raise BadInput(f"expected a readable file at {path}, got {error.strerror or error}") from None
    _check_length(path, expected, len(header) + len(body))
    return np.frombuffer(body, np.uint8).reshape(shape)


def _read_up_to(file: Any, size: int) -> bytearray:
    """``size`` bytes, or what there is when a gzip stream ends too early."""
    out = bytearray()
    try:
        while len(out) < size and (block := file.read(min(size - len(out), 1 << 22))):
            out += block
    except EOFError:
        return out
    return out


def _idx_shape(path: Path, header: bytearray, dims: int) -> tuple[int, ...]:
    if len(header) >= 4:
        if header[:2] != b"\0\0":
            raise BadInput(f"expected an IDX file at {path} (it begins with 0 0), got {bytes(header[:4])!r}")
        if header[2] != 8:
            raise BadInput(f"expected unsigned bytes (type 0x08) in {path}, got type 0x{header[2]:02x}")
        if header[3] != dims:
            raise BadInput(f"expected {dims} dimensions in {path}, got {header[3]}; is it another file of the set?")
    _check_length(path, 4 + 4 * dims, len(header))
    return tuple(int.from_bytes(header[i : i + 4], "big") for i in range(4, 4 + 4 * dims, 4))


def _check_length(path: Path, expected: int, got: int) -> None:
    if got < expected:
        raise BadInput(f"expected {expected} bytes in {path}, got {got}; the file is truncated")
    if got > expected:
        raise BadInput(f"expected {expected} bytes in {path}, got more; the file is not what its header says")
