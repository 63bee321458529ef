"""What whoever publishes a catalogue does: begin one, add and remove networks, delegate, change keys, and sign what
others have staged."""

from __future__ import annotations

import re
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Role, Root, TargetFile, Targets

from badnets.core.errors import BadInput, nearest
from badnets.core.files import file_digest, temporary_folder, whole_folder
from badnets.core.text import brief
from badnets.records.catalogue import CatalogueChange, Companion
from badnets.trust.attestations import claims
from badnets.trust.catalogue.entries import Said, delegated, said_of, sha256_of
from badnets.trust.catalogue.names import (
    COMPANIONS,
    METADATA,
    TARGETS,
    TOP,
    check_name,
    check_role,
    hashed,
    now,
    patterns_of,
)
from badnets.trust.catalogue.shelf import DAYS, Shelf, change_root, empty, held, opened, read, settled
from badnets.trust.catalogue.signers import Party, Pool
from badnets.trust.catalogue.staging import (
    STAGED,
    add_signatures,
    delegators,
    keep_staged,
    take_signatures,
    write_staged,
)

_HASHED = re.compile(r"[0-9a-f]{64}\.")
_SAYS = 20
"""Sentences of attestations that an entry carries, at most."""


@dataclass(frozen=True)
class Keys:
    """The keys of a role, of which so many have to sign."""

    parties: Sequence[Party]
    threshold: int = 1

    def check(self, name: str) -> Role:
        """As TUF has it. Raises ``BadInput`` for a threshold that cannot be met."""
        ids = list(dict.fromkeys(one.id for one in self.parties))
        if not 1 <= self.threshold <= len(ids):
            raise BadInput(f"expected a threshold from 1 to the {len(ids)} keys of {name}, got {self.threshold}")
        return Role(ids, self.threshold)


def init(folder: Path, root: Keys, targets: Keys, online: Keys, *, days: float | None = None) -> CatalogueChange:
    """A new catalogue without entries, in a new or an empty folder: ``root`` are the keys that stay offline,
    ``targets`` those that answer for entries, ``online`` those of snapshot and timestamp.

    Where too few of the keys are private ones, it is staged, for others to sign. Raises ``BadInput`` where something is
    there, and where a root's key has another role.
    """
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise BadInput(f"expected a new or an empty folder for a catalogue at {folder}, got something else")
    roles = {"root": root, "targets": targets, "snapshot": online, "timestamp": online}
    made = Root(consistent_snapshot=True, roles={name: keys.check(name) for name, keys in roles.items()})
    shared = set(made.roles["root"].keyids) & {one for name in TOP[1:] for one in made.roles[name].keyids}
    pool: Pool = {one.id: one for keys in roles.values() for one in keys.parties}
    if shared:
        one = pool[shared.pop()]
        raise BadInput(f"expected root keys that have no other role, since they stay offline, got {one} twice")
    made.keys = {name: one.public for name, one in pool.items()}
    with whole_folder(folder) as partial:
        (partial / TARGETS).mkdir()
        (partial / METADATA).mkdir()
        change = empty(partial, made).save(_private(pool), "a new catalogue", days)
    return change.model_copy(update={"catalogue": str(folder)})


def add(
    folder: Path,
    name: str,
    file: Path,
    pool: Pool,
    *,
    companions: Mapping[str, Path] | None = None,
    days: float | None = None,
) -> CatalogueChange:
    """Offer ``file`` as ``name``, with a card, attestations and a signature if there are any; after ``days`` it is
    refused. An entry of that name is replaced. Whose names it is like, a delegation's or nobody's, has to sign.

    Raises ``BadInput`` for names that lead elsewhere, for links and other things that are no files, and for
    attestations of other bytes.
    """
    goes_with = {kind: _companion(name, kind, path) for kind, path in (companions or {}).items()}
    names = {check_name(name): file, **{goes_with[kind]: path for kind, path in (companions or {}).items()}}
    with opened(folder) as shelf, ExitStack() as stack:
        role = _role_of(shelf, list(names))
        known = _offered(shelf, role)
        if name in known and (of := said_of(known[name]).of):
            raise BadInput(f"expected another name, got {name!r}, which goes with {of}")
        there = {one: stack.enter_context(_copied(shelf, path)) for one, path in names.items()}
        shas = {one: file_digest(path) for one, path in there.items()}
        said = Said(
            date=now(),
            expires=None if days is None else now() + timedelta(days=days),
            says=_claims(there, names, goes_with.get("attestations"), shas[name]),
            files={kind: Companion(name=one, sha256=shas[one]) for kind, one in goes_with.items()},
        )
        replaced = name in known
        _take_out(known, name)
        for one, path in there.items():
            custom = (said if one == name else Said(of=name)).custom()
            known[one] = TargetFile(path.stat().st_size, {"sha256": shas[one]}, one, {"custom": custom})
        shelf.changed.add(role)
        finals = [(path, folder / TARGETS / hashed(one, shas[one])) for one, path in there.items()]
        return shelf.save(pool, f"{'replaced' if replaced else 'added'} {name}", place=settled(finals))


