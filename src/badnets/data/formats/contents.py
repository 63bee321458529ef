"""The files of a folder or of a tar archive, one after another; of an archive without writing anything to disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import posixpath
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tarfile import HeaderError
from typing import Any

from badnets.core.cache import warn_of_data
from badnets.core.errors import BadInput
from badnets.core.files import digest, identity_of, read_bytes
from badnets.core.limits import HEADER, MEMBER, STRAYS, check_name, check_unpacked
from badnets.core.text import brief, listed

_SUFFIX = re.compile(r"\.(tar(\.(gz|bz2|xz))?|tgz|tbz2?|txz)$", re.IGNORECASE)
_BESIDE = (
    *(".txt", ".csv", ".tsv", ".md", ".rst", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".html", ".htm"),
    *(".pdf", ".ini", ".db", ".log", ".py", ".sh", ".ipynb", ".names", ".data", ".sha256", ".md5"),
    *("readme", "license", "licence", "copying", "makefile"),
)
"""How files end that lie beside pictures and are none: nobody misses them."""
_BLOCK = 1 << 14  # tarfile copies the rest of its block at each read, so large blocks are slow


@dataclass(frozen=True)
class File:
    """One file: its ``path`` below the folder or the archive's root with ``/`` between parts, its bytes or where they
    are (None for a folder of an archive), how many they are, and how far in the source it lies, for showing progress.
    """

    path: str
    content: bytes | Path | None
    length: int
    position: int = 0

    def read(self) -> bytes:
        """All its bytes."""
        return read_bytes(self.content, MEMBER) if isinstance(self.content, Path) else self.content or b""


def ignored(path: str) -> bool:
    """Whether a path is hidden, or one of the shadows that macOS puts into archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))


class Contents:
    """Files with these (lower-case) ``endings``: of an archive in its order, of a folder sorted by path.

    Hidden files and folders and the shadows of macOS are left out; links are followed, loops are not. ``total`` is what
    positions count to: the bytes of an archive, the files of a folder. ``folders`` are all there are, empty ones too,
    ``strays`` the files with other endings, less texts, tables and the like; of an archive they are known when it has
    been read.
    """

    def __init__(self, place: Path, endings: tuple[str, ...]) -> None:
        self.place = place
        self.folders: set[str] = set()
        self.strays: set[str] = set()
        self._endings = endings
        self._files: list[tuple[str, os.stat_result]] | None = None if is_tar(place) else sorted(self._walk())
        self.total = place.stat().st_size if self._files is None else len(self._files)

    @property
    def identity(self) -> dict[str, Any]:
        """What changes when the files do."""
        path = self.place.resolve()
        if self._files is None:
            return {"path": path, "file": identity_of(self.place.stat())}
        files = digest([(path, *identity_of(state)) for path, state in self._files])
        beside = {"folders": digest(sorted(self.folders)), "strays": digest(sorted(self.strays))}
        return {"path": path, "files": files, **beside}

    @property
    def left_out(self) -> str:
        """How many files were left out for their endings, and which the first are; empty without any."""
        count, some = len(self.strays), listed([brief(path, 60) for path in sorted(self.strays)])
        left = "1 file was" if count == 1 else f"{count} files were"
        return f"{left} left out, not named as pictures that are read: {some}" if count else ""

    def warn_of_strays(self) -> None:
        """Say which files were left out."""
        if self.strays:
            warn_of_data(f"{self.place}: {self.left_out}; convert them, or name them as what they are")

    def _stray(self, path: str) -> None:
        if not path.lower().endswith(_BESIDE):
            self.strays.add(path.encode("utf-8", "replace").decode())

    def __iter__(self) -> Iterator[File]:
        if self._files is not None:
            for position, (path, state) in enumerate(self._files, start=1):
                yield File(path, self.place / path, state.st_size, position)
            return
        for member in read_members(self.place, self._endings, stray=self._stray):
            if ignored(member.path):
                continue
            if member.content is not None:
                yield member
            elif member.path:
                self.folders.add(member.path)

    def _walk(self) -> Iterator[tuple[str, os.stat_result]]:
        seen: set[str] = set()
        for base, folders, files in os.walk(self.place, followlinks=True, onerror=_unreadable):
            real = os.path.realpath(base)
            folders[:] = [] if real in seen else sorted(name for name in folders if not ignored(name))
            if real in seen:
                continue
            seen.add(real)
            below = Path(base).relative_to(self.place)
            self.folders |= {(below / check_name(name, self.place)).as_posix() for name in folders}
            for name in files:
                file = Path(base, name)
                if ignored(name) or not file.is_file():
                    continue
                path = (below / name).as_posix()
                if name.lower().endswith(self._endings):
                    check_name(name, self.place)
                    yield path, file.stat()
                else:
                    self._stray(path)


