"""The search order of named sets: the path given, ``$BADNETS_DATA``, the cache, a download."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from badnets.core.cache import cache_dir, instead, lock
from badnets.core.errors import BadInput
from badnets.data.formats.tarball import is_tar
from badnets.data.request import Request
from badnets.data.sets.download import Remote, fetch_all

Found = TypeVar("Found")


def locate(
    set_name: str,
    request: Request,
    find: Callable[[Path], Found | None],
    *,
    wanted: str,
    folders: Sequence[str],
    remotes: Sequence[Remote],
    absent: str = "",
) -> Found:
    """What ``find(place)`` gives at the first place that has the set.

    ``wanted`` says in an error what was looked for, ``folders`` are names that the set's folder may have below
    ``$BADNETS_DATA``, ``remotes`` the files to download at last; where there are none, ``absent`` says what to
    do, and the places where the set may be put follow. A path that the user gave must have it.
    """
    if request.path is not None:
        found = find(request.path)
        if found is None:
            got = "other files" if request.path.exists() else "nothing"
            raise BadInput(f"expected {set_name} ({wanted}) at {request.path}, got {got}; check the path")
        return found
    home = cache_dir() / "data" / set_name
    for place in (*_in_data_folder(folders), home):
        found = find(place) if place.exists() else None
        if found is not None:
            return found
    if not remotes:
        raise BadInput(f"{absent} in $BADNETS_DATA or in {home}, or give its path")
    home = _download(set_name, remotes, home, request)
    found = find(home)
    if found is None:
        raise BadInput(f"expected {set_name} ({wanted}) in {home}, got other files; delete that folder")
    return found


def _in_data_folder(folders: Sequence[str]) -> list[Path]:
    """Places in ``$BADNETS_DATA``: the set's own folder by any of its names, then the files directly."""
    named = os.environ.get("BADNETS_DATA")
    if not named:
        return []
    base = Path(named).expanduser()
    if not base.is_dir():
        raise BadInput(f"expected a folder in BADNETS_DATA, got {named}; correct or unset it")
    return [*(base / folder for folder in folders), base]


def _download(set_name: str, remotes: Sequence[Remote], home: Path, request: Request) -> Path:
    """The folder that holds the downloaded files: ``home``, or a temporary one where the cache cannot be written."""
    try:
        with lock(f"data-{set_name}"):
            fetch_all(set_name, remotes, home, progress=request.progress)
    except OSError as error:
        home = instead(error)
        fetch_all(set_name, remotes, home, progress=request.progress)
    return home


def archive_in(place: Path, prefixes: tuple[str, ...], is_it: Callable[[Path], bool]) -> Path | None:
    """The first archive of a set right below ``place`` whose (lower-case) name begins in a telling way."""
    inside = sorted(place.iterdir()) if place.is_dir() else []
    return next((p for p in inside if p.name.lower().startswith(prefixes) and is_tar(p) and is_it(p)), None)
