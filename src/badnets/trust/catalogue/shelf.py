"""A catalogue where it is published from: a folder with the newest metadata of every role, read, changed and signed.

Nothing in it is secret, and it has no keys. Metadata is signed in memory and then written, the timestamp last: until
then nobody sees anything of it. What too few keys have signed is staged, and published when enough have.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata, MetaFile, Role, Root, Snapshot, Targets, Timestamp

from badnets.core.cache import lock
from badnets.core.errors import BadInput
from badnets.core.files import settle, whole_file
from badnets.core.text import brief
from badnets.records.catalogue import CatalogueChange, Listing
from badnets.trust.catalogue.entries import delegated, listing
from badnets.trust.catalogue.names import FOR, LIMITS, MADE, METADATA, MOST, TARGETS, TOP, now
from badnets.trust.catalogue.signers import Pool, can_sign, sign
from badnets.trust.catalogue.staging import (
    STAGED,
    add_signatures,
    check_roles,
    delegators,
    keep_staged,
    read_staged,
    ready,
    waiting,
    write_staged,
)
from badnets.trust.catalogue.stored import T, holds, read_metadata, sha256

DAYS = {"root": 365, "targets": 180, "snapshot": 30, "timestamp": 7}
"""How long metadata holds; that of delegations as long as ``targets``."""
_ROLE_FILE = re.compile(r"(\d{1,9})\.(.+)\.json")


@dataclass
class Shelf:
    """The newest metadata: what is ``published``, and what is staged and signed by enough. ``targets`` has that of all
    roles that offer entries, by their names; ``changed`` names those to be signed anew, ``staged`` has all that is
    staged, of which ``ready`` is signed by enough."""

    folder: Path
    roots: list[Metadata[Root]]
    targets: dict[str, Metadata[Targets]]
    snapshot: Metadata[Snapshot]
    timestamp: Metadata[Timestamp]
    changed: set[str] = field(default_factory=set)
    published: dict[str, Metadata[Any]] = field(default_factory=dict)
    staged: dict[str, Metadata[Any]] = field(default_factory=dict)
    ready: set[str] = field(default_factory=set)

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
        """What is published in it, by its own root. Raises ``BadInput`` where nothing is."""
        if not self.published:
            raise _unsigned(self.folder)
        signed: dict[str, Any] = {name: one.signed for name, one in self.published.items() if name != Root.type}
        signed |= {"snapshot": self.snapshot.signed, "timestamp": self.timestamp.signed}
        root = self.published[Root.type]
        return listing(str(self.folder), root.signed, sha256(root), signed, pinned=False)

    def newest(self, name: str) -> int:
        """The newest version of a role that was published; 0 where none was. One that ended is counted, too."""
        known = self.snapshot.signed.meta.get(f"{name}.json")
        return max(known.version if known else 0, self.published[name].signed.version if name in self.published else 0)

    def save(
        self, pool: Pool, did: str, days: float | None = None, place: Callable[[], None] | None = None
    ) -> CatalogueChange:
        """Sign what has ``changed``, the snapshot and the timestamp, and write it; ``place`` puts entries where they
        belong, before. What the pool has too few keys for is staged, for others to sign; what is signed by enough, but
        not by the timestamp's key, waits there for ``refresh``.

        Raises ``BadInput`` where the pool has no key at all for a change, and where something else waits in its place;
        then nothing is written.
        """
        self._check_free(pool)
        new = {name: self._made(name) for name in sorted(self.changed)}
        for name, one in new.items():
            one.signed.version = self.newest(name) + 1
            one.signed.expires = now() + timedelta(days=DAYS.get(name, DAYS["targets"]))
            one.signatures.clear()
        every = {**{name: self.staged[name] for name in self.ready}, **new}
        signed = [
            name
            for name, one in new.items()
            if add_signatures(name, one, delegators(name, every, self.published), pool)
        ]
        if new and not signed:
            name = min(new, key=lambda one: (one != Targets.type, one))
            raise _too_few(name, self.role(name), pool)
        if not new or (self.can_publish(pool) and not set(new) - ready(self.published, every)):
            self._sign_snapshot(pool, days)
            self._write(place)
        else:
            self._stage(new, place)
        return self.told(did)

    def can_publish(self, pool: Pool) -> bool:
        """Whether the keys of snapshot and timestamp are at hand."""
        return all(can_sign(self.root.roles[one], pool) for one in ("snapshot", "timestamp"))

    def _made(self, name: str) -> Metadata[Any]:
        return self.roots[-1] if name == Root.type else self.targets[name]

    def _check_free(self, pool: Pool) -> None:
        """Nobody signs by the way what somebody else has staged; what enough have signed is only changed by as many."""
        for name in sorted(self.changed & set(self.staged)):
            if name not in self.ready:
                raise BadInput(
                    f"expected nothing of {brief(name)} that waits for signatures in {self.folder}, got version "
                    f"{self.staged[name].signed.version}; badnets catalogue sign shows it and signs, drop takes it back"
                )
            if name == Root.type:
                raise BadInput(
                    f"expected the root before in {self.folder} to be published, got one that waits; badnets catalogue "
                    "refresh publishes it"
                )
            if not can_sign(self.role(name), pool):
                raise _too_few(name, self.role(name), pool)

    def _stage(self, new: dict[str, Metadata[Any]], place: Callable[[], None] | None) -> None:
        for name, one in new.items():
            _check_size(name, one.to_bytes())
        if place is not None:
            place()
        write_staged(self.folder, new)
        self.staged.update(new)
        self.ready = ready(self.published, self.staged)

    def _sign_snapshot(self, pool: Pool, days: float | None) -> None:
        snapshot, timestamp = self.snapshot.signed, self.timestamp.signed
        days = days or float(timestamp.unrecognized_fields.get(FOR, DAYS["timestamp"]))
        for name, one in self.targets.items():
            snapshot.meta[f"{name}.json"] = MetaFile(one.signed.version, hashes={"sha256": sha256(one)})
        snapshot.version += 1
        snapshot.expires = now() + timedelta(days=max(days, DAYS["snapshot"]))
        sign(self.snapshot, "snapshot", self.root.roles["snapshot"], pool)
        # Without lengths: so an older file, longer by a byte, is told from one that never ends.
        timestamp.snapshot_meta = MetaFile(snapshot.version, hashes={"sha256": sha256(self.snapshot)})
        timestamp.version += 1
        timestamp.expires = now() + timedelta(days=days)
        timestamp.unrecognized_fields.update({MADE: now().isoformat(), FOR: f"{days:g}"})
        sign(self.timestamp, "timestamp", self.root.roles["timestamp"], pool)

    def _write(self, place: Callable[[], None] | None) -> None:
        """Delegations, targets, snapshot, root, timestamp: where it ends before the last, the old state still holds."""
        new = self.changed | self.ready
        names = [*sorted(new - {Root.type, Targets.type}), *(one for one in (Targets.type,) if one in new)]
        made: list[tuple[str, Any]] = [(name, self.targets[name]) for name in names]
        made += [("snapshot", self.snapshot)]
        made += [(Root.type, self.roots[-1])] if Root.type in new else []
        files = {f"{one.signed.version}.{name}.json": (name, one.to_bytes()) for name, one in made}
        files["timestamp.json"] = ("timestamp", self.timestamp.to_bytes())
        for name, content in files.values():
            _check_size(name, content)
        if place is not None:
            place()
        for file, (_, content) in files.items():
            with whole_file(self.folder / METADATA / file) as partial:
                partial.write_bytes(content)
        self.published = {Root.type: self.roots[-1], **self.targets}
        given = delegated(self.top.delegations)
        left = [name for name in self.staged if name not in new and (name in TOP or name in given)]
        keep_staged(self.folder, left)
        self.staged = {name: self.staged[name] for name in left}
        self.ready = set()

    def told(self, did: str) -> CatalogueChange:
        """What was done, what is published now, and what waits."""
        every = dict(self.published)
        if every:
            every |= {"snapshot": self.snapshot, "timestamp": self.timestamp}
        return CatalogueChange(
            catalogue=str(self.folder),
            did=did,
            root_sha256=sha256(every[Root.type]) if every else None,
            versions={name: one.signed.version for name, one in every.items()},
            expires={name: one.signed.expires for name, one in every.items()},
            waiting=tuple(waiting(name, self.staged, self.published) for name in self.staged),
        )


def empty(folder: Path, root: Root) -> Shelf:
    """A catalogue without entries, which nobody has signed yet."""
    return Shelf(
        folder, [Metadata(root)], {Targets.type: Metadata(Targets())}, *_nothing(), changed={Root.type, Targets.type}
    )


@contextmanager
def opened(folder: Path) -> Iterator[Shelf]:
    """The catalogue in ``folder``, for one process at a time. Raises ``BadInput`` where there is none, where its files
    are not what its own root has signed, and where its first root still waits for signatures."""
    with held(folder):
        shelf = read(folder)
        if not shelf.roots:
            raise _unsigned(folder)
        yield shelf


def _unsigned(folder: Path) -> BadInput:
    return BadInput(
        f"expected a catalogue in {folder}, got one whose first root waits for signatures; badnets catalogue sign "
        "shows whose"
    )


def _too_few(name: str, role: Role, pool: Pool) -> BadInput:
    got = sum(one in pool for one in role.keyids)
    return BadInput(
        f"expected {role.threshold} private key{'s' * (role.threshold != 1)} of the role {brief(name)}, got {got}; "
        "nothing was written"
    )


def _check_size(name: str, content: bytes) -> None:
    most = MOST.get(name, LIMITS.targets_max_length)
    if len(content) > most:
        raise BadInput(f"expected at most {most:,} bytes of {name}, got {len(content):,}; delegate some names")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Inside, no other process changes the catalogue in ``folder``."""
    with lock(f"catalogue-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]}"):
        yield


