"""NumPy's ``.npz`` files: what each array claims is looked at first; then it is read, or mapped in place, or unpacked
into the cache. Nothing in one is ever unpickled."""

from __future__ import annotations

import lzma
import math
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from badnets.core.cache import Cache
from badnets.core.errors import BadInput, first_line
from badnets.core.files import check_regular, identity_of
from badnets.core.limits import ARRAYS, Limit, check_unpacked
from badnets.core.text import brief
from badnets.data.formats.convert import Array, channels_last, pixels_of
from badnets.data.images import Pixels

DAMAGE = (OSError, EOFError, RuntimeError, OverflowError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, struct.error)
"""What zipfile raises on files that are not whole."""
_ENTRY = 256  # bytes of an entry in a zip's directory, generously
_MAPPED: Cache[Array] = Cache("npz", lambda path: np.load(path, mmap_mode="r", allow_pickle=False), ".npy")


class Header(NamedTuple):
    """What a ``.npy`` header says; ``length`` is how many bytes it has itself, ``info`` where it lies in the zip."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    length: int
    info: zipfile.ZipInfo

    @property
    def nbytes(self) -> int:
        """Of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


class NpzFile:
    """Arrays of a ``.npz`` by key; those of more than ``map_above`` bytes are memory-mapped.

    An array that is stored plainly is mapped where it lies in the zip; a compressed one is unpacked once, to the cache.
    Refused is a file of which an array claims another size than it has in the zip, or which grows too much.
    """

    def __init__(self, path: Path, *, map_above: int) -> None:
        self.path = path
        self.map_above = map_above
        check_regular(path, "a .npz file")
        with self._zip() as archive:
            listed = archive.infolist()
            ARRAYS.check(len(listed), path)
            check_unpacked(sum(info.file_size for info in listed), path.stat().st_size, path)
            infos = {info.filename[:-4]: info for info in listed if info.filename.endswith(".npy")}
            self.headers = {name: self._header(archive, name, info) for name, info in infos.items()}

    def first(self, names: Sequence[str]) -> str | None:
        """The first of ``names`` that is there."""
        return next((name for name in names if name in self.headers), None)

    def optional(self, key: str) -> Array | None:
        """An array, or None."""
        return self.array(key) if key in self.headers else None

    def array(self, key: str) -> Array:
        """One array, mapped when it is large."""
        header = self.headers[key]
        if header.nbytes <= self.map_above:
            with self._zip() as archive, self._reading(archive, key) as stream:
                return npy.read_array(stream, allow_pickle=False)
        if header.info.compress_type == zipfile.ZIP_STORED:
            order: Any = "F" if header.fortran else "C"
            offset = self._data_offset(header.info) + header.length
            if offset + header.nbytes > self.path.stat().st_size:
                raise self._damaged(f"{brief(key)} reaches beyond its end")
            return np.memmap(self.path, header.dtype, mode="r", offset=offset, shape=header.shape, order=order)

        def write(path: Path) -> None:
            with path.open("wb") as out, self._zip() as archive, self._reading(archive, key) as stream:
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

    def _header(self, archive: zipfile.ZipFile, key: str, info: zipfile.ZipInfo) -> Header:
        with self._reading(archive, key) as stream:
            try:
                read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(stream)]
                shape, fortran, dtype = read(stream)
            except DAMAGE:
                raise
            except (MemoryError, RecursionError):
                raise ValueError("its header has brackets without end") from None
            except Exception as error:  # noqa: BLE001  # numpy parses Python there: it raises whatever Python does
                raise ValueError(first_line(error)) from None
            length = stream.tell()
        if dtype.hasobject:
            raise BadInput(
                f"expected arrays of numbers in {self.path}, got objects in {brief(key)}; "
                "save it again as numbers: pickled objects are never read"
            )
        header = Header(shape, fortran, dtype, length, info)
        if min(shape, default=0) < 0 or length + header.nbytes != info.file_size:
            what, got = f"an array {brief(key)} as large as it says", f"{brief(dtype)} {brief(shape)}"
            raise BadInput(f"expected {what} in {self.path}, got {got} in {info.file_size:,} bytes; save it again")
        return header

    @contextmanager
    def _zip(self) -> Iterator[zipfile.ZipFile]:
        try:
            check_directory(self.path, ARRAYS)
            archive = zipfile.ZipFile(self.path)
        except OSError as error:
            got = error.strerror or first_line(error)
            raise BadInput(f"expected a readable .npz file at {self.path}, got {got}") from None
        except (*DAMAGE, ValueError) as error:
            raise self._damaged(first_line(error)) from None
        with archive:
            yield archive

    @contextmanager
    def _reading(self, archive: zipfile.ZipFile, key: str) -> Iterator[IO[bytes]]:
        """The bytes of an array; damage in them is the file's fault, and no reason to distrust the cache."""
        try:
            with archive.open(f"{key}.npy") as stream:
                yield stream
        except DAMAGE as error:
            raise self._damaged(first_line(error)) from None
        except (ValueError, KeyError) as error:
            what = f"expected a plain array {brief(key)} in {self.path}"
            raise BadInput(f"{what}, got a damaged one ({brief(first_line(error))})") from None

    def _damaged(self, reason: str) -> BadInput:
        return BadInput(
            f"expected a whole .npz file at {self.path}, got a truncated or damaged one ({brief(reason)}); get it again"
        )


def check_directory(path: Path, most: Limit) -> None:
    """Refuse a zip file whose directory is too large for ``most`` entries, before zipfile reads all of it."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 16) - 100))
        tail = file.read()
    for mark, first, last in ((b"PK\5\6", 12, 16), (b"PK\6\6", 40, 48)):
        at = tail.rfind(mark)
        if at >= 0:
            size = int.from_bytes(tail[at + first : at + last], "little")
            most.check(size // _ENTRY if size < 0xFFFFFFFF or mark == b"PK\6\6" else 0, path)
