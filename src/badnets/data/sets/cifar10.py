"""CIFAR-10 as its authors publish it: the binary or the Python version, as a folder or as the archive.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009), and the description of both layouts
on its page. The Python version is a pickle: it is read by an unpickler that can build arrays of bytes and nothing else.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badnets.core.cache import warn_of_data
from badnets.core.errors import BadInput, first_line
from badnets.core.files import read_bytes
from badnets.core.limits import MEMBER
from badnets.core.text import brief
from badnets.data.formats.contents import File, is_tar, read_members
from badnets.data.images import ImageData, Pixels, Splits
from badnets.data.registry import source
from badnets.data.request import Request, finish
from badnets.data.sets.download import Remote, locate

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# SHA-256 of the archive as TensorFlow Datasets lists it (tensorflow_datasets/url_checksums/cifar10.txt). The MD5 on the
# authors' page is c32a1d4ab5d03f1284b67883e8d87530. The Python version's SHA-256 (as in Keras' loader) begins 6d958be0;
# it is not downloaded, only read where a user has it.
REMOTE = Remote(
    file="cifar-10-binary.tar.gz",
    urls=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)

_FOLDERS = ("cifar10", "cifar-10", "cifar-10-batches-bin", "cifar-10-batches-py", "CIFAR10")
_ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")
_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
_TEST = "test_batch"
_META = ("batches.meta.txt", "batches.meta")
_KNOWN = frozenset((*_TRAIN, _TEST, *(f"{name}.bin" for name in (*_TRAIN, _TEST)), *_META))
_RECORD = 1 + 3 * 32 * 32

Batch = tuple[Pixels, NDArray[np.int64]]


def is_cifar10(place: Path) -> bool:
    """Whether a folder, a file of one, or an archive holds the batches of CIFAR-10."""
    if place.is_dir():
        return _batch_folder(place) is not None
    if not is_tar(place):
        return place.is_file() and place.name in _KNOWN
    return place.name in _ARCHIVES or any(_name(member) in _KNOWN for member in islice(read_members(place), 8))


def _name(member: File) -> str:
    return member.path.rsplit("/", 1)[-1]


@source("cifar10", "50,000 + 10,000 pictures of ten classes, 32x32 color")
def load_cifar10(request: Request) -> Splits:
    """50,000 + 10,000 color pictures of 32x32, ten classes."""
    request.settings()
    wanted = "data_batch_1.bin ... test_batch.bin, or cifar-10-batches-py, or an archive of either"
    folders = (*_FOLDERS, *_ARCHIVES)
    files, where = locate("cifar10", request, _find, wanted=wanted, folders=folders, remotes=[REMOTE])
    return _read_set(files, where, request)


def _batch_folder(place: Path) -> Path | None:
    folders = (place, *(place / name for name in _FOLDERS))
    first = (f"{_TRAIN[0]}.bin", _TRAIN[0])
    return next((folder for folder in folders if any((folder / name).is_file() for name in first)), None)


def _find(place: Path) -> tuple[Mapping[str, bytes], Path] | None:
    """The content of every file of the set by name, and where it was."""
    if place.is_file() and place.name in _KNOWN:
        place = place.parent
    if is_tar(place):
        members = ((_name(member), member) for member in read_members(place, tuple(_KNOWN)))
        files = {name: m.read() for name, m in members if m.content is not None and name in _KNOWN}
        return (files, place) if files else None
    folder = _batch_folder(place)
    if folder is not None:
        there = [path for path in sorted(folder.iterdir()) if path.name in _KNOWN and path.is_file()]
        return {path.name: read_bytes(path, MEMBER) for path in there}, folder
    archive = next((place / name for name in _ARCHIVES if (place / name).is_file()), None)
    return None if archive is None else _find(archive)


def _read_set(files: Mapping[str, bytes], where: Path, request: Request) -> Splits:
    binary = f"{_TRAIN[0]}.bin" in files
    suffix, read = (".bin", _binary_batch) if binary else ("", _python_batch)
    present = [name + suffix for name in _TRAIN if name + suffix in files]
    if not present or _TEST + suffix not in files:
        missing = f"{_TEST}{suffix}" if present else f"{_TRAIN[0]}{suffix}"
        raise BadInput(f"expected {missing} in {where}, got {', '.join(sorted(files))}; put it there")
    if len(present) < len(_TRAIN):
        absent = ", ".join(name + suffix for name in _TRAIN if name + suffix not in files)
        warn_of_data(f"cifar10 in {where} is not whole: {absent} is missing")
    names = _class_names(files, where, binary=binary)
    train, test = ([read(files[name], f"{where}/{name}") for name in part] for part in (present, [_TEST + suffix]))
    sets = [
        ImageData.of(*map(np.concatenate, zip(*batches, strict=True)), class_names=names, name=request.name)
        for batches in (train, test)
    ]
    return finish(request, sets[0], sets[1])


def _class_names(files: Mapping[str, bytes], where: Path, *, binary: bool) -> tuple[str, ...]:
    """From the meta file; the well-known names where it is missing."""
    meta = files.get(_META[0] if binary else _META[1])
    if meta is None:
        return CLASS_NAMES
    if binary:
        names = tuple(meta.decode("utf-8", "replace").split())
    else:
        listed = _field(safe_unpickle(meta, f"{where}/{_META[1]}"), "label_names", f"{where}/{_META[1]}")
        names = tuple(n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in listed)
    if len(names) != len(CLASS_NAMES):
        raise BadInput(f"expected 10 class names in the meta file of {where}, got {len(names)}")
    return names


def _pictures(flat: NDArray[np.uint8], labels: NDArray[np.int64], where: str) -> Batch:
    """Rows of 3,072 bytes (red, green, blue planes) as (n, 32, 32, 3)."""
    if len(labels) and (labels.min() < 0 or labels.max() > 9):
        raise BadInput(f"expected labels 0..9 in {where}, got {labels.min()}..{labels.max()}; is it CIFAR-10?")
    return np.ascontiguousarray(flat.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels


def _binary_batch(content: bytes, where: str) -> Batch:
    """Records of a label and 3,072 bytes."""
    if not content or len(content) % _RECORD:
        expected = max(1, -(-len(content) // _RECORD)) * _RECORD
        raise BadInput(
            f"expected {expected} bytes in {where} (records of {_RECORD}), got {len(content)}; the file is truncated"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    return _pictures(records[:, 1:], records[:, 0].astype(np.int64), where)


def _python_batch(content: bytes, where: str) -> Batch:
    """A dictionary of ``data`` (n, 3072) and ``labels`` (n)."""
    batch = safe_unpickle(content, where)
    data, labels = _field(batch, "data", where), _field(batch, "labels", where)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != _RECORD - 1:
        got = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise BadInput(f"expected data as uint8 (n, 3072) in {where}, got {got}")
    # A label of 10^30 would fit no array.
    integers = isinstance(labels, list | tuple) and all(type(v) is int and 0 <= v < 256 for v in labels)
    array = isinstance(labels, np.ndarray) and labels.dtype.kind in "iu" and labels.ndim == 1
    if not (integers or array) or len(labels) != len(data):
        raise BadInput(f"expected {len(data)} whole numbers 0..9 as labels in {where}, got something else")
    return _pictures(data, np.asarray(labels, dtype=np.int64), where)


def _field(value: Any, name: str, where: str) -> Any:
    keys = [key for key in (name, name.encode()) if isinstance(value, dict) and key in value]
    if not keys:
        raise BadInput(f"expected a dictionary with {name!r} in {where}, got something else; is it CIFAR-10?")
    return value[keys[0]]


def _reconstruct(*_: object) -> NDArray[np.uint8]:
    """An empty array, which the pickle's state then fills; what it asked for is of no interest."""
    return np.empty(0, np.uint8)


