"""What whoever downloads does: pin a root once, see that what comes is what the publisher has signed last, and keep it.

What is known of a catalogue (its pinned root, the newest metadata, the time) lies in the cache, by its address: without
it the next use has to name the root again. Nobody's word is taken for a root that was not named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from tuf.api.exceptions import DownloadHTTPError, ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater

from badnets.core.cache import cache_dir, lock
from badnets.core.errors import BadInput, nearest
from badnets.core.files import discard, dumps, file_digest, read_bytes, write_text
from badnets.core.limits import TEXT
from badnets.core.progress import Watcher
from badnets.core.text import brief
from badnets.records.catalogue import Entry, Got, Listing
from badnets.trust.catalogue.download import Wanted, download, put
from badnets.trust.catalogue.entries import delegated, entry_of, listing, said_of, sha256_of
from badnets.trust.catalogue.fetching import Fetcher, address
from badnets.trust.catalogue.names import LIMITS, MADE, METADATA, TARGETS, check_name, hashed, now
from badnets.trust.catalogue.refusals import refusing

_PINNED, _SEEN = "pinned.root.json", "seen.json"
_SKEW = timedelta(days=1)
"""So far may two clocks be apart."""
T = TypeVar("T", Root, Targets, Snapshot, Timestamp)


@dataclass(frozen=True)
class Trusted:
    """How a root is known at the first use: as a file, or by the SHA-256 of one."""

    root: Path | None = None
    fingerprint: str | None = None


@dataclass
class Catalogue:
    """A catalogue whose newest metadata was verified, with the ``place`` where that is kept."""

    url: str
    place: Path
    updater: Updater
    fetcher: Fetcher
    watcher: Watcher

    @property
    def root_sha256(self) -> str:
        """Of the newest root."""
        return file_digest(self.place / "root.json")

    def listed(self) -> Listing:
        """All that is in it."""
        root = _kept(self.place / "root.json", Root)
        signed: dict[str, Targets | Snapshot | Timestamp] = {
            "targets": (top := _kept(self.place / "targets.json", Targets)),
            "snapshot": (snapshot := _kept(self.place / "snapshot.json", Snapshot)),
            "timestamp": _kept(self.place / "timestamp.json", Timestamp),
        }
        with refusing(self.url):
            for name in delegated(top.delegations):
                if f"{name}.json" in snapshot.meta:
                    signed[name] = self._delegated(name, top, snapshot)
        return listing(self.url, root, self.root_sha256, signed, pinned=True)

    def _delegated(self, name: str, top: Targets, snapshot: Snapshot) -> Targets:
        """What a delegation offers, as TUF's client checks it, which reads one only for the sake of a name."""
        meta = snapshot.meta[f"{name}.json"]
        url = f"{self.url}/{METADATA}/{meta.version}.{quote(name, '')}.json"
        content = self.fetcher.download_bytes(url, meta.length or LIMITS.targets_max_length)
        meta.verify_length_and_hashes(content)
        made: Metadata[Targets] = Metadata.from_bytes(content)
        top.verify_delegate(name, made.signed_bytes, made.signatures)
        if not isinstance(made.signed, Targets) or made.signed.version != meta.version:
            raise RepositoryError(f"expected version {meta.version} of {name}")
        if made.signed.is_expired():
            raise ExpiredMetadataError(f"{name} is expired")
        return made.signed

    def entry(self, name: str) -> tuple[Entry, dict[str, Wanted]]:
        """An entry, and what there is to download of it. Raises ``BadInput`` for unknown and for expired ones."""
        target = self._target(check_name(name))
        if target is None or said_of(target).of is not None:
            known = [one.name for one in self.listed().entries]
            hint = nearest(name, known) if known else "it has none"
            raise BadInput(f"expected an entry of {brief(self.url)}, got {brief(name)!r}; {hint}")
        entry = entry_of(target, self._role_of(name))
        if entry.expires is not None and entry.expires <= now():
            raise BadInput(
                f"refused, expired: {name} was offered until {entry.expires:%Y-%m-%d}, and its publisher has not said "
                "anything of it since"
            )
        wanted = {"network": self._wanted(target)}
        for kind, one in entry.files.items():
            beside = self._target(one.name)
            if beside is None or sha256_of(beside) != one.sha256:
                raise BadInput(f"refused, mixed or changed: the {kind} of {name} is not the one that belongs to it")
            wanted[kind] = self._wanted(beside)
        return entry, wanted

    def _role_of(self, name: str) -> str:
        top = _kept(self.place / "targets.json", Targets)
        led = (role for role, one in delegated(top.delegations).items() if one.is_delegated_path(name))
        return Targets.type if name in top.targets else str(next(led, ""))

    def _target(self, name: str) -> TargetFile | None:
        with refusing(self.url):
            return self.updater.get_targetinfo(name)

    def _wanted(self, target: TargetFile) -> Wanted:
        sha, root = sha256_of(target), _kept(self.place / "root.json", Root)
        file = hashed(target.path, sha) if root.consistent_snapshot else target.path
        return Wanted(target.path, f"{self.url}/{TARGETS}/{file}", sha, target.length)


