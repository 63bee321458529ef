"""Packed bytes, unpacked piece by piece within the budget: their begin, to see what they are, or all; and tar."""

from __future__ import annotations

import bz2
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from badnets.core.errors import first_line
from badnets.networks.scan.look import Look, Part
from badnets.networks.scan.sniffing import HEAD, last_of

_PIECE = 1 << 18
_ANYTHING = re.compile(b"[^\0]")
_MEMORY = 128 << 20  # that xz may ask for
_ENDINGS = (".gz", ".bz2", ".xz", ".z", ".lzma")


class _Unpacker(Protocol):
    eof: bool
    unused_data: bytes

    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Zlib:
    """zlib's, which speaks otherwise than bz2's and lzma's."""

    def __init__(self, bits: int) -> None:
        self._inner = zlib.decompressobj(bits)
        self._tail = b""

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._tail

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        found = self._inner.decompress(self._tail + data, max_length)
        self._tail = self._inner.unconsumed_tail
        return found


Make = Callable[[], Any]
METHODS: dict[int, Make] = {
    8: lambda: _Zlib(-15),
    12: bz2.BZ2Decompressor,
    14: lambda: _Whole(zipfile.LZMADecompressor()),  # type: ignore[attr-defined]  # its header is zip's own
}
"""How members of zip archives are packed, by its number; 0 is plain."""
_STREAMS: tuple[tuple[bytes, Make], ...] = (
    (b"\x1f\x8b", lambda: _Zlib(31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ", lambda: lzma.LZMADecompressor(memlimit=_MEMORY)),
    (b"\x5d\0\0", lambda: lzma.LZMADecompressor(memlimit=_MEMORY)),
    (b"\x78", lambda: _Zlib(15)),
)


class _Whole:
    """One that gives all that it has at once; its pieces are small."""

    needs_input = True

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    unused_data = b""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        found: bytes = self._inner.decompress(data)
        return found


DAMAGE = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)
"""What they raise."""


def _pieces(part: Part, make: Make, *, again: bool) -> Iterator[bytes]:
    """What ``part`` unpacks to; ``again``: further streams may follow the first."""
    unpacker: _Unpacker = make()
    at, left = 0, b""
    while not unpacker.eof:
        given = left
        if unpacker.needs_input and not left:
            given = part.read(at, _PIECE)
            at += len(given)
            if not given:
                raise EOFError("it ends in the middle")
        left = b""
        yield unpacker.decompress(given, _PIECE)
        if unpacker.eof and again:
            left = unpacker.unused_data or part.read(at, 0)
            if left or at < part.size:
                unpacker = make()


def begin(part: Part, make: Make) -> bytes:
    """The first bytes of what ``part`` unpacks to, as far as they can be read."""
    found = b""
    try:
        for piece in _pieces(part, make, again=False):
            found += piece
            if len(found) >= HEAD:
                break
    except DAMAGE:
        pass
    return found


def unpacked(part: Part, make: Make, look: Look, *, again: bool = False) -> bytearray:
    """All of it. Raises ``BadInput`` for more than the budget, and what ``DAMAGE`` lists."""
    found = bytearray()
    for piece in _pieces(part, make, again=again):
        look.unpack(len(piece))
        found += piece
    return found


def read_stream(part: Part, look: Look) -> Iterator[Part]:
    """A file packed as one stream."""
    if not look.deeper(part):
        return
    head = part.read(0, 8)
    make = next(make for begins, make in _STREAMS if head.startswith(begins))
    content = unpacked(part, make, look, again=True)
    name = last_of(part.name)
    bare = name.rpartition(".")[0] if name.lower().endswith(_ENDINGS) else name
    if name.lower().endswith(".tgz"):
        bare = f"{name[:-4]}.tar"
    yield part.inner(bare, content, 0, len(content))


def read_tar(part: Part, look: Look) -> Iterator[Part]:
    """The members of a tar archive."""
    if not look.deeper(part):
        return
    try:
        with tarfile.open(fileobj=_Window(part), mode="r:", errorlevel=0) as tar:
            for info in tar:
                look.count()
                here = part.inner(info.name, part.data, part.start, part.start)
                look.name(here, info.name)
                if info.issym() or info.islnk():
                    look.link(here, info.name if info.issym() else "", info.linkname)
                elif info.issparse():
                    look.tell(here, "not-read", "a member with holes")
                elif info.isreg():
                    first = part.start + info.offset_data
                    yield part.inner(info.name, part.data, first, min(first + info.size, part.end))
                elif not info.isdir():
                    look.tell(here, "outside", "a device or a pipe")
            behind = _ANYTHING.search(part.data, min(part.start + tar.offset, part.end), part.end)  # type: ignore[call-overload]
            if behind is not None:
                yield part.inner("(behind the archive)", part.data, behind.start(), part.end)
    except (tarfile.TarError, *DAMAGE) as error:
        look.tell(part, "damaged", f"a tar archive that cannot be read on ({first_line(error)})")


class _Window(io.RawIOBase):
    """A part as a file."""

    def __init__(self, part: Part) -> None:
        self._part, self._at = part, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._part.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        found = self._part.read(self._at, None if size < 0 else size)
        self._at += len(found)
        return found