def _array(*_: object) -> None:
    """What ``_reconstruct`` is given as the type of an array; nobody may ask for one of any size."""
    raise pickle.UnpicklingError("an array outside its state")


def _dtype(code: object, *_: object) -> np.dtype[Any]:
    text = code.decode("ascii", "replace") if isinstance(code, bytes) else str(code)
    if text not in ("u1", "i4", "i8"):
        raise pickle.UnpicklingError(f"an array of type {text!r}")
    return np.dtype(text)


def _encode(text: object, encoding: object = "latin1") -> bytes:
    """How Python 3 writes bytes into an old pickle."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", b"latin1", b"latin-1"):
        raise pickle.UnpicklingError(f"an encoding {encoding!r}")
    return text.encode("latin1")


_ALLOWED: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _array,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
}


def safe_unpickle(content: bytes, where: str) -> Any:
    """The plain values and integer arrays in a pickle; one that asks for anything else, or is damaged, is refused."""

    # The one in Python: the other takes gigabytes for a place in its memo that a pickle of ten bytes asks for.
    class ArrayUnpickler(pickle._Unpickler):  # noqa: SLF001
        """Has only the names that an array needs; everything else is refused by name, never imported."""

        def find_class(self, module: str, name: str) -> Any:
            if (module, name) in _ALLOWED:
                return _ALLOWED[module, name]
            asked = f"a pickle that asks for {module}.{name}"
            raise BadInput(f"expected only arrays in {where}, got {brief(asked)}; do not trust this file")

    try:
        return ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    except BadInput:
        raise
    except Exception as error:  # noqa: BLE001  # a damaged one can raise anything, from numpy's __setstate__ too
        reason = brief(first_line(error))
        raise BadInput(f"expected a CIFAR-10 batch in {where}, got a damaged or foreign pickle ({reason})") from None