@contextmanager
def opened(
    source: str, trusted: Trusted, watcher: Watcher | None = None, *, fetcher: Fetcher | None = None
) -> Iterator[Catalogue]:
    """The catalogue at ``source``, a URL or a folder, up to date and verified, for one process at a time.

    The first use needs a root that is ``trusted``, and pins it; later ones need none, and refuse another. Raises
    ``BadInput`` with what is wrong: expired, rolled back, mixed, too few signatures, endless, damaged.
    """
    url = address(source)
    place = _place(url)
    fetcher = fetcher or Fetcher(url)
    with lock(f"catalogue-{place.name}"):
        first = not (place / _PINNED).exists()
        try:
            bootstrap = _first(url, trusted, fetcher) if first else read_bytes(place / _PINNED, TEXT)
            place.mkdir(parents=True, exist_ok=True)
            updater = _refreshed(url, place, bootstrap, fetcher)
            _check_clock(url, place)
        except BaseException:
            if first:
                discard(place)
            raise
        if first:
            write_text(place / _PINNED, bootstrap.decode())
            (watcher or Watcher()).say(f"pinned the root of {url}: SHA-256 {hashlib.sha256(bootstrap).hexdigest()}")
        else:
            _check_pin(url, place, trusted)
        write_text(place / _SEEN, dumps({"url": url, "time": now().isoformat()}))
        yield Catalogue(url, place, updater, fetcher, watcher or Watcher())


def pinned(source: str) -> bool:
    """Whether the root of the catalogue at ``source`` is."""
    return (_place(address(source)) / _PINNED).exists()


def get(name: str, catalogue: Catalogue, out: Path | None = None, *, force: bool = False) -> Got:
    """Download ``name`` and what goes with it: the network to ``out`` (its own name, here), the rest beside it. Each
    file appears whole, with the digest that was signed, or not at all.

    Raises ``BadInput`` for what comes in another's place, changed, cut short or endless, and where another file lies at
    ``out`` and is not to be overwritten (``force``).
    """
    entry, wanted = catalogue.entry(name)
    target = out or Path(name.rpartition("/")[2])
    places = {"network": target}
    for kind, one in entry.files.items():
        places[kind] = target.with_name(target.name + one.name[len(name) :])
    for kind, place in places.items():
        _check_free(place, wanted[kind], force=force)

    def others() -> dict[str, str]:
        return {one.sha256: one.name for one in catalogue.listed().entries}

    kept = {kind: download(one, catalogue.fetcher, catalogue.watcher, others) for kind, one in wanted.items()}
    for kind in reversed(list(places)):  # the network last: where it is, all is
        put(kept[kind], places[kind], wanted[kind])
    return Got(
        source=catalogue.url,
        root_sha256=catalogue.root_sha256,
        entry=entry,
        files={kind: str(place) for kind, place in places.items()},
    )


def _place(url: str) -> Path:
    return cache_dir() / "catalogues" / hashlib.sha256(url.encode()).hexdigest()[:32]


