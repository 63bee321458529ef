"""The files of a folder or of a tar archive, one after another, for sources that have tables beside their pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from badnets.core.errors import BadInput
from badnets.data.formats.decode import Picture
from badnets.data.formats.layout import ignored
from badnets.data.formats.tarball import is_tar, read_members


def contents(place: Path, endings: tuple[str, ...]) -> Iterator[Picture]:
    """Files with these (lower-case) endings: of an archive in its order, of a folder sorted by path.

    Hidden files and folders and the shadows of macOS are left out; links are followed, loops are not. Tables come in
    the same form as pictures.
    """
    if is_tar(place):
        for member in read_members(place, endings):
            if member.content is not None and not ignored(member.path):
                yield Picture(member.path, member.content, len(member.content), member.position)
        return
    for position, path in enumerate(sorted(_walk(place, endings)), start=1):
        file = place / path
        if file.is_file():
            yield Picture(path, file, file.stat().st_size, position)


def content_of(file: Picture) -> bytes:
    """All bytes of a file."""
    try:
        return file.content if isinstance(file.content, bytes) else file.content.read_bytes()
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


def _walk(place: Path, endings: tuple[str, ...]) -> Iterator[str]:
    seen: set[str] = set()
    for base, folders, files in os.walk(place, followlinks=True, onerror=_unreadable):
        real = os.path.realpath(base)
        folders[:] = [] if real in seen else sorted(name for name in folders if not ignored(name))
        if real in seen:
            continue
        seen.add(real)
        below = Path(base).relative_to(place)
        yield from ((below / n).as_posix() for n in files if n.lower().endswith(endings) and not ignored(n))


def _unreadable(error: OSError) -> None:
    raise BadInput(f"expected a readable folder at {error.filename}, got {error.strerror}") from None
