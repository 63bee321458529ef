"""One file of a catalogue: downloaded, resumed, held against its digest, kept in the cache, put where it belongs."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError

from badnets.core.cache import cache_dir, lock
from badnets.core.errors import BadInput
from badnets.core.files import file_digest, whole_file
from badnets.core.progress import Watcher
from badnets.core.text import brief
from badnets.trust.catalogue.fetching import Fetcher
from badnets.trust.catalogue.refusals import refusal

_ATTEMPTS = 3
Others = Callable[[], Mapping[str, str]]
"""Names of other files by their SHA-256."""


@dataclass(frozen=True)
class Wanted:
    """A file as it was signed."""

    name: str
    url: str
    sha256: str
    size: int


def download(wanted: Wanted, fetcher: Fetcher, watcher: Watcher, others: Others) -> Path:
    """The file in the cache, with the bytes that were signed. What is there of an earlier try is continued, where the
    server can do that.

    Raises ``BadInput`` that says whether what came was endless, cut short, another entry's or changed.
    """
    folder = cache_dir() / "catalogues" / "files"
    kept, partial = folder / wanted.sha256, folder / f"{wanted.sha256}.partial"
    with lock(f"target-{wanted.sha256[:32]}"):
        if kept.is_file() and kept.stat().st_size == wanted.size and file_digest(kept) == wanted.sha256:
            return kept
        folder.mkdir(parents=True, exist_ok=True)
        _check_room(folder, wanted, partial)
        # What was left may be somebody else's bytes: after a wrong digest there is one try from the start.
        again = partial.exists()
        while True:
            _transfer(wanted, partial, fetcher, watcher)
            if file_digest(partial) == wanted.sha256:
                partial.replace(kept)
                return kept
            told = None if again else _wrong(wanted, partial, others)
            partial.unlink()
            if told is not None:
                raise told
            again = False


def put(kept: Path, place: Path, wanted: Wanted) -> None:
    """A copy at ``place``, whole or not at all."""
    with whole_file(place) as partial:
        shutil.copyfile(kept, partial)
        if file_digest(partial) != wanted.sha256:
            raise BadInput(f"expected {kept} to stay as it was, got one that changed; try again")


def _transfer(wanted: Wanted, partial: Path, fetcher: Fetcher, watcher: Watcher) -> None:
    """All of it into ``partial``; a connection that breaks is taken up again, a few times."""
    broken: Exception = DownloadError("the connection broke")
    for _ in range(_ATTEMPTS):
        try:
            _transfer_once(wanted, partial, fetcher, watcher)
        except DownloadHTTPError as error:
            if error.status_code == 416 and partial.exists():  # nothing is left to send: the digest decides
                return
            raise refusal(error, wanted.url) from None
        except SlowRetrievalError as error:
            raise refusal(error, wanted.url) from None
        except DownloadError as error:
            broken = error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # nothing half written on a full disk
                partial.unlink(missing_ok=True)
            raise
        else:
            return
    raise refusal(broken, wanted.name)


def _transfer_once(wanted: Wanted, partial: Path, fetcher: Fetcher, watcher: Watcher) -> None:
    have = min(partial.stat().st_size, wanted.size) if partial.exists() else 0
    if have == wanted.size and partial.exists():
        return
    with fetcher.opened(wanted.url, have) as answer, partial.open("r+b" if answer.start else "wb") as file:
        done = answer.start
        file.seek(done)
        for block in answer.blocks:
            done += len(block)
            if done > wanted.size:
                file.truncate(0)
                raise BadInput(
                    f"refused, endless: expected {wanted.size:,} bytes of {wanted.name}, as signed, got more; stopped"
                )
            file.write(block)
            watcher.progress(f"getting {wanted.name}", done, wanted.size, None)
        file.truncate()


def _wrong(wanted: Wanted, partial: Path, others: Others) -> BadInput:
    """What came instead."""
    size, sha = partial.stat().st_size, file_digest(partial)
    other = others().get(sha)
    if other is not None:
        return BadInput(f"refused, swapped: expected {wanted.name}, got the bytes of {brief(other)} in its place")
    if size < wanted.size:
        return BadInput(f"refused, cut short: expected {wanted.size:,} bytes of {wanted.name}, as signed, got {size:,}")
    return BadInput(
        f"refused, changed: expected {wanted.name} with SHA-256 {wanted.sha256[:16]}..., as signed, got {sha[:16]}..."
    )


def _check_room(folder: Path, wanted: Wanted, partial: Path) -> None:
    free = shutil.disk_usage(folder).free + (partial.stat().st_size if partial.exists() else 0)
    if free < wanted.size:
        raise BadInput(
            f"expected room for the {wanted.size:,} bytes of {wanted.name} on the disk of {folder}, got {free:,}"
        )
