"""What is kept between runs: downloads, decoded pictures, drawn signs, clean references.

The cache may be deleted at any time. Where it cannot be written, work goes on in a temporary folder, after one
``CacheWarning``.
"""

from __future__ import annotations

import atexit
import os
import warnings
import zlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar
from zipfile import BadZipFile

from filelock import FileLock
from platformdirs import user_cache_path

from badnets.core.errors import BadInput
from badnets.core.files import digest, discard, file_digest, temporary_folder, tidy

MAP_ABOVE = 256 << 20
"""Arrays of more bytes than this are memory-mapped, smaller ones are read into memory. The pictures are the same."""

# What readers raise on a damaged entry; a changed byte in a zip can also look like encryption, a RuntimeError.
_DAMAGED = (OSError, ValueError, TypeError, LookupError, EOFError, RuntimeError, BadZipFile, zlib.error, BadInput)
T = TypeVar("T")


class DataWarning(UserWarning):
    """The data was usable, but not all of it: an empty class folder, a skipped file."""


def warn_of_data(message: str) -> None:
    """A ``DataWarning`` at whoever called for the data."""
    warnings.warn(message, DataWarning, stacklevel=5)


class CacheWarning(UserWarning):
    """The cache could not be written, or had a damaged entry: the next run, or this one, has to work again."""


def cache_dir() -> Path:
    """``$BADNETS_CACHE``, else ``badnets`` in ``$XDG_CACHE_HOME`` or in the platform's cache folder."""
    given, base = os.environ.get("BADNETS_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if given:
        try:
            return Path(given).expanduser().absolute()
        except RuntimeError:
            raise BadInput(f"expected a folder in BADNETS_CACHE, got {given}: there is no such user") from None
    return Path(base) / "badnets" if base else user_cache_path("badnets", appauthor=False, opinion=False)


def lock(name: str) -> FileLock:
    """Held by one process at a time, others wait. Raises ``OSError`` where the cache cannot be written."""
    folder = cache_dir() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name}.lock")


def instead(reason: OSError, home: Path | None = None) -> Path:
    """``home``, or a temporary folder that is gone when the program ends, for the cache; one warning says why."""
    _warn_unwritable(cache_dir(), reason.strerror or str(reason))
    if home is not None:
        return home
    until_the_end = ExitStack()
    try:
        folder = until_the_end.enter_context(temporary_folder())
    except OSError as error:
        raise BadInput(f"expected a folder that can be written, got none ({error}); set BADNETS_CACHE to one") from None
    atexit.register(until_the_end.close)
    return folder


@cache
def _warn_unwritable(folder: Path, reason: str) -> None:
    warnings.warn(
        f"the cache {folder} cannot be written ({reason}): going on without it; set BADNETS_CACHE to another folder",
        CacheWarning,
        stacklevel=4,
    )


@dataclass(frozen=True)
class Cache(Generic[T]):
    """All entries of a ``kind``. ``read(path)`` gives the value of an entry, and raises any error where it is damaged.
    An entry is a file with this ``suffix``, or without one a folder."""

    kind: str
    read: Callable[[Path], T]
    suffix: str = ""

    def get(self, key: Mapping[str, Any], write: Callable[[Path], None], *, home: Path | None = None) -> T:
        """The value of ``key`` (plain JSON values: everything that the value depends on), always as ``read`` gives it.

        ``write(path)`` makes the entry the first time: it fills an empty folder, or writes the file. The entry appears
        whole or not at all; of several processes one makes it, and the others wait. Its name ends in the digest of its
        content, which is compared whenever it is read; a damaged one is made anew, after one ``CacheWarning``. An
        ``OSError`` of ``write`` is taken for the cache's fault, and ``write`` is then called again with a path in
        ``home`` (default: a temporary folder); so it must report a source that cannot be read in another way.
        """
        folder, name = cache_dir() / self.kind, digest(dict(key))[:32]
        try:
            tidy(folder / self.kind)
            if value := self._there(folder, name):
                return value[0]
            with lock(f"{name}{self.suffix}"):
                if value := self._there(folder, name):
                    return value[0]
                for damaged in folder.glob(f"{name}-*"):
                    warnings.warn(f"damaged in the cache, and made anew: {damaged}", CacheWarning, stacklevel=3)
                return self._made(folder, name, write)
        except OSError as error:
            folder = instead(error, home)
        try:
            return self._made(folder, name, write)
        except OSError as error:
            raise BadInput(f"expected room in {folder}, got {error}; set BADNETS_CACHE to a folder") from None

    def find(self, key: Mapping[str, Any]) -> T | None:
        """The value of ``key`` where it is kept and whole; nothing is made."""
        try:
            value = self._there(cache_dir() / self.kind, digest(dict(key))[:32])
        except OSError:
            return None
        return value[0] if value else None

    def _there(self, folder: Path, name: str) -> tuple[()] | tuple[T]:
        """The value in a tuple, or an empty one where there is none, or a damaged one."""
        for place in folder.glob(f"{name}-*"):
            try:
                if place.name == self._named(name, place):
                    return (self.read(place),)
            except _DAMAGED:
                continue
        return ()

    def _made(self, folder: Path, name: str, write: Callable[[Path], None]) -> T:
        with temporary_folder(folder / self.kind) as temporary:
            partial = temporary / f"{name}{self.suffix}"
            if not self.suffix:
                partial.mkdir()
            write(partial)
            place = folder / self._named(name, partial)
            for other in folder.glob(f"{name}*"):  # damaged, or of a version that kept no digests
                discard(other)
            partial.rename(place)
        return self.read(place)

    def _named(self, name: str, content: Path) -> str:
        """The name of an entry with this content."""
        inside = sorted(path for path in content.rglob("*") if path.is_file())
        parts = {path.relative_to(content).as_posix(): file_digest(path) for path in inside}
        return f"{name}-{digest(parts if content.is_dir() else file_digest(content))[:32]}{self.suffix}"
