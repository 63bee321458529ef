"""What is kept between runs: downloads, decoded pictures, drawn signs.

The cache may be deleted at any time. Where it cannot be written, work goes on without it, after one ``CacheWarning``.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from badnets.core.files import digest

MAP_ABOVE = 256 << 20
"""Arrays of more bytes than this are memory-mapped, smaller ones are read into memory. The pictures are the same."""


class DataWarning(UserWarning):
    """The data was usable, but not all of it: an empty class folder, a skipped file."""


class CacheWarning(UserWarning):
    """The cache could not be written; the next run will have to work again."""


def cache_dir() -> Path:
    """``$BADNETS_CACHE``, else the platform's cache folder (``$XDG_CACHE_HOME`` or ``~/.cache``) and ``badnets``."""
    own = os.environ.get("BADNETS_CACHE")
    if own:
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else None)
    return (Path(base) if base else Path.home() / ".cache") / "badnets"


def warn_unwritable(reason: OSError) -> None:
    """Say once that the cache is of no use."""
    what = reason.strerror or str(reason)
    warnings.warn(
        f"the cache {cache_dir()} cannot be written ({what}): going on without it; set BADNETS_CACHE to another folder",
        CacheWarning,
        stacklevel=3,
    )


def entry(
    kind: str, key: Mapping[str, Any], write: Callable[[Path], None], whole: Callable[[Path], bool] = Path.is_dir
) -> Path | None:
    """The folder of one cache entry, made by ``write(new folder)`` the first time; None where it cannot be written.

    ``key`` is everything that the content depends on (plain JSON values). ``whole(folder)`` says whether an entry found
    can be used; a damaged one is made anew. The folder appears whole or not at all. An ``OSError`` from ``write`` is
    taken for the cache's fault, so ``write`` must report a source it cannot read in another way.
    """
    folder = cache_dir() / kind / digest(dict(key))[:32]
    if folder.is_dir() and whole(folder):
        return folder
    partial: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
        write(partial)
        if folder.is_dir():
            if whole(folder):  # another process was faster
                return folder
            shutil.rmtree(folder)
        partial.rename(folder)
    except OSError as error:
        warn_unwritable(error)
        return None
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return folder
