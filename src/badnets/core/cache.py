"""What is kept between runs: downloads, decoded pictures, drawn signs, clean references.

The cache may be deleted at any time. Where it cannot be written, work goes on in a temporary folder, after one
``CacheWarning``.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar
from zipfile import BadZipFile

from filelock import FileLock
from platformdirs import user_cache_path

from badnets.core.errors import BadInput
from badnets.core.files import digest, publish_folder

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
        return Path(given).expanduser().absolute()
    return Path(base) / "badnets" if base else user_cache_path("badnets", appauthor=False, opinion=False)


def lock(name: str) -> FileLock:
    """Held by one process at a time, others wait. Raises ``OSError`` where the cache cannot be written."""
    folder = cache_dir() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name}.lock")


def instead(reason: OSError) -> Path:
    """A temporary folder in place of the cache, gone when the program ends; one warning says why."""
    _warn_unwritable(cache_dir(), reason.strerror or str(reason))
    try:
        folder = tempfile.mkdtemp(prefix="badnets-")
    except OSError as error:
        raise BadInput(f"expected a folder that can be written, got none ({error}); set BADNETS_CACHE to one") from None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


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

    def get(self, key: Mapping[str, Any], write: Callable[[Path], None]) -> T:
        """The value of ``key`` (plain JSON values: everything that the value depends on), always as ``read`` gives it.

        ``write(path)`` makes the entry the first time: it fills an empty folder, or writes the file. The entry appears
        whole or not at all; of several processes one makes it, and the others wait. A damaged one is made anew, after
        one ``CacheWarning``. An ``OSError`` of ``write`` is taken for the cache's fault, and ``write`` is then called
        again with a temporary path; so it must report a source that cannot be read in another way.
        """
        place = cache_dir() / self.kind / f"{digest(dict(key))[:32]}{self.suffix}"
        if value := self._there(place):
            return value[0]
        try:
            with lock(place.name):
                if value := self._there(place):
                    return value[0]
                if place.exists():
                    warnings.warn(f"damaged in the cache, and made anew: {place}", CacheWarning, stacklevel=3)
                return self._made(place, write)
        except OSError as error:
            place = instead(error) / place.name
        try:
            return self._made(place, write)
        except OSError as error:
            raise BadInput(f"expected room in {place.parent}, got {error}; set BADNETS_CACHE to a folder") from None

    def _there(self, place: Path) -> tuple[()] | tuple[T]:
        """The value in a tuple, or an empty one where there is none, or a damaged one."""
        if not place.exists():
            return ()
        try:
            return (self.read(place),)
        except _DAMAGED:
            return ()

    def _made(self, place: Path, write: Callable[[Path], None]) -> T:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", suffix=".partial", dir=place.parent) as folder:
            partial = Path(folder, place.name)
            if not self.suffix:
                partial.mkdir()
            write(partial)
            publish_folder(partial, place)
        return self.read(place)
