"""Arrays in a NumPy ``.npz`` file, in memory, mapped in place, or streamed through the cache."""

from __future__ import annotations

import math
import shutil
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from badnets.core import cache
from badnets.core.errors import BadInput
from badnets.data.images import ArrayStore, ImageData, Labels, Pixels, Splits
from badnets.data.registry import source
from badnets.data.request import Request, finish

Array = NDArray[Any]

_IMAGES = {"train": ("x_train", "train_images", "images"), "test": ("x_test", "test_images"), "select": ("val_images",)}
_LABELS = {"train": ("y_train", "train_labels", "labels"), "test": ("y_test", "test_labels"), "select": ("val_labels",)}
_PREFIX = {"train": "", "test": "test_", "select": "val_"}
_STEP_BYTES = 16 << 20


@source("npz", "pictures and labels in a NumPy .npz file", needs_path=True)
def load_npz(request: Request) -> Splits:
    """Pictures and labels of a ``.npz`` file; nothing in it is ever unpickled.

    Keys: ``x_train, y_train, x_test, y_test``; or ``images, labels`` (and ``test_images, test_labels``); or
    ``train_images, train_labels, val_images, ...``; beside them ``class_names``, ``groups`` and ``region`` (and
    ``test_groups``, ...). Pictures are uint8, or floats 0..1, which are scaled to 0..255 and rounded; (n, h, w),
    (n, h, w, c) or (n, c, h, w) with c 1 or 3. Labels are whole numbers (n,) or (n, 1), or one-hot (n, k).
    Pictures of more than the option ``map_above`` bytes are memory-mapped, with the same result.
    """
    options = request.settings(map_above=cache.MAP_ABOVE)
    path = request.path
    if path is None:
        raise BadInput("expected a path with data 'npz', got none; pass --data PATH")
    file = NpzFile(path, map_above=options["map_above"])
    parts = [part for part in _IMAGES if file.first(_IMAGES[part]) is not None]
    if "train" not in parts:
        keys = ", ".join(file.keys) or "nothing"
        raise BadInput(f"expected x_train and y_train, or images and labels, in {path}, got {keys}; rename the arrays")
    labels = {part: _labels(file, part) for part in parts}
    names = _class_names(file, max(int(values.max(initial=-1)) for values in labels.values()) + 1)
    sets = {part: _set(file, part, labels[part], names, request.name) for part in parts}
    return finish(request, sets["train"], sets.get("test"), sets.get("select"))


def _set(file: NpzFile, part: str, labels: NDArray[np.int64], names: tuple[str, ...], name: str) -> ImageData:
    key = file.first(_IMAGES[part]) or ""
    pixels = _pixels(file, key)
    if len(pixels) != len(labels):
        raise BadInput(f"expected {len(pixels)} labels for {key} in {file.path}, got {len(labels)}")
    if not len(pixels):
        raise BadInput(f"expected pictures in {key} of {file.path}, got 0")
    region = file.optional(f"{_PREFIX[part]}region")
    if region is not None and (region.dtype.kind not in "fiu" or region.shape != (len(labels), 4)):
        raise BadInput(
            f"expected region as numbers ({len(labels)}, 4) in {file.path}, got {region.dtype} {region.shape}"
        )
    groups = file.optional(f"{_PREFIX[part]}groups")
    if groups is not None:
        if groups.shape != (len(labels),) or groups.dtype.kind not in "iuUS":
            raise BadInput(f"expected groups ({len(labels)},) in {file.path}, got {groups.dtype} {groups.shape}")
        groups = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    values = Labels(labels, None if region is None else region.astype(np.float32))
    return ImageData(ArrayStore(pixels), values, names, groups, name)


def _labels(file: NpzFile, part: str) -> NDArray[np.int64]:
    key = file.first(_LABELS[part])
    if key is None:
        raise BadInput(f"expected {' or '.join(_LABELS[part])} beside the pictures in {file.path}, got none; add it")
    raw = file.array(key)
    if raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    if raw.dtype.kind not in "biuf" or (raw.dtype.kind == "f" and not bool(np.all(raw == np.rint(raw)))):
        raise BadInput(f"expected whole numbers in {key} of {file.path}, got {raw.dtype}; number the classes from 0")
    if raw.ndim == 2:
        one_hot = bool(np.all((raw == 0) | (raw == 1)) and np.all(raw.sum(axis=1) == 1))
        if not one_hot:
            raise BadInput(f"expected one class for each picture in {key} of {file.path}, got several (multi-label)")
        raw = raw.argmax(axis=1)
    if raw.ndim != 1:
        raise BadInput(f"expected labels (n,), (n, 1) or one-hot (n, k) in {key} of {file.path}, got {raw.shape}")
    values: NDArray[np.int64] = raw.astype(np.int64)
    if len(values) and values.min() < 0:
        raise BadInput(f"expected labels from 0 in {key} of {file.path}, got {values.min()}")
    return values


