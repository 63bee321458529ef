"""Where named sets are looked for: the path given, ``$BADNETS_DATA``, the cache, a download.

Files from the network are resumed, checked, and only then given their name.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import os
import ssl
import urllib.error
import urllib.request
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from badnets.core.cache import CacheWarning, cache_dir, instead, lock
from badnets.core.errors import BadInput
from badnets.core.files import expanded, stream_digest, write_text
from badnets.data.formats.contents import is_tar
from badnets.data.request import Progress, Request

Place = TypeVar("Place")

TIMEOUT = 20.0
"""Seconds without an answer after which a server counts as absent."""

_BLOCK = 1 << 18
_ATTEMPTS = 3


class UnreachableError(Exception):
    """No server gave the file; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file to download.

    ``urls`` are tried in order. ``sha256`` (hex) is of the file, or with ``unpacked`` of what the gzip file holds, so
    that a mirror that packed it anew is as good.
    """

    file: str
    urls: tuple[str, ...]
    sha256: str
    unpacked: bool = False

    def __post_init__(self) -> None:
        for url in self.urls:
            if not url.startswith(("http://", "https://")):
                raise BadInput(f"expected an http or https address for {self.file}, got {url}")


def locate(
    set_name: str,
    request: Request,
    find: Callable[[Path], Place | None],
    *,
    wanted: str,
    folders: Sequence[str],
    remotes: Sequence[Remote] = (),
    absent: str = "",
) -> Place:
    """What ``find(place)`` gives at the first place that has the set.

    ``wanted`` says in an error what was looked for, ``folders`` are names that the set's folder may have below
    ``$BADNETS_DATA``, ``remotes`` the files to download at last; where there are none, ``absent`` says what to
    do, and the places where the set may be put follow. A path that the user gave must have it.
    """
    if request.path is not None:
        if (there := find(request.path)) is not None:
            return there
        got = "other files" if request.path.exists() else "nothing"
        raise BadInput(f"expected {set_name} ({wanted}) at {request.path}, got {got}; check the path")
    home = cache_dir() / "data" / set_name
    places = [home]
    if named := os.environ.get("BADNETS_DATA"):
        base = expanded(named)
        if not base.is_dir():
            raise BadInput(f"expected a folder in BADNETS_DATA, got {named}; correct or unset it")
        places = [*(base / folder for folder in folders), base, home]
    _put_damaged_aside(remotes, home)
    for place in places:
        if place.exists() and (there := find(place)) is not None:
            return there
    if not remotes:
        raise BadInput(f"{absent} in $BADNETS_DATA or in {home}, or give its path")
    try:
        with lock(f"data-{set_name}"):
            fetch_all(set_name, remotes, home, progress=request.progress)
    except OSError as error:  # the cache cannot be written
        home = instead(error)
        fetch_all(set_name, remotes, home, progress=request.progress)
    if (there := find(home)) is not None:
        return there
    raise BadInput(f"expected {set_name} ({wanted}) in {home}, got other files; delete that folder")


def _put_damaged_aside(remotes: Sequence[Remote], home: Path) -> None:
    """Take its name from a file that was downloaded into the cache and is no longer what it was; one warning says so.
    Its bytes are kept as a partial download until a server gives the right ones. Files that the user put there are left
    alone."""
    for remote in remotes:
        path = home / remote.file
        fetched = path.is_file() and _note(path).is_file()
        if fetched and content_sha256(path, unpacked=remote.unpacked) != remote.sha256:
            warnings.warn(f"damaged in the cache, and fetched anew: {path}", CacheWarning, stacklevel=4)
            with contextlib.suppress(OSError):
                path.replace(_partial(path))


def archive_in(place: Path, prefixes: tuple[str, ...], is_it: Callable[[Path], bool]) -> Path | None:
    """The first archive of a set right below ``place`` whose (lower-case) name begins in a telling way."""
    inside = sorted(place.iterdir()) if place.is_dir() else []
    return next((p for p in inside if p.name.lower().startswith(prefixes) and is_tar(p) and is_it(p)), None)


def content_sha256(path: Path, *, unpacked: bool) -> str:
    """SHA-256 (hex) of a file, or of what a gzip file holds; ``"damaged"`` where that cannot be unpacked."""
    try:
        with gzip.open(path) if unpacked else path.open("rb") as file:
            return stream_digest(file)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return "damaged"


def fetch(remote: Remote, folder: Path, *, progress: Progress | None = None, timeout: float = TIMEOUT) -> Path:
    """``folder/remote.file``, downloaded unless it is there.

    The bytes go to ``<file>.partial``; what is there of an earlier try is continued with a Range request. The file gets
    its name once its SHA-256 is right. Raises ``UnreachableError`` when no server gives it, ``BadInput`` when what they
    gave is something else, ``OSError`` when the folder cannot be written.
    """
    target = folder / remote.file
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    partial = _partial(target)
    reasons: list[str] = []
    wrong: str | None = None
    for url in remote.urls:
        # A partial file may be of another version: after a wrong hash the same server gets one try from the start.
        for resumed in (partial.exists(), False):
            try:
                _transfer(url, partial, remote.file, progress, timeout)
            except UnreachableError as error:
                reasons.append(str(error))
                break
            got = content_sha256(partial, unpacked=remote.unpacked)
            if got == remote.sha256:
                write_text(_note(target), f"{got}\n")
                partial.replace(target)
                return target
            partial.unlink()
            wrong = f"expected SHA-256 {remote.sha256} of {remote.file} from {url}, got {got}"
            if not resumed:
                break
    if wrong is not None:
        raise BadInput(f"{wrong}; put the right file in {folder}, or give its path")
    raise UnreachableError("; ".join(dict.fromkeys(reasons)))


def _note(target: Path) -> Path:
    """Beside a downloaded file: that it was downloaded, and its SHA-256."""
    return target.with_name(f".{target.name}.sha256")


def _partial(target: Path) -> Path:
    return target.with_name(f"{target.name}.partial")


def fetch_all(
    name: str, remotes: Sequence[Remote], folder: Path, *, progress: Progress | None = None, timeout: float = TIMEOUT
) -> None:
    """Every file of the set ``name``; without network the error says which files to put where."""
    try:
        for remote in remotes:
            fetch(remote, folder, progress=progress, timeout=timeout)
    except UnreachableError as error:
        missing = ", ".join(remote.file for remote in remotes if not (folder / remote.file).exists())
        raise BadInput(
            f"expected {name} in {folder}, got no network ({error}); put {missing} there or give its path"
        ) from None


def _transfer(url: str, partial: Path, what: str, progress: Progress | None, timeout: float) -> None:
    """All of ``url`` into ``partial``; a connection that breaks is taken up again, a few times."""
    broken = "the connection broke"
    for _ in range(_ATTEMPTS):
        try:
            if _transfer_once(url, partial, what, progress, timeout):
                return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and partial.exists():  # nothing is left to send: the check of the hash decides
                return
            raise UnreachableError(f"{url}: {error.code} {error.reason}") from None
        except urllib.error.URLError as error:
            raise UnreachableError(f"{url}: {error.reason}") from None
        except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
            broken = str(error) or type(error).__name__
    raise UnreachableError(f"{url}: {broken}")


def _transfer_once(url: str, partial: Path, what: str, progress: Progress | None, timeout: float) -> bool:
    """One connection; True when everything has come."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "badnets", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=timeout) as response:
        sent = str(response.headers.get("Content-Range", ""))  # a server may send another part, or all
        start = have if response.status == 206 and sent.startswith(f"bytes {have}-") else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None else 0
        done = start
        with partial.open("r+b" if start else "wb") as file:
            file.seek(start)
            while block := response.read(_BLOCK):
                file.write(block)
                done += len(block)
                if progress is not None:
                    progress(f"downloading {what}", done, total)
            file.truncate()
    return not total or done >= total
