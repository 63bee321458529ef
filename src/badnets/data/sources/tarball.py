"""Reading tar archives once, from front to back, without writing anything to disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from badnets.core.errors import BadInput

_SUFFIX = re.compile(r"\.(tar(\.(gz|bz2|xz))?|tgz|tbz2?|txz)$", re.IGNORECASE)


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
    """Takes a tar without its end mark for a truncated one; tarfile would take it for a whole one."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> _StrictInfo:
        try:
            return super().fromtarfile(tarfile)
        except _EMPTY_HEADER as error:
            raise EOFError(str(error)) from None


# Not in tarfile's public list, but the only sign of a missing end mark.
_EMPTY_HEADER = cast("type[Exception]", vars(tarfile)["EmptyHeaderError"])


@contextmanager
def _unpacked(path: Path) -> Iterator[tuple[Any, Any]]:
    """(the file, the stream of tar blocks in it); gzip's own reader is used because it checks the CRC."""
    with path.open("rb") as file:
        magic = file.read(6)
        file.seek(0)
        if magic[:2] == b"\x1f\x8b":
            stream: Any = gzip.GzipFile(fileobj=file)
        elif magic[:3] == b"BZh":
            stream = bz2.BZ2File(file)
        elif magic == b"\xfd7zXZ\0":
            stream = lzma.LZMAFile(file)
        else:
            stream = file
        yield file, stream


def read_members(path: Path, wanted: tuple[str, ...] | None = None) -> Iterator[Member]:
    """The folders and files of an archive, in its order; with ``wanted`` only files with these (lower-case) endings.

    A member with an absolute path, ``..``, a link that leaves, or a device is refused as soon as it is met; whoever
    reads must use nothing before the iterator is exhausted. A truncated or damaged archive is refused too.
    """
    try:
        with (
            _unpacked(path) as (file, stream),
            tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20, tarinfo=_StrictInfo) as tar,
        ):
            for info in tar:
                _check(path, info)
                # tarfile would keep every header of a long archive.
                cast("list[tarfile.TarInfo]", tar.members).clear()
                if info.isdir():
                    yield Member(_plain(info.name), None, file.tell())
                elif info.isreg() and (wanted is None or info.name.lower().endswith(wanted)):
                    yield Member(_plain(info.name), _content(tar, info), file.tell())
            while stream.read(1 << 20):  # to the end, where the checksum is
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
