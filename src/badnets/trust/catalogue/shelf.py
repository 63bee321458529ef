"""A catalogue where it is published from: a folder with the newest metadata of every role, read, changed and signed.

Nothing in it is secret, and it has no keys. Metadata is signed in memory and then written, the timestamp last: until
then nobody sees anything of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Role, Root, Snapshot, Targets, Timestamp

from badnets.core.cache import lock
from badnets.core.errors import BadInput
from badnets.core.files import read_bytes, settle, whole_file
from badnets.core.limits import TEXT
from badnets.core.text import brief
from badnets.records.catalogue import CatalogueChange, Listing
from badnets.trust.catalogue.entries import delegated, listing
from badnets.trust.catalogue.names import FOR, LIMITS, MADE, METADATA, MOST, TARGETS, now
from badnets.trust.catalogue.signers import Pool, can_sign, sign

DAYS = {"root": 365, "targets": 180, "snapshot": 30, "timestamp": 7}
"""How long metadata holds; that of delegations as long as ``targets``."""
_ROLE_FILE = re.compile(r"(\d{1,9})\.(.+)\.json")
T = TypeVar("T", Root, Targets, Snapshot, Timestamp)


@dataclass
class Shelf:
    """The newest metadata. ``targets`` has that of all roles that offer entries, by their names; ``changed`` names
    those to be signed anew."""

    folder: Path
    roots: list[Metadata[Root]]
    targets: dict[str, Metadata[Targets]]
    snapshot: Metadata[Snapshot]
    timestamp: Metadata[Timestamp]
    changed: set[str] = field(default_factory=set)

    @property
    def root(self) -> Root:
        """The newest root."""
        return self.roots[-1].signed

    @property
    def top(self) -> Targets:
        """What the role *targets* says."""
        return self.targets[Targets.type].signed

    def role(self, name: str) -> Role:
        """Whose keys a role has. Raises ``BadInput`` for unknown ones."""
        known: dict[str, Role] = {**delegated(self.top.delegations), **self.root.roles}
        if name not in known:
            raise BadInput(f"expected a role of the catalogue, got {brief(name)!r}; known: {', '.join(known)}")
        return known[name]

    def listed(self) -> Listing:
        """What is in it, by its own root."""
        signed: dict[str, Targets | Snapshot | Timestamp] = {name: one.signed for name, one in self.targets.items()}
        signed |= {"snapshot": self.snapshot.signed, "timestamp": self.timestamp.signed}
        return listing(str(self.folder), self.root, _sha256(self.roots[-1]), signed, pinned=False)

    def _renew(self, name: str, days: float) -> None:
        """The next version of a role, which holds for so many days."""
        made = self.roots[-1] if name == Root.type else self.targets[name]
        made.signed.version += 1
        made.signed.expires = now() + timedelta(days=days)

    def save(
        self, pool: Pool, did: str, days: float | None = None, place: Callable[[], None] | None = None
    ) -> CatalogueChange:
        """Sign what has ``changed``, the snapshot and the timestamp, and write it; ``place`` puts entries where they
        belong, before. Where the pool has no keys for the snapshot, only entries may have changed, and they wait for
        ``refresh``. Raises ``BadInput`` where a threshold is not met; then nothing is written."""
        before = self.roots[-2].signed if Root.type in self.changed and len(self.roots) > 1 else None
        if Root.type in self.changed:
            self._renew(Root.type, DAYS["root"])
            sign(self.roots[-1], "root", [one.roles["root"] for one in (before, self.root) if one], pool)
        for name in sorted(self.changed - {Root.type}):
            self._renew(name, DAYS["targets"])
            sign(self.targets[name], name, [self.role(name)], pool)
        online = [self.root.roles[one] for one in ("snapshot", "timestamp")]
        waits = Root.type not in self.changed and self.changed and not any(can_sign(one, pool) for one in online)
        if not waits:
            self._sign_snapshot(pool, days)
        self._write(place, snapshot=not waits)
        return self._told(did)

    def _sign_snapshot(self, pool: Pool, days: float | None) -> None:
        snapshot, timestamp = self.snapshot.signed, self.timestamp.signed
        days = days or float(timestamp.unrecognized_fields.get(FOR, DAYS["timestamp"]))
        for name, one in self.targets.items():
            snapshot.meta[f"{name}.json"] = _meta(one)
        snapshot.version += 1
        snapshot.expires = now() + timedelta(days=max(days, DAYS["snapshot"]))
        sign(self.snapshot, "snapshot", [self.root.roles["snapshot"]], pool)
        timestamp.snapshot_meta = _meta(self.snapshot)
        timestamp.version += 1
        timestamp.expires = now() + timedelta(days=days)
        timestamp.unrecognized_fields.update({MADE: now().isoformat(), FOR: f"{days:g}"})
        sign(self.timestamp, "timestamp", [self.root.roles["timestamp"]], pool)

    def _write(self, place: Callable[[], None] | None, *, snapshot: bool) -> None:
        """Delegations, targets, snapshot, root, timestamp: where it ends before the last, the old state still holds."""
        names = sorted(self.changed - {Root.type, Targets.type})
        made: list[tuple[str, Any]] = [(name, self.targets[name]) for name in names]
        made += [(Targets.type, self.targets[Targets.type])] if Targets.type in self.changed else []
        made += [("snapshot", self.snapshot)] if snapshot else []
        made += [(Root.type, self.roots[-1])] if Root.type in self.changed else []
        files = {f"{one.signed.version}.{name}.json": (name, one.to_bytes()) for name, one in made}
        if snapshot:
            files["timestamp.json"] = ("timestamp", self.timestamp.to_bytes())
        for name, content in files.values():
            most = MOST.get(name, LIMITS.targets_max_length)
            if len(content) > most:
                raise BadInput(f"expected at most {most:,} bytes of {name}, got {len(content):,}; delegate some names")
        if place is not None:
            place()
        for file, (_, content) in files.items():
            with whole_file(self.folder / METADATA / file) as partial:
                partial.write_bytes(content)

    def _told(self, did: str) -> CatalogueChange:
        every: dict[str, Metadata[Any]] = {
            "root": self.roots[-1],
            **self.targets,
            "snapshot": self.snapshot,
            "timestamp": self.timestamp,
        }
        waiting = [
            name
            for name, one in self.targets.items()
            if (meta := self.snapshot.signed.meta.get(f"{name}.json")) is None or meta.version < one.signed.version
        ]
        return CatalogueChange(
            catalogue=str(self.folder),
            did=did,
            root_sha256=_sha256(self.roots[-1]),
            versions={name: one.signed.version for name, one in every.items()},
            expires={name: one.signed.expires for name, one in every.items()},
            waiting=tuple(waiting),
        )


def empty(folder: Path, root: Root) -> Shelf:
    """A catalogue without entries, which nobody has signed yet."""
    targets, snapshot, timestamp = Targets(), Snapshot(), Timestamp()
    for one in (root, targets, snapshot, timestamp):
        one.version = 0  # the first that is signed is 1
    changed = {Root.type, Targets.type}
    return Shelf(
        folder, [Metadata(root)], {Targets.type: Metadata(targets)}, Metadata(snapshot), Metadata(timestamp), changed
    )


@contextmanager
def opened(folder: Path) -> Iterator[Shelf]:
    """The catalogue in ``folder``, for one process at a time. Raises ``BadInput`` where there is none, and where its
    files are not what its own root has signed."""
    with lock(f"catalogue-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]}"):
        yield read(folder)


def read(folder: Path) -> Shelf:
    """The same, to be read only."""
    for one in (folder / METADATA, folder / TARGETS):
        if one.is_symlink():
            raise BadInput(f"expected a folder at {one}, got a symbolic link; what it leads to can change")
    roots = _roots(folder)
    root = roots[-1].signed
    kept: dict[str, Metadata[Targets]] = {}
    kept[Targets.type] = _newest(folder, Targets.type, Targets, root)
    snapshot = _newest(folder, "snapshot", Snapshot, root)
    for name in delegated(kept[Targets.type].signed.delegations):
        found = _newest(folder, name, Targets, kept[Targets.type].signed, may_lack=True)
        if found is not None:
            kept[name] = found
    for name, made in kept.items():
        known = snapshot.signed.meta.get(f"{name}.json")
        if known is not None and known.version > made.signed.version:
            raise BadInput(
                f"expected version {known.version} of {name} in {folder}, which its snapshot names, got "
                f"{made.signed.version}; the folder is not whole"
            )
    # Where a change of the root was interrupted, the timestamp is still that of the root before.
    timestamp = _read(folder / METADATA / "timestamp.json", Timestamp)
    if not any(_holds(one.signed, "timestamp", timestamp) for one in roots[-2:]):
        raise BadInput(f"expected a timestamp in {folder} that its root's keys have signed, got another")
    return Shelf(folder, roots, kept, snapshot, timestamp)


def change_root(shelf: Shelf) -> Root:
    """The root, to be changed: the one before stays as it is."""
    if Root.type not in shelf.changed:
        shelf.roots.append(Metadata[Root].from_bytes(shelf.roots[-1].to_bytes()))
        shelf.changed.add(Root.type)
    return shelf.root


def _roots(folder: Path) -> list[Metadata[Root]]:
    found: list[Metadata[Root]] = []
    while (path := folder / METADATA / f"{len(found) + 1}.root.json").exists():
        made = _read(path, Root)
        signers = [one.signed for one in (*found[-1:], made)]
        if made.signed.version != len(found) + 1 or not all(_holds(one, Root.type, made) for one in signers):
            raise BadInput(
                f"expected root {len(found) + 1} in {path}, signed by the one before and by itself, got another"
            )
        found.append(made)
    if not found:
        raise BadInput(
            f"expected a catalogue in {folder}, got no root ({METADATA}/1.root.json); badnets catalogue init"
        )
    return found


def _newest(folder: Path, name: str, kind: type[T], by: Root | Targets, *, may_lack: bool = False) -> Any:
    """The newest that ``by`` vouches for: later ones are left of an action that was interrupted."""
    numbers = [
        int(match[1])
        for path in (folder / METADATA).iterdir()
        if (match := _ROLE_FILE.fullmatch(path.name)) and match[2] == name
    ]
    for number in sorted(numbers, reverse=True):
        made = _read(folder / METADATA / f"{number}.{name}.json", kind)
        if made.signed.version == number and _holds(by, name, made):
            return made
    if may_lack:
        return None
    raise BadInput(f"expected {name} in {folder} that the keys of its root have signed, got none")


def _holds(by: Root | Targets, name: str, made: Metadata[Any]) -> bool:
    try:
        by.verify_delegate(name, made.signed_bytes, made.signatures)
    except (RepositoryError, ValueError):
        return False
    return True


def _read(path: Path, kind: type[T]) -> Metadata[T]:
    if path.is_symlink():
        raise BadInput(f"expected metadata at {path}, got a symbolic link; what it leads to can change")
    try:
        content = read_bytes(path, TEXT, "metadata")
        made: Metadata[T] = Metadata.from_bytes(content)
    except FileNotFoundError:
        raise BadInput(f"expected metadata at {path}, got nothing; the folder is not whole") from None
    except OSError as error:
        raise BadInput(f"expected metadata at {path}, got an error ({error.strerror})") from None
    except RepositoryError:
        raise BadInput(f"expected metadata of TUF in {path}, got something else") from None
    if not isinstance(made.signed, kind):
        raise BadInput(f"expected metadata of the role {kind.type} in {path}, got that of {made.signed.type}")
    if made.to_bytes() != content:  # its digest goes into the snapshot
        raise BadInput(f"expected metadata in {path} as badnets writes it, got another layout")
    return made


def _meta(made: Metadata[Any]) -> MetaFile:
    # Without its length: so an older file, longer by a byte, is told from one that never ends.
    return MetaFile(made.signed.version, hashes={"sha256": _sha256(made)})


def _sha256(made: Metadata[Any]) -> str:
    return hashlib.sha256(made.to_bytes()).hexdigest()


def settled(files: Sequence[tuple[Path, Path]]) -> Callable[[], None]:
    """What gives finished files their names."""

    def place() -> None:
        for partial, final in files:
            final.parent.mkdir(parents=True, exist_ok=True)
            partial.chmod(0o644)
            settle(partial)
            partial.replace(final)
            settle(final.parent)

    return place