def remove(folder: Path, name: str, pool: Pool) -> CatalogueChange:
    """Offer ``name`` no longer; its bytes and what goes with them are deleted. Raises ``BadInput`` where there is no
    such entry."""
    with opened(folder) as shelf:
        by: dict[str, str] = {}
        for role, made in shelf.targets.items():
            for one, target in made.signed.targets.items():
                if said_of(target).of is None:
                    by.setdefault(one, role)
        if name not in by:
            raise BadInput(f"expected an entry of the catalogue, got {brief(name)!r}; {nearest(name, by)}")
        _take_out(_offered(shelf, by[name]), name)
        shelf.changed.add(by[name])
        return _swept(shelf, shelf.save(pool, f"removed {name}"))


def delegate(folder: Path, role: str, pattern: str, keys: Keys, pool: Pool) -> CatalogueChange:
    """Let ``keys`` answer, as the role ``role``, for the names that are like ``pattern`` (``signs/*``). Raises
    ``BadInput`` where there is such a role."""
    with opened(folder) as shelf:
        if check_role(role) in delegated(shelf.top.delegations):
            raise BadInput(f"expected a new delegation, got {role!r}, which is there already")
        made = keys.check(role)
        before = shelf.top.delegations or Delegations({}, {})
        new = DelegatedRole(role, made.keyids, made.threshold, terminating=True, paths=patterns_of(pattern))
        known = {**before.keys, **{one.id: one.public for one in keys.parties}}
        shelf.top.delegations = Delegations(known, {**delegated(before), role: new})
        shelf.changed.add(Targets.type)
        return shelf.save(pool, f"delegated {pattern} to {role}")


def revoke(folder: Path, key: Party, pool: Pool) -> CatalogueChange:
    """Take ``key`` out of every role, and sign those anew. A delegation that has too few keys left ends.

    Raises ``BadInput`` where it has no role, and where one of the catalogue's own would have too few keys left.
    """
    with opened(folder) as shelf:
        held, given = _roles_with(shelf, key)
        for name in held:
            left, least = len(shelf.root.roles[name].keyids) - 1, shelf.root.roles[name].threshold
            if left < least:
                raise BadInput(
                    f"expected the role {name} to be left with {least} or more keys, got {left}; badnets catalogue "
                    "rotate puts another in its place"
                )
        for name in held:
            change_root(shelf).revoke_key(key.id, name)
        ended = []
        for name in given:
            shelf.top.revoke_key(key.id, name)
            role = delegated(shelf.top.delegations)[name]
            if len(role.keyids) < role.threshold:
                _end(shelf, name)
                ended.append(name)
        _anew(shelf, held, given)
        told = f"; ended the delegation {', '.join(ended)}" if ended else ""
        return shelf.save(pool, f"revoked {key}{told}")


def rotate(folder: Path, old: Party, new: Party, pool: Pool) -> CatalogueChange:
    """Put the key ``new`` in the place of ``old`` in every role, and sign those anew; a new root is signed by the old
    root's keys and by its own. Raises ``BadInput`` where ``old`` has no role, or ``new`` has one."""
    pool = {**pool, **_private({new.id: new})}
    with opened(folder) as shelf:
        held, given = _roles_with(shelf, old)
        if new.id in shelf.root.keys or (shelf.top.delegations and new.id in shelf.top.delegations.keys):
            raise BadInput(f"expected a new key, got {new}, which has a role already")
        for name in held:
            change_root(shelf).add_key(new.public, name)
            shelf.root.revoke_key(old.id, name)
        for name in given:
            shelf.top.add_key(new.public, name)
            shelf.top.revoke_key(old.id, name)
        _anew(shelf, held, given)
        return shelf.save(pool, f"{new} in place of {old}")


