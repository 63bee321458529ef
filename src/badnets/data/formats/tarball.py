"""Reading tar archives once, from front to back, without writing anything to disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tarfile import HeaderError
from typing import Any

from badnets.core.errors import BadInput

_SUFFIX = re.compile(r"\.(tar(\.(gz|bz2|xz))?|tgz|tbz2?|txz)$", re.IGNORECASE)

_BLOCK = 1 << 14  # tarfile copies the rest of its block at each read, so large blocks are slow


def is_tar(path: Path) -> bool:
    """Whether a file has the name of a tar archive."""
    return path.is_file() and _SUFFIX.search(path.name) is not None


def stem(path: Path) -> str:
    """The name without the endings of an archive: ``cifar10-jpeg`` of ``cifar10-jpeg.tar.gz``."""
    if path.is_dir():
        return path.resolve().name
    bare = _SUFFIX.sub("", path.name)
    return bare if bare != path.name else path.stem


@dataclass(frozen=True)
class Member:
    """One entry: ``path`` below the archive's root with ``/`` between parts; ``content`` is None for a folder."""

    path: str
    content: bytes | None
    position: int


class _StrictInfo(tarfile.TarInfo):
    """Takes an archive without its end mark for a truncated one; tarfile would stop there as if it were whole."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> _StrictInfo:
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":  # the end mark; tarfile does not export its class
                raise
            raise EOFError(str(error)) from None


@contextmanager
def _unpacked(path: Path) -> Iterator[tuple[Any, Any]]:
    """(the file, the stream of tar blocks in it); gzip's own reader is used because it checks the CRC."""
    readers: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
        (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
        (b"BZh", bz2.BZ2File),
        (b"\xfd7zXZ\0", lzma.LZMAFile),
    )
    with path.open("rb") as file:
        magic = file.read(6)
        file.seek(0)
        reader = next((reader for start, reader in readers if magic.startswith(start)), None)
        if reader is None:
            yield file, file
        else:
            with reader(file) as stream:
                yield file, stream


def read_members(path: Path, wanted: tuple[str, ...] | None = None) -> Iterator[Member]:
    """The folders and files of an archive, in its order; with ``wanted`` only files with these (lower-case) endings.

    A member with an absolute path, ``..``, a link that leaves, or a device is refused as soon as it is met; whoever
    reads must use nothing before the iterator is exhausted. A truncated or damaged archive is refused too.
    """
    try:
        with (
            _unpacked(path) as (file, stream),
            tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCK, tarinfo=_StrictInfo) as tar,
        ):
            while (info := tar.next()) is not None:
                _check(path, info)
                vars(tar)["members"].clear()  # tarfile would keep every header of a long archive
                if info.isdir():
                    yield Member(_plain(info.name), None, file.tell())
                elif info.isreg() and (wanted is None or info.name.lower().endswith(wanted)):
                    yield Member(_plain(info.name), _content(tar, info), file.tell())
            while stream.read(_BLOCK):  # to the end, where the checksum is
                pass
    except (EOFError, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise BadInput(f"expected a whole tar archive at {path}, got a truncated or damaged one ({error})") from None
    except OSError as error:
        raise BadInput(f"expected a readable tar archive at {path}, got {error.strerror or error}") from None


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    content = file.read() if file is not None else b""
    if len(content) != info.size:
        raise EOFError(f"{info.name} is cut off")
    return content


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _leaves(name: str, start: str = "") -> bool:
    """Whether a path (relative to the folder ``start``) leads out of the archive."""
    slashed = name.replace("\\", "/")
    if slashed.startswith("/") or re.match(r"[A-Za-z]:", slashed):
        return True
    depth = 0
    for part in (*start.split("/"), *slashed.split("/")):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            return True
    return False


def _check(path: Path, info: tarfile.TarInfo) -> None:
    if ".." in info.name.replace("\\", "/").split("/") or _leaves(info.name):
        raise BadInput(
            f"expected paths inside the archive in {path}, got a path that leaves its folder: {info.name!r}; "
            "do not trust this archive"
        )
    if info.ischr() or info.isblk() or info.isfifo():
        raise BadInput(f"expected files and folders in {path}, got a device: {info.name!r}; do not trust this archive")
    start = str(PurePosixPath(_plain(info.name)).parent) if info.issym() else ""
    if (info.issym() or info.islnk()) and _leaves(info.linkname, start):
        raise BadInput(
            f"expected links inside the archive in {path}, got a path that leaves its folder: "
            f"{info.name!r} links to {info.linkname!r}; do not trust this archive"
        )