def _class_names(file: NpzFile, classes: int) -> tuple[str, ...]:
    listed = file.optional("class_names")
    if listed is None:
        return tuple(map(str, range(classes)))
    if listed.ndim != 1 or listed.dtype.kind not in "US" or len(listed) < classes:
        raise BadInput(
            f"expected class_names of {file.path} as at least {classes} strings, got {listed.dtype} {listed.shape}"
        )
    return tuple(n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in listed.tolist())


def _pixels(file: NpzFile, key: str) -> Pixels:
    """The pictures ``key`` as uint8 (n, h, w, c), a view of the file where it is mapped."""
    header = file.headers[key]
    wrong = f"expected pictures as uint8 or floats 0..1 in {key} of {file.path}, got {header.dtype}"
    if header.dtype.kind == "f":
        return _channels_last(file.rounded(key), key, file.path)
    if header.dtype != np.uint8:
        raise BadInput(f"{wrong}; convert them")
    return _channels_last(file.array(key), key, file.path)


def _channels_last(array: Array, key: str, path: Path) -> Pixels:
    if array.ndim == 3:
        return array[..., None]
    if array.ndim == 4 and array.shape[3] in (1, 3):
        return array
    if array.ndim == 4 and array.shape[1] in (1, 3):
        return array.transpose(0, 2, 3, 1)
    raise BadInput(
        f"expected pictures (n, h, w), (n, h, w, c) or (n, c, h, w) with c 1 or 3 in {key} of {path}, got {array.shape}"
    )


