"""Pictures and labels out of arrays of any layout and type, as people store them in NumPy's ``.npz`` files (read into
memory, mapped in place, or streamed through the cache) and in HDF5."""

from __future__ import annotations

import math
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from badnets.core.cache import MAP_ABOVE, Cache
from badnets.core.errors import BadInput, first_line
from badnets.core.files import identity_of
from badnets.core.seed import Seed, as_seed
from badnets.data.images import ImageData, Labels, Pixels, Splits
from badnets.data.registry import source
from badnets.data.request import Request, finish
from badnets.data.splits import split

Array = NDArray[Any]
STEP_BYTES = 16 << 20
"""How much is converted at a time."""
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_DAMAGED = (OSError, RuntimeError, ValueError, KeyError, MemoryError)  # what h5py raises on files not whole

_IMAGES = {"train": ("x_train", "train_images", "images"), "test": ("x_test", "test_images"), "select": ("val_images",)}
_LABELS = {"train": ("y_train", "train_labels", "labels"), "test": ("y_test", "test_labels"), "select": ("val_labels",)}
_PREFIX = {"train": "", "test": "test_", "select": "val_"}
_MAPPED: Cache[Array] = Cache("npz", lambda path: np.load(path, mmap_mode="r", allow_pickle=False), ".npy")


@source("npz", "pictures and labels in a NumPy .npz file", needs_path=True)
def load_npz(request: Request) -> Splits:
    """Pictures and labels of a ``.npz`` file; nothing in it is ever unpickled.

    Keys: ``x_train, y_train, x_test, y_test``; or ``images, labels`` (and ``test_images, test_labels``); or
    ``train_images, train_labels, val_images, ...``; beside them ``class_names``, ``groups`` and ``region`` (and
    ``test_groups``, ...). Pictures and labels may be what ``pixels_of`` and ``class_numbers`` take. Pictures of more
    than the option ``map_above`` bytes are memory-mapped, with the same result.
    """
    options = request.settings(map_above=MAP_ABOVE)
    file = NpzFile(request.given_path(), map_above=options["map_above"])
    parts = [part for part in _IMAGES if file.first(_IMAGES[part]) is not None]
    if "train" not in parts:
        keys = ", ".join(sorted(file.headers)) or "nothing"
        raise BadInput(
            f"expected x_train and y_train, or images and labels, in {file.path}, got {keys}; rename the arrays"
        )
    sets = {part: _set(file, part, request.name) for part in parts}
    names = _class_names(file, max(data.classes for data in sets.values()))
    sets = {part: replace(data, class_names=names) for part, data in sets.items()}
    return finish(request, sets["train"], sets.get("test"), sets.get("select"))


def _set(file: NpzFile, part: str, name: str) -> ImageData:
    label = file.first(_LABELS[part])
    if label is None:
        raise BadInput(f"expected {' or '.join(_LABELS[part])} beside the pictures in {file.path}, got none; add it")
    labels = class_numbers(file.array(label), label, file.path)
    key = file.first(_IMAGES[part]) or ""
    pixels = file.pixels(key)
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
    region = None if region is None else region.astype(np.float32)
    return ImageData.of(pixels, labels, region=region, groups=groups, name=name)


def _class_names(file: NpzFile, classes: int) -> tuple[str, ...]:
    listed = file.optional("class_names")
    if listed is None:
        return tuple(map(str, range(classes)))
    if listed.ndim != 1 or listed.dtype.kind not in "US" or len(listed) < classes:
        raise BadInput(
            f"expected class_names of {file.path} as at least {classes} strings, got {listed.dtype} {listed.shape}"
        )
    return tuple(n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in listed.tolist())


