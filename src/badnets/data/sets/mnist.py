"""MNIST, Fashion-MNIST, any set in their layout of four IDX files, gzipped or not; and scikit-learn's digits.

Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits (the format is described there);
H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST, arXiv:1708.07747.
"""

from __future__ import annotations

import gzip
import math
import zlib
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from badnets.core import cache
from badnets.core.errors import BadInput
from badnets.core.limits import PICTURE, check_unpacked
from badnets.data.formats.convert import from_one
from badnets.data.images import ImageData, Splits
from badnets.data.objects import set_table
from badnets.data.registry import source
from badnets.data.request import Request, finish
from badnets.data.sets.download import Remote, locate


class IdxSet(NamedTuple):
    """A named set in this layout: ``folders`` are the names that its folder may have, ``first_labels`` the first ten of
    its training labels, by which it is told from another set whose files have the same names."""

    name: str
    first_labels: tuple[int, ...]
    class_names: tuple[str, ...]
    folders: tuple[str, ...]
    remotes: tuple[Remote, ...]


def _described(name: str) -> IdxSet:
    """What the file beside this module says; its SHA-256 sums are of the unpacked files, whatever packed them, for
    MNIST, and for Fashion-MNIST of the gzip files, as TensorFlow Datasets lists them (fashion_mnist.txt)."""
    table = set_table(name)
    remotes = tuple(
        Remote(file=file, urls=tuple(url + file for url in table["urls"]), sha256=sha256, unpacked=table["unpacked"])
        for file, sha256 in table["sha256"].items()
    )
    first, names, folders = (tuple(table[key]) for key in ("first_labels", "classes", "folders"))
    return IdxSet(name, first, names, folders, remotes)


_FREE = 64 << 20
"""Bytes that a packed file may have, however small it is; there are four."""
NAMED = {name: _described(name) for name in ("mnist", "fashion-mnist")}


def _load_named(name: str, request: Request) -> Splits:
    request.settings()
    which = NAMED[name]

    def find(place: Path) -> IdxFiles | None:
        """Both sets have files of the same names: never take one for the other."""
        files = find_idx(place)
        if files is None:
            return None
        labels = read_idx(files.train_labels, 1)
        others = (other.first_labels for other in NAMED.values() if other is not which)
        return None if len(labels) == 60_000 and tuple(labels[:10].tolist()) in others else files

    wanted = "four IDX files, train-images-idx3-ubyte[.gz] and so on"
    files = locate(which.name, request, find, wanted=wanted, folders=which.folders, remotes=which.remotes)
    return read_set(files, which.class_names, request)


source("mnist", "60,000 + 10,000 handwritten digits, 28x28 grey")(partial(_load_named, "mnist"))
source("fashion-mnist", "60,000 + 10,000 pieces of clothing, 28x28 grey")(partial(_load_named, "fashion-mnist"))


class IdxFiles(NamedTuple):
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
        present = {}
        for key in IdxFiles._fields:
            part, what = key.replace("test", "t10k").split("_")
            dims = 3 if what == "images" else 1
            names = (f"{part}-{what}-idx{dims}-ubyte", f"{part}-{what}.idx{dims}-ubyte")  # the spellings in use
            there = (path for name in names for path in (folder / name, folder / f"{name}.gz") if path.is_file())
            if (file := next(there, None)) is not None:
                present[key] = file
        if len(present) == len(IdxFiles._fields):
            return IdxFiles(**present)
        if present:
            missing = ", ".join(sorted(set(IdxFiles._fields) - present.keys())).replace("_", " ")
            raise BadInput(f"expected four IDX files in {folder}, got none for {missing}; put them there")
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
    train = _read_part(files.train_images, files.train_labels)
    test = _read_part(files.test_images, files.test_labels)
    highest = int(max(train[1].max(), test[1].max()))
    names = class_names or tuple(map(str, range(max(10, highest + 1))))
    sets = [ImageData.of(images, labels, class_names=names, name=request.name) for images, labels in (train, test)]
    if class_names is None:
        sets = from_one(sets, 10 if highest < 10 else None, files.train_labels) or sets
    return finish(request, sets[0], sets[1])


def _read_part(images: Path, labels: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    pixels, values = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(values):
        raise BadInput(f"expected {len(pixels)} labels in {labels}, one for each picture, got {len(values)}")
    if not len(values):
        raise BadInput(f"expected pictures for {labels}, got 0")
    return pixels, values


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
            PICTURE.check(math.prod(shape[1:]), path)
            if packed:
                check_unpacked(expected, path.stat().st_size, path, free=_FREE)
            else:
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
    shape = tuple(int.from_bytes(header[i : i + 4], "big") for i in range(4, 4 + 4 * dims, 4))
    if not all(shape[1:]):
        raise BadInput(f"expected pictures of at least one pixel in {path}, got {shape[1]}x{shape[2]}")
    return shape


def _check_length(path: Path, expected: int, got: int) -> None:
    if got < expected:
        raise BadInput(f"expected {expected} bytes in {path}, got {got}; the file is truncated")
    if got > expected:
        raise BadInput(f"expected {expected} bytes in {path}, got more; the file is not what its header says")


@source("digits", "1,797 handwritten digits, 8x8 grey, from scikit-learn")
def load_digits(request: Request) -> Splits:
    """1,797 grey pictures of 8x8, values 0..16 scaled to 0..255; a seeded, stratified share is the test set.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI (the test part).
    """
    from sklearn import datasets

    request.settings()
    bunch = datasets.load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    names = tuple(map(str, range(10)))
    return finish(request, ImageData.of(pixels, bunch.target, class_names=names, name=request.name))