def _unreadable(error: OSError) -> None:
    raise BadInput(f"expected a readable folder at {error.filename}, got {error.strerror}") from None


def content_of(file: File) -> bytes:
    """All bytes of a file."""
    try:
        return file.read()
    except OSError as error:
        raise BadInput(f"expected a readable file at {file.content!s}, got {error.strerror or error}") from None


def told_early(
    place: Path, judge: Callable[[str, bytes], bool | None], expected: Callable[[str], bool], most: int
) -> bool:
    """Whether an archive is of some kind, by its first files: ``judge(path, content)`` says yes, no, or None for go on.

    ``expected(path)`` are files that may come before the telling one; after ``most`` others the answer is no, so that a
    large archive of another kind is not read to its end.
    """
    others = 0
    for member in read_members(place):
        if member.content is None or ignored(member.path):
            continue
        verdict = judge(member.path, member.read())
        if verdict is not None:
            return verdict
        others += not expected(member.path)
        if others > most:
            return False
    return False


def is_tar(path: Path) -> bool:
    """Whether a file has the name of a tar archive."""
    return path.is_file() and _SUFFIX.search(path.name) is not None


def stem(path: Path) -> str:
    """The name without the endings of an archive: ``cifar10-jpeg`` of ``cifar10-jpeg.tar.gz``. It goes into records, so
    bytes in it that are no UTF-8 are replaced."""
    bare = path.resolve().name if path.is_dir() else _SUFFIX.sub("", path.name)
    name = path.stem if bare == path.name and not path.is_dir() else bare
    return name.encode("utf-8", "replace").decode()


class _StrictInfo(tarfile.TarInfo):
    """Takes an archive without its end mark for a truncated one; tarfile would stop there as if it were whole. What a
    header claims is looked at before anything is read for it."""

    _EXTENSIONS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME)

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _StrictInfo:
        info = super().frombuf(buf, encoding, errors)
        if info.type == tarfile.GNUTYPE_SPARSE:
            raise _Sparse
        if info.type in (*cls._EXTENSIONS, tarfile.GNUTYPE_LONGLINK):
            HEADER.check(info.size, "the archive")
        return info

    def _proc_gnusparse_10(self, *_: object) -> None:
        """The map of a sparse file, in a member's body, may be of any length."""
        raise _Sparse

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> _StrictInfo:
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":  # the end mark; tarfile does not export its class
                raise
            raise EOFError(str(error)) from None


class _Sparse(Exception):
    """A file with holes, of which a header alone says how large it is."""


class _Counted:
    """A stream of an archive, counted against the bytes of the ``file`` that it is unpacked from."""

    def __init__(self, stream: Any, file: Any, path: Path) -> None:
        self._stream, self._file, self._path = stream, file, path
        self._done = 0

    def read(self, size: int) -> bytes:
        block: bytes = self._stream.read(size)
        self._done += len(block)
        check_unpacked(self._done, self._file.tell(), self._path)
        return block