class _Header(NamedTuple):
    """What a ``.npy`` header says; ``length`` is how many bytes it has itself, ``info`` where it lies in the zip."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    length: int
    info: zipfile.ZipInfo


class NpzFile:
    """Arrays of a ``.npz`` by key; those of more than ``map_above`` bytes are memory-mapped.

    An array that is stored plainly is mapped where it lies in the zip; a compressed one is unpacked once, to the cache.
    """

    def __init__(self, path: Path, *, map_above: int) -> None:
        self.path = path
        self.map_above = map_above
        with self._zip() as archive:
            infos = {info.filename[:-4]: info for info in archive.infolist() if info.filename.endswith(".npy")}
        self.headers = {name: self._header(name, info) for name, info in infos.items()}

    def first(self, names: Sequence[str]) -> str | None:
        """The first of ``names`` that is there."""
        return next((name for name in names if name in self.headers), None)

    def optional(self, key: str) -> Array | None:
        """An array, or None."""
        return self.array(key) if key in self.headers else None

    def array(self, key: str) -> Array:
        """One array, mapped when it is large."""
        header = self.headers[key]
        if math.prod(header.shape) * header.dtype.itemsize <= self.map_above:
            with self._reading(key) as stream:
                return npy.read_array(stream, allow_pickle=False)
        if header.info.compress_type == zipfile.ZIP_STORED:
            order: Any = "F" if header.fortran else "C"
            offset = self._data_offset(header.info) + header.length
            return np.memmap(self.path, header.dtype, mode="r", offset=offset, shape=header.shape, order=order)

        def write(path: Path) -> None:
            with path.open("wb") as out, self._reading(key) as stream:
                shutil.copyfileobj(stream, out, 1 << 20)

        return self._kept(key, write, rounded=False)

    def pixels(self, key: str) -> Pixels:
        """Pictures as uint8 (n, h, w, c): a view of the file where they are mapped; others are converted a part at a
        time, through the cache when that is large."""
        array = self.array(key)
        if array.dtype == np.uint8:
            return channels_last(array, key, self.path)
        if array.size <= self.map_above:
            return pixels_of(array, key, self.path)

        def write(path: Path) -> None:
            pixels_of(array, key, self.path, lambda shape: npy.open_memmap(path, "w+", np.uint8, shape))

        return self._kept(key, write, rounded=True)

    def _data_offset(self, info: zipfile.ZipInfo) -> int:
        """Where an entry's bytes begin: after its local header, whose extra field may differ from the directory's."""
        with self.path.open("rb") as file:
            file.seek(info.header_offset)
            local = file.read(30)
        if len(local) != 30 or local[:4] != b"PK\x03\x04":
            raise self._damaged("its directory points to no entry")
        name_length, extra_length = struct.unpack("<HH", local[26:30])
        return int(info.header_offset) + 30 + int(name_length) + int(extra_length)

    def _kept(self, key: str, write: Callable[[Path], None], *, rounded: bool) -> Array:
        file = {"path": self.path.resolve(), "file": identity_of(self.path.stat())}
        return _MAPPED.get({"format": 1, **file, "key": key, "rounded": rounded}, write)

    def _header(self, key: str, info: zipfile.ZipInfo) -> _Header:
        with self._reading(key) as stream:
            read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(stream)]
            shape, fortran, dtype = read(stream)
            length = stream.tell()
        if dtype.hasobject:
            raise BadInput(
                f"expected arrays of numbers in {self.path}, got objects in {key}; "
                "save it again as numbers: pickled objects are never read"
            )
        return _Header(shape, fortran, dtype, length, info)

    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
            raise self._damaged(str(error)) from None
        except OSError as error:
            raise BadInput(f"expected a readable .npz file at {self.path}, got {error.strerror or error}") from None

    @contextmanager
    def _reading(self, key: str) -> Iterator[IO[bytes]]:
        """The bytes of an array; damage in them is the file's fault, and no reason to distrust the cache."""
        try:
            with self._zip() as archive, archive.open(f"{key}.npy") as stream:
                yield stream
        except (EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise self._damaged(str(error)) from None
        except (ValueError, KeyError) as error:
            raise BadInput(f"expected a plain array {key} in {self.path}, got a damaged one ({error})") from None

    def _damaged(self, reason: str) -> BadInput:
        return BadInput(
            f"expected a whole .npz file at {self.path}, got a truncated or damaged one ({reason}); get it again"
        )


def class_numbers(raw: Array, key: str, path: Path) -> NDArray[np.int64]:
    """Labels (n,) from whole numbers of any type, (n,) or (n, 1), or one-hot (n, k); all else is refused."""
    if raw.dtype.kind not in "biuf":
        raise BadInput(f"expected whole numbers from 0 as {key} in {path}, got {raw.dtype}; number the classes")
    if raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    if raw.ndim == 2:
        if not (np.isin(raw, (0, 1)).all() and (raw.sum(axis=1) == 1).all()):
            raise BadInput(f"expected one class for each picture as {key} in {path}, got none or several in one row")
        raw = raw.argmax(axis=1)
    if raw.ndim != 1:
        raise BadInput(f"expected {key} as (n,), (n, 1) or one-hot (n, k) in {path}, got {raw.shape}")
    wrong = np.flatnonzero(~(np.isfinite(raw) & (raw == np.rint(raw)) & (raw >= 0)))
    if len(wrong):
        raise BadInput(f"expected whole numbers from 0 as {key} in {path}, got {raw[wrong[0]]} in row {wrong[0]}")
    return raw.astype(np.int64)


def channels_last(array: Array, key: str, path: Path) -> Array:
    """A view (n, h, w, c) of (n, h, w), (n, h, w, c) or (n, c, h, w), with c 1 or 3."""
    if array.ndim == 3:
        return array[..., None]
    if array.ndim == 4 and array.shape[3] in (1, 3):
        return array
    if array.ndim == 4 and array.shape[1] in (1, 3):
        return array.transpose(0, 2, 3, 1)
    raise BadInput(
        f"expected pictures (n, h, w), (n, h, w, c) or (n, c, h, w) with c 1 or 3 as {key} in {path}, got {array.shape}"
    )


def pixels_of(
    array: Any, key: str, path: Path, new: Callable[[tuple[int, ...]], Pixels] = lambda shape: np.empty(shape, np.uint8)
) -> Pixels:
    """uint8 (n, h, w, c), converted a part at a time into what ``new(shape)`` makes; ``array`` is NumPy's or h5py's.

    Pictures (n, h, w), (n, h, w, c) or (n, c, h, w), with c 1 or 3, are whole numbers 0..255 of any type, floats too,
    or floats 0..1, which are scaled to 0..255 and rounded.
    """
    scale = 1 if array.dtype == np.uint8 else _scale(array, key, path)
    out = new((len(array), *channels_last(np.empty((0, *array.shape[1:]), np.uint8), key, path).shape[1:]))
    for rows, part in _parts(array):
        pictures = channels_last(part, key, path)
        out[rows] = pictures if scale == 1 else np.rint(pictures.astype(np.float64) * scale)
    return out


def _parts(array: Any) -> Iterator[tuple[slice, Array]]:
    """(rows, those rows), some megabytes at a time."""
    step = max(1, STEP_BYTES // max(1, array.dtype.itemsize * int(np.prod(array.shape[1:]))))
    for start in range(0, len(array), step):
        rows = slice(start, min(start + step, len(array)))
        yield rows, array[rows]


def _scale(array: Any, key: str, path: Path) -> int:
    """1 for whole numbers 0..255, 255 for floats 0..1; everything else is refused."""
    if array.dtype.kind not in "biuf":
        raise BadInput(f"expected pictures as numbers as {key} in {path}, got {array.dtype}; convert them")
    low, high, whole = np.inf, -np.inf, True
    for _, part in _parts(array):
        if not part.size:
            continue
        low, high = min(low, float(part.min())), max(high, float(part.max()))
        if not np.isfinite(part).all():
            raise BadInput(f"expected finite numbers as {key} in {path}, got NaN or infinity; mend the file")
        whole = whole and (part.dtype.kind != "f" or bool(np.all(part == np.rint(part))))
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return 255
    if low < 0 or high > 255 or not whole:
        got = f"{low:g} to {high:g}{'' if whole else ', not all whole'}"
        raise BadInput(
            f"expected pictures as whole numbers 0..255 or floats 0..1 as {key} in {path}, got {got}; scale them"
        )
    return 1


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5 by its first bytes, or by its ending when there is something else in it."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_HDF5)) == _HDF5 or path.suffix.lower() in (".h5", ".hdf5", ".hdf", ".he5")


@source("hdf5", "pictures and labels in an HDF5 file (options test, classes)", needs_path=True)
def load_hdf5(request: Request) -> Splits:
    """Datasets ``data`` (n, c, h, w), or (n, h, w, c), and ``label`` (n,) or (n, 1); c is 1 or 3.

    Numbers are those of ``.npz`` files (``pixels_of``, ``class_numbers``). Class names are "0" to the highest label.
    Options: ``test`` is the path of a second such file, the test set; without it a share is split off. ``classes`` is
    how many classes there are, if more than the labels show (0: as they show).

    The split is stratified, except where most classes have a single picture: then whole classes (the persons) are drawn
    at random, and nobody is on both sides.

    Source: the layout of the data of CSAW-HackML-2020 (N. Vora's study reads it).
    """
    options = request.settings(classes=0, test="")
    path = request.given_path()
    sets = [read_hdf5(path, name=request.name)]
    if options["test"]:
        other = Path(options["test"]).expanduser()
        if other.exists() and other.samefile(path):
            raise BadInput(f"expected another file than {path} as the option test, got the same; name another")
        sets.append(read_hdf5(other, name=request.name))
    count = max(part.classes for part in sets)
    if options["classes"] and options["classes"] < count:
        raise BadInput(f"expected labels 0..{options['classes'] - 1} in {path} (option classes), got {count - 1}")
    names = tuple(map(str, range(options["classes"] or count)))
    sets = [replace(part, class_names=names) for part in sets]
    often = np.unique(sets[0].labels, return_counts=True)[1]
    if 2 * np.count_nonzero(often == 1) <= len(often):
        return finish(request, *sets)
    seed = as_seed(request.seed)
    if len(sets) == 1:
        sets = [*_split_classes(sets[0], request.test_share, seed.derive("test"))]
    if request.select:
        train, select = _split_classes(sets[0], request.select, seed.derive("select"))
        sets = [train, sets[1], select]
    return finish(request, *sets)


def read_hdf5(path: Path, *, name: str = "data") -> ImageData:
    """All pictures of one file, in its order; the rest is as in ``load_hdf5``."""
    import h5py

    if not path.exists():
        raise BadInput(f"expected an HDF5 file at {path}, got nothing; check the path")
    try:
        with h5py.File(path, "r") as file:
            data, label = (_dataset(file, key, path) for key in ("data", "label"))
            labels = class_numbers(np.asarray(label[()]), "label", path)
            pixels = pixels_of(data, "data", path)
    except _HDF5_DAMAGED as error:
        raise BadInput(
            f"expected a whole HDF5 file at {path}, got a truncated or damaged one or something else "
            f"({first_line(error)}); get it again"
        ) from None
    if len(pixels) != len(labels):
        raise BadInput(f"expected {len(pixels)} labels in {path}, one for each picture, got {len(labels)}")
    return ImageData.of(pixels, labels, name=name)


def _dataset(file: Any, key: str, path: Path) -> Any:
    """One dataset of numbers; what is there in its place is said."""
    import h5py

    if "layer_names" in file.attrs or "model_weights" in file:
        raise BadInput(
            f"expected pictures in {path} (data and label), got the weights of a Keras network; "
            "it belongs in the place of MODEL, with its architecture"
        )
    dataset = file.get(key)
    if not isinstance(dataset, h5py.Dataset):
        there = ", ".join(sorted(file)[:8]) or "nothing"
        raise BadInput(f"expected datasets data and label in {path}, got {there}; rename them")
    if dataset.dtype.kind not in "biuf" or not dataset.size:
        raise BadInput(f"expected numbers as {key} in {path}, got {dataset.dtype} {dataset.shape}")
    return dataset


def _split_classes(data: ImageData, share: float, seed: Seed) -> tuple[ImageData, ImageData]:
    """``(rest, part)`` with whole classes on one side: each class is a group, and all are of one stratum."""
    as_one = replace(data, targets=Labels(np.zeros(len(data), np.int64)), groups=data.labels)
    sides = split(as_one, share, seed)
    rest, part = (replace(side, targets=Labels(np.asarray(side.groups)), groups=None) for side in sides)
    return rest, part
