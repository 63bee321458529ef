"""The files of a folder or of a tar archive, one after another: pictures, and tables that lie beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from badnets.core.errors import BadInput
from badnets.core.files import digest
from badnets.data.formats.decode import Picture
from badnets.data.formats.layout import ignored
from badnets.data.formats.tarball import is_tar, read_members


class Contents:
    """Files with these (lower-case) ``endings``: of an archive in its order, of a folder sorted by path.

    Hidden files and folders and the shadows of macOS are left out; links are followed, loops are not. ``total`` is what
    positions count to: the bytes of an archive, the files of a folder. ``folders`` are all there are, empty ones too;
    of an archive they are known when it has been read.
    """

    def __init__(self, place: Path, endings: tuple[str, ...]) -> None:
        self.place = place
        self.folders: set[str] = set()
        self._endings = endings
        self._files: list[tuple[str, os.stat_result]] | None = None if is_tar(place) else sorted(self._walk())
        self.total = place.stat().st_size if self._files is None else len(self._files)

    @property
    def identity(self) -> dict[str, Any]:
        """What changes when the files do."""
        own = {"path": self.place.resolve()}
        if self._files is None:
            state = self.place.stat()
            return {**own, "size": state.st_size, "mtime": state.st_mtime_ns}
        files = digest([(path, state.st_size, state.st_mtime_ns) for path, state in self._files])
        return {**own, "files": files, "folders": digest(sorted(self.folders))}

    def __iter__(self) -> Iterator[Picture]:
        if self._files is not None:
            for position, (path, state) in enumerate(self._files, start=1):
                yield Picture(path, self.place / path, state.st_size, position)
            return
        for member in read_members(self.place, self._endings):
            if ignored(member.path):
                continue
            if member.content is not None:
                yield Picture(member.path, member.content, len(member.content), member.position)
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
            self.folders |= {(below / name).as_posix() for name in folders}
            for name in files:
                file = Path(base, name)
                if name.lower().endswith(self._endings) and not ignored(name) and file.is_file():
                    yield (below / name).as_posix(), file.stat()


def content_of(file: Picture) -> bytes:
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
        verdict = judge(member.path, member.content)
        if verdict is not None:
            return verdict
        others += not expected(member.path)
        if others > most:
            return False
    return False


def _unreadable(error: OSError) -> None:
    raise BadInput(f"expected a readable folder at {error.filename}, got {error.strerror}") from None