def read(folder: Path) -> Shelf:
    """The same, to be read only; where its first root waits for signatures it may have none."""
    for one in (folder / METADATA, folder / TARGETS):
        if one.is_symlink():
            raise BadInput(f"expected a folder at {one}, got a symbolic link; what it leads to can change")
    begun = (folder / STAGED / "root.json").exists() and not (folder / METADATA / "1.root.json").exists()
    shelf = Shelf(folder, [], {}, *_nothing()) if begun else _published(folder)
    shelf.staged = read_staged(folder, shelf.newest)
    check_roles(folder, shelf.staged, shelf.published)
    shelf.ready = ready(shelf.published, shelf.staged)
    if Root.type in shelf.ready:
        shelf.roots.append(shelf.staged[Root.type])
    shelf.targets |= {name: deepcopy(shelf.staged[name]) for name in shelf.ready - {Root.type}}
    if shelf.roots:
        given = delegated(shelf.top.delegations)
        shelf.targets = {name: one for name, one in shelf.targets.items() if name == Targets.type or name in given}
    return shelf


def _nothing() -> tuple[Metadata[Snapshot], Metadata[Timestamp]]:
    snapshot, timestamp = Snapshot(), Timestamp()
    snapshot.version = timestamp.version = 0  # the first that is signed is 1
    snapshot.meta.clear()
    return Metadata(snapshot), Metadata(timestamp)