@dataclass(frozen=True)
class _Header:
    """What a ``.npy`` header says; ``length`` is how many bytes it has itself."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    length: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class NpzFile:
    """Arrays of a ``.npz`` by key; those of more than ``map_above`` bytes are memory-mapped.

    An array that is stored plainly is mapped where it lies in the zip; a compressed one is unpacked once, to the cache.
    """

    def __init__(self, path: Path, *, map_above: int) -> None:
        self.path = path
        self.map_above = map_above
        self.headers: Mapping[str, _Header] = self._read_headers()

    @property
    def keys(self) -> Sequence[str]:
        """Names of the arrays."""
        return sorted(self.headers)

    def first(self, names: Sequence[str]) -> str | None:
        """The first of ``names`` that is there."""
        return next((name for name in names if name in self.headers), None)

    def optional(self, key: str) -> Array | None:
        """An array, or None."""
        return self.array(key) if key in self.headers else None

    def array(self, key: str) -> Array:
        """One array, mapped when it is large."""
        header = self.headers[key]
        if header.nbytes > self.map_above:
            mapped = self._mapped(key, header)
            if mapped is not None:
                return mapped
        with self._open(key) as stream:
            return self._body(stream, key, header)

    def rounded(self, key: str) -> Pixels:
        """Floats 0..1 as uint8 0..255, converted a part at a time; through the cache when that is large."""
        source = self.array(key)
        shape = source.shape
        if math.prod(shape) <= self.map_above:
            return self._round_into(np.empty(shape, np.uint8), source, key)

        def write(folder: Path) -> None:
            out = np.lib.format.open_memmap(folder / "array.npy", mode="w+", dtype=np.uint8, shape=shape)
            self._round_into(out, source, key)
            out.flush()

        entry = cache.entry("npz", self._cache_key(key, rounded=True), write, _loads)
        if entry is None:
            return self._round_into(np.empty(shape, np.uint8), source, key)
        mapped: Pixels = np.load(entry / "array.npy", mmap_mode="r", allow_pickle=False)
        return mapped

    def _round_into(self, out: Pixels, source: Array, key: str) -> Pixels:
        step = max(1, _STEP_BYTES // max(1, source[:1].nbytes))
        for start in range(0, len(source), step):
            part = source[start : start + step]
            if part.size and not (part.min() >= 0 and part.max() <= 1):  # NaN fails both
                raise BadInput(
                    f"expected floats from 0 to 1 in {key} of {self.path}, got {part.min():g} to {part.max():g}; "
                    "scale them, or store uint8"
                )
            out[start : start + step] = np.rint(part.astype(np.float64) * 255)
        return out

    def _mapped(self, key: str, header: _Header) -> Array | None:
        """A map of the array in the zip or of its copy in the cache; None where the cache cannot be written."""
        with self._zip() as archive:
            info = archive.getinfo(f"{key}.npy")
        if info.compress_type == zipfile.ZIP_STORED:
            order: Any = "F" if header.fortran else "C"
            offset = self._data_offset(info) + header.length
            return np.memmap(self.path, header.dtype, mode="r", offset=offset, shape=header.shape, order=order)

        def write(folder: Path) -> None:
            with self._open(key) as stream, (folder / "array.npy").open("wb") as out:
                _copy(stream, out, self.path)

        entry = cache.entry("npz", self._cache_key(key, rounded=False), write, _loads)
        if entry is None:
            return None
        mapped: Array = np.load(entry / "array.npy", mmap_mode="r", allow_pickle=False)
        return mapped

    def _data_offset(self, info: zipfile.ZipInfo) -> int:
        """Where an entry's bytes begin: after its local header, whose extra field may differ from the directory's."""
        with self.path.open("rb") as file:
            file.seek(info.header_offset)
            local = file.read(30)
        if len(local) != 30 or local[:4] != b"PK\x03\x04":
            raise self._truncated("its directory points to no entry")
        name_length, extra_length = struct.unpack("<HH", local[26:30])
        return int(info.header_offset) + 30 + int(name_length) + int(extra_length)

    def _cache_key(self, key: str, *, rounded: bool) -> dict[str, Any]:
        state = self.path.stat()
        file = {"path": self.path.resolve(), "size": state.st_size, "mtime": state.st_mtime_ns}
        return {"format": 1, **file, "key": key, "rounded": rounded}

    def _read_headers(self) -> dict[str, _Header]:
        with self._zip() as archive:
            names = [name[:-4] for name in archive.namelist() if name.endswith(".npy")]
        return {name: self._header(name) for name in names}

    def _header(self, key: str) -> _Header:
        with self._open(key) as stream:
            return self._parse(stream, key)

    def _parse(self, stream: IO[bytes], key: str) -> _Header:
        try:
            version = np.lib.format.read_magic(stream)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, fortran, dtype = read(stream)
        except (EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise self._truncated(str(error)) from None
        except (ValueError, KeyError) as error:
            raise BadInput(f"expected a plain array {key} in {self.path}, got a damaged one ({error})") from None
        if dtype.hasobject:
            raise BadInput(
                f"expected arrays of numbers in {self.path}, got objects in {key}; "
                "save it again as numbers: pickled objects are never read"
            )
        return _Header(shape, fortran, dtype, stream.tell())

    def _body(self, stream: IO[bytes], key: str, header: _Header) -> Array:
        self._parse(stream, key)
        try:
            content = stream.read()
        except (EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise self._truncated(str(error)) from None
        if len(content) != header.nbytes:
            raise BadInput(f"expected {header.nbytes} bytes of {key} in {self.path}, got {len(content)}")
        flat = np.frombuffer(content, header.dtype)
        return flat.reshape(header.shape, order="F" if header.fortran else "C")

    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
            raise self._truncated(str(error)) from None
        except OSError as error:
            raise BadInput(f"expected a readable .npz file at {self.path}, got {error.strerror or error}") from None

    def _open(self, key: str) -> IO[bytes]:
        try:
            with self._zip() as archive:  # an open entry keeps the file open by itself
                return archive.open(f"{key}.npy")
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise self._truncated(str(error)) from None

    def _truncated(self, reason: str) -> BadInput:
        return BadInput(
            f"expected a whole .npz file at {self.path}, got a truncated or damaged one ({reason}); get it again"
        )


def _copy(stream: IO[bytes], out: IO[bytes], path: Path) -> None:
    """Unpack an entry; damage in it is the source's fault and no reason to distrust the cache."""
    try:
        shutil.copyfileobj(stream, out, 1 << 20)
    except (EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise BadInput(f"expected a whole .npz file at {path}, got a truncated or damaged one ({error})") from None


def _loads(entry: Path) -> bool:
    """Whether the array of a cache entry has all its bytes."""
    try:
        np.load(entry / "array.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return False
    return True