def refresh(folder: Path, pool: Pool, *, days: float | None = None) -> CatalogueChange:
    """A new snapshot and timestamp, before the old ones expire; what enough have signed and waits is published. Other
    roles are signed anew where a key of theirs is at hand and half of their time is over. Bytes that no entry has any
    more are deleted."""
    with opened(folder) as shelf:
        every: dict[str, Metadata[Any]] = {"root": shelf.roots[-1], **shelf.targets}
        for name, made in every.items():
            half = timedelta(days=DAYS.get(name, DAYS["targets"]) / 2)
            at_hand = any(one in pool for one in shelf.role(name).keyids)
            if at_hand and name not in shelf.staged and made.signed.expires - now() < half:
                if name == Root.type:
                    change_root(shelf)
                shelf.changed.add(name)
        change = shelf.save(pool, "refreshed", days)
        if not shelf.changed & set(shelf.staged) or not shelf.can_publish(pool):
            return _swept(shelf, change)
        rest = read(folder)  # that waits for others, and the timestamp must not
        return _swept(rest, rest.save(pool, "refreshed", days))


def sign_staged(folder: Path, pool: Pool, *, role: str | None = None, copy: Path | None = None) -> CatalogueChange:
    """Add signatures to what is staged (of all roles, or of one ``role``): those of the keys, and those that hold in a
    ``copy`` of the catalogue. What enough have signed is published, if the timestamp's key is at hand; without keys and
    copy nothing is done, and told what waits.

    Raises ``BadInput`` where nothing waits, and where none of the keys may sign it or all have.
    """
    with held(folder):
        shelf = read(folder)
        names = _staged(folder, shelf.staged, role)
        signed: dict[str, list[str]] = {}
        for name in names:
            by = delegators(name, shelf.staged, shelf.published)
            signed[name] = [] if copy is None else take_signatures(name, shelf.staged[name], by, copy)
            signed[name] += add_signatures(name, shelf.staged[name], by, pool)
        did = [f"{name} by {', '.join(f'key {one[:16]}' for one in by)}" for name, by in signed.items() if by]
        publishes = bool(shelf.ready) and shelf.can_publish(pool)
        if not did and not publishes and (pool or copy):
            raise BadInput(
                f"expected a signature that {', '.join(names)} in {folder} still lacks, got "
                f"{', '.join(map(str, pool.values())) or 'none'}; badnets catalogue sign without a key shows whose"
            )
        write_staged(folder, {name: shelf.staged[name] for name, by in signed.items() if by})
        shelf = read(folder)
        told = f"signed {'; '.join(did)}" if did else "published" if publishes else "nothing done"
        if shelf.ready and shelf.can_publish(pool):
            return _swept(shelf, shelf.save(pool, told))
        return shelf.told(told)


def drop(folder: Path, role: str | None = None) -> CatalogueChange:
    """Take back what is staged, of all roles or of one ``role``; what is published stays as it is."""
    with held(folder):
        there = {path.stem for path in (folder / STAGED).glob("*.json")}
        names = _staged(folder, there, role)
        begun = not (folder / METADATA / "1.root.json").exists()
        if begun:
            raise BadInput(f"expected a catalogue that was published in {folder}, got a new one; delete the folder")
        keep_staged(folder, there - set(names))
        return read(folder).told(f"dropped what waited of {', '.join(names)}")


def _staged(folder: Path, there: Collection[str], role: str | None) -> list[str]:
    names = sorted(name for name in there if role in (None, name))
    if not names:
        of = f" of {brief(role)}" if role else ""
        raise BadInput(f"expected something{of} that waits for signatures in {folder}, got nothing")
    return names


def _swept(shelf: Shelf, change: CatalogueChange) -> CatalogueChange:
    """After ``change``: without the bytes that no entry has. Where something waits, the published one may have them."""
    offered = [one for made in shelf.targets.values() for one in made.signed.targets.values()]
    named = {shelf.folder / TARGETS / hashed(one.path, sha256_of(one)) for one in offered}
    for path in () if change.waiting else (shelf.folder / TARGETS).rglob("*"):
        if _HASHED.match(path.name) and path not in named and path.is_file():
            path.unlink()
    return change