def _published(folder: Path) -> Shelf:
    """What those who download see."""
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
    timestamp = read_metadata(folder / METADATA / "timestamp.json", Timestamp)
    if not any(holds(one.signed, "timestamp", timestamp) for one in roots[-2:]):
        raise BadInput(f"expected a timestamp in {folder} that its root's keys have signed, got another")
    return Shelf(folder, roots, deepcopy(kept), snapshot, timestamp, published={Root.type: roots[-1], **kept})


def change_root(shelf: Shelf) -> Root:
    """The root, to be changed: the one before stays as it is."""
    if Root.type not in shelf.changed:
        shelf.roots.append(deepcopy(shelf.roots[-1]))
        shelf.changed.add(Root.type)
    return shelf.root


def _roots(folder: Path) -> list[Metadata[Root]]:
    found: list[Metadata[Root]] = []
    while (path := folder / METADATA / f"{len(found) + 1}.root.json").exists():
        made = read_metadata(path, Root)
        signers = [one.signed for one in (*found[-1:], made)]
        if made.signed.version != len(found) + 1 or not all(holds(one, Root.type, made) for one in signers):
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
        made = read_metadata(folder / METADATA / f"{number}.{name}.json", kind)
        if made.signed.version == number and holds(by, name, made):
            return made
    if may_lack:
        return None
    raise BadInput(f"expected {name} in {folder} that the keys of its root have signed, got none")


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