def _check_free(place: Path, wanted: Wanted, *, force: bool) -> None:
    if place.is_symlink():
        raise BadInput(f"expected a place for a file at {place}, got a symbolic link; name another")
    if place.is_dir():
        raise BadInput(f"expected a place for a file at {place}, got a folder; name a file in it")
    if place.exists() and not force and not (place.is_file() and file_digest(place) == wanted.sha256):
        raise BadInput(f"expected a free place at {place}, got another file; --force overwrites it")


def _first(url: str, trusted: Trusted, fetcher: Fetcher) -> bytes:
    """The root that is trusted."""
    if trusted.root is not None:
        return _root_file(trusted.root)
    if trusted.fingerprint is None:
        raise BadInput(
            f"expected --root or --fingerprint at the first use of {brief(url)}, got none; ask its publisher, not the "
            "catalogue itself"
        )
    wanted = _fingerprint(trusted.fingerprint)
    for number in range(1, LIMITS.max_root_rotations + 1):
        with refusing(url):
            try:
                content = fetcher.download_bytes(f"{url}/{METADATA}/{number}.root.json", LIMITS.root_max_length)
            except DownloadHTTPError:
                if number == 1:
                    raise
                break
        if hashlib.sha256(content).hexdigest() == wanted:
            return content
    raise BadInput(f"refused, another root: expected one of SHA-256 {wanted[:16]}... at {brief(url)}, got others")


def _root_file(path: Path) -> bytes:
    try:
        content = read_bytes(path, TEXT, "a root (root.json)")
        if isinstance(Metadata.from_bytes(content).signed, Root):
            return content
    except FileNotFoundError:
        raise BadInput(f"expected a root at {path}, got nothing; check the path") from None
    except OSError as error:
        raise BadInput(f"expected a root at {path}, got an error ({error.strerror})") from None
    except RepositoryError:
        pass
    raise BadInput(f"expected a root (root.json) at {path}, got something else")


def _fingerprint(given: str) -> str:
    plain = given.lower().removeprefix("sha256:").replace(":", "")
    if len(plain) != 64 or set(plain) - set("0123456789abcdef"):
        raise BadInput(f"expected a fingerprint of 64 hexadecimal digits (SHA-256), got {brief(given)!r}")
    return plain


def _refreshed(url: str, place: Path, bootstrap: bytes, fetcher: Fetcher) -> Updater:
    base = f"{url}/{METADATA}/"
    with refusing(url):
        updater = Updater(str(place), base, fetcher=fetcher, config=LIMITS, bootstrap=bootstrap)
        updater.refresh()
    return updater


def _check_pin(url: str, place: Path, trusted: Trusted) -> None:
    """Where a root is named again, it has to be the pinned one, or one that this leads to."""
    given = None if trusted.fingerprint is None else _fingerprint(trusted.fingerprint)
    if trusted.root is not None:
        given = hashlib.sha256(_root_file(trusted.root)).hexdigest()
    known = {file_digest(path) for path in (place / "root_history").glob("*.root.json")}
    if given is not None and given not in known:
        raise BadInput(
            f"refused, another root: expected the one that is pinned for {brief(url)}, got another; if its publisher "
            f"began anew, delete {place}"
        )


def _check_clock(url: str, place: Path) -> None:
    """A clock that is behind would take what expired long ago for current: it may not be before the newest timestamp
    was made, nor before the last use."""
    made = [_kept(place / "timestamp.json", Timestamp).unrecognized_fields.get(MADE)]
    with suppress(OSError, ValueError, TypeError, KeyError, BadInput):
        made.append(json.loads(read_bytes(place / _SEEN, TEXT))["time"])
    for one in made:
        with suppress(ValueError, TypeError):
            if now() + _SKEW < datetime.fromisoformat(str(one)):
                raise BadInput(
                    f"refused, the clock is behind: it is {now():%Y-%m-%d} here, and {brief(url)} was signed or used "
                    f"on {brief(str(one)[:10])}; set the clock, or what has expired would pass"
                )


def _kept(path: Path, kind: type[T]) -> T:
    """Metadata that TUF's client has verified and kept."""
    made: Metadata[T] = Metadata.from_bytes(read_bytes(path, TEXT))
    if not isinstance(made.signed, kind):
        raise BadInput(f"expected metadata of {kind.type} in {path}, got other; delete {path.parent}")
    return made.signed