def _private(pool: Pool) -> Pool:
    return {name: one for name, one in pool.items() if one.signer is not None}


def _companion(name: str, kind: str, path: Path) -> str:
    """What the file that goes with an entry is called there; a card keeps its ending."""
    return check_name(name + COMPANIONS[kind] + (path.suffix if kind == "card" else ""))


def _role_of(shelf: Shelf, names: Sequence[str]) -> str:
    """Who answers for these names. What the catalogue itself offers before a delegation, it goes on to offer."""
    if names[0] in shelf.top.targets:
        return Targets.type
    for role, one in delegated(shelf.top.delegations).items():
        if one.is_delegated_path(names[0]):
            outside = [name for name in names if not one.is_delegated_path(name)]
            if outside:
                raise BadInput(f"expected names that {role} may use, got {brief(outside[0])!r}")
            return str(role)
    return Targets.type


def _offered(shelf: Shelf, role: str) -> dict[str, TargetFile]:
    """What a role offers, to be changed. A new one's versions go on where an ended one of that name was."""
    if role not in shelf.targets:
        known = shelf.snapshot.signed.meta.get(f"{role}.json")
        made = Targets()
        made.version = known.version if known else 0
        shelf.targets[role] = Metadata(made)
    return shelf.targets[role].signed.targets


def _take_out(known: dict[str, TargetFile], name: str) -> None:
    """Take an entry and what goes with it out."""
    for one in [one for one, target in known.items() if one == name or said_of(target).of == name]:
        del known[one]


@contextmanager
def _copied(shelf: Shelf, source: Path) -> Iterator[Path]:
    """A copy of ``source`` on the catalogue's disk, gone at the end unless it got its name: what is signed is hashed
    there, whatever happens to the source meanwhile."""
    try:
        mode = source.lstat().st_mode
    except OSError as error:
        raise BadInput(f"expected a file at {source}, got an error ({error.strerror})") from None
    if stat.S_ISLNK(mode):
        raise BadInput(f"expected a file at {source}, got a symbolic link: what it leads to can change; copy it")
    if not stat.S_ISREG(mode):
        raise BadInput(f"expected a file at {source}, got something else; name a regular file")
    with temporary_folder(shelf.folder / TARGETS / "new") as folder:
        copy = folder / "copy"
        try:
            shutil.copyfile(source, copy)
        except PermissionError as error:
            raise BadInput(f"expected {source} to be readable, got an error ({error.strerror})") from None
        yield copy


def _claims(
    there: Mapping[str, Path], names: Mapping[str, Path], attestations: str | None, sha: str
) -> tuple[str, ...]:
    """What the attestations among the files say of these bytes. Raises ``BadInput`` where one is about others."""
    if attestations is None:
        return ()
    found = claims(there[attestations], names[attestations])
    if not found or any(sha not in subjects for subjects, _ in found):
        got = "one of others" if found else "none"
        raise BadInput(f"expected attestations of the bytes that are added (SHA-256 {sha[:16]}...), got {got}")
    return tuple(brief(said, 200) for _, said in found[:_SAYS])


def _roles_with(shelf: Shelf, key: Party) -> tuple[list[str], list[str]]:
    """The catalogue's own roles that have ``key``, and the delegations."""
    held = [name for name, role in shelf.root.roles.items() if key.id in role.keyids]
    given = [name for name, role in delegated(shelf.top.delegations).items() if key.id in role.keyids]
    if not held and not given:
        raise BadInput(f"expected a key that has a role in {shelf.folder}, got {key}, which has none")
    return held, given


def _anew(shelf: Shelf, held: Sequence[str], given: Sequence[str]) -> None:
    """What has to be signed anew after keys of these roles changed: a delegation's keys stand in the targets."""
    if Targets.type in held or given:
        shelf.changed.add(Targets.type)
    shelf.changed.update(name for name in given if name in shelf.targets)


def _end(shelf: Shelf, name: str) -> None:
    """End a delegation. The snapshot goes on to name it, so that nobody can bring older ones back."""
    if shelf.top.delegations is not None and shelf.top.delegations.roles is not None:
        role = shelf.top.delegations.roles.pop(name)
        others = {one for other in shelf.top.delegations.roles.values() for one in other.keyids}
        for one in set(role.keyids) - others:
            shelf.top.delegations.keys.pop(one, None)
    shelf.targets.pop(name, None)