@contextmanager
def _unpacked(path: Path) -> Iterator[tuple[Any, Any]]:
    """(the file, the stream of tar blocks in it); gzip's own reader is used because it checks the CRC."""
    readers: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
        (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
        (b"BZh", bz2.BZ2File),
        (b"\xfd7zXZ\0", lzma.LZMAFile),
        (b"", nullcontext),
    )
    with path.open("rb") as file:
        magic = file.read(6)
        file.seek(0)
        with next(reader for start, reader in readers if magic.startswith(start))(file) as stream:
            yield file, _Counted(stream, file, path)


def read_members(
    path: Path, wanted: tuple[str, ...] | None = None, *, stray: Callable[[str], None] = lambda path: None
) -> Iterator[File]:
    """The folders and files of an archive, in its order; with ``wanted`` only files with these (lower-case) endings,
    and ``stray`` is told of the others. Without, too, files that are larger than any that is read have no content.

    A member with an absolute path, ``..``, a link that leaves, a device, or one that claims more than the budget is
    refused as soon as it is met; whoever reads must use nothing before the iterator is exhausted. A truncated or
    damaged archive is refused too.
    """
    strays = 0
    try:
        with (
            _unpacked(path) as (file, stream),
            tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCK, tarinfo=_StrictInfo) as tar,
        ):
            while (info := tar.next()) is not None:
                _check(path, info)
                # tarfile would look for the end of what claims to be that large.
                check_unpacked(info.offset_data + info.size, path.stat().st_size, path)
                vars(tar)["members"].clear()  # tarfile would keep every header of a long archive
                if info.isreg() and (wanted is None or info.name.lower().endswith(wanted)):
                    if wanted is not None:
                        MEMBER.check(info.size, f"{path} ({brief(info.name)})")
                    content = _content(tar, info) if info.size <= MEMBER.now else b""
                    yield File(_plain(info.name), content, info.size, file.tell())
                    continue
                strays += 1
                STRAYS.check(strays + len(tar.pax_headers), path)
                if info.isdir():
                    yield File(_plain(info.name), None, 0, file.tell())
                elif info.isreg() and not ignored(_plain(info.name)):
                    stray(_plain(info.name))
            while stream.read(_BLOCK):  # to the end, where the checksum is
                pass
    except _Sparse:
        raise BadInput(f"expected plain files in {path}, got a sparse one; pack it again without") from None
    except (EOFError, tarfile.TarError, ValueError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        got = brief(error)
        raise BadInput(f"expected a whole tar archive at {path}, got a truncated or damaged one ({got})") from None
    except OSError as error:
        got = error.strerror or brief(error)
        raise BadInput(f"expected a readable tar archive at {path}, got {got}") from None


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    content = file.read() if file is not None else b""
    if len(content) != info.size:
        raise EOFError(f"{info.name} is cut off")
    return content


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def leaves(name: str, start: str = "") -> bool:
    """Whether a path (relative to the folder ``start``) leads out of the archive."""
    slashed = name.replace("\\", "/")
    if re.match("/|[A-Za-z]:", slashed):
        return True
    return posixpath.normpath(posixpath.join(start, slashed)).split("/")[0] == ".."


def _check(path: Path, info: tarfile.TarInfo) -> None:
    check_name(info.name, path)
    name = brief(repr(info.name))
    if info.issparse():
        raise _Sparse
    if info.size < 0:
        raise EOFError(f"a size of {info.size}")
    if ".." in info.name.replace("\\", "/").split("/") or leaves(info.name):
        raise BadInput(
            f"expected paths inside the archive in {path}, got a path that leaves its folder: {name}; "
            "do not trust this archive"
        )
    if info.ischr() or info.isblk() or info.isfifo():
        raise BadInput(f"expected files and folders in {path}, got a device: {name}; do not trust this archive")
    start = posixpath.dirname(_plain(info.name)) if info.issym() else ""
    if (info.issym() or info.islnk()) and leaves(info.linkname, start):
        raise BadInput(
            f"expected links inside the archive in {path}, got a path that leaves its folder: "
            f"{name} links to {brief(repr(info.linkname))}; do not trust this archive"
        )
