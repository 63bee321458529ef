"""New metadata that waits for signatures, in the folder ``staged`` of a catalogue: whoever has a key of its role adds a
signature there, wherever that person is. Nothing that is published names it, so that nobody who downloads sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata, Root, Targets

from badnets.core.errors import BadInput
from badnets.core.files import write_text
from badnets.core.text import brief
from badnets.records.catalogue import Lacking, Waiting
from badnets.trust.catalogue.entries import delegated, said_of, sha256_of
from badnets.trust.catalogue.signers import Pool
from badnets.trust.catalogue.stored import holds, read_metadata
from badnets.trust.keys import fingerprint_of_pem

STAGED = "staged"
Made = Mapping[str, Metadata[Any]]
"""Metadata by the names of its roles."""
_MOST = 20
"""Changes that are told of one role, at most."""


def read_staged(folder: Path, newest: Callable[[str], int]) -> dict[str, Metadata[Any]]:
    """What waits there; ``newest`` gives the newest version of a role that was published. What a process that was
    killed left after it had published it is passed over.

    Raises ``BadInput`` for what is none, is expired, or was made of an older state of the catalogue.
    """
    place = folder / STAGED
    if place.is_symlink():
        raise BadInput(f"expected a folder at {place}, got a symbolic link; what it leads to can change")
    found: dict[str, Metadata[Any]] = {}
    for path in sorted(place.glob("*.json")):
        kind: Any = Root if path.stem == Root.type else Targets
        made = read_metadata(path, kind)
        wanted = newest(path.stem) + 1
        if made.signed.version < wanted and _published(folder, path.stem, made):
            continue
        got = "one that is expired" if made.signed.is_expired() else f"version {made.signed.version}"
        if made.signed.version != wanted or made.signed.is_expired():
            raise BadInput(
                f"expected version {wanted} of {path.stem} in {place}, got {got}; badnets catalogue drop takes it back"
            )
        found[path.stem] = made
    return found


def _published(folder: Path, name: str, made: Metadata[Any]) -> bool:
    path = folder / "metadata" / f"{made.signed.version}.{name}.json"
    return path.is_file() and read_metadata(path, type(made.signed)).signed_bytes == made.signed_bytes


def write_staged(folder: Path, made: Made) -> None:
    """Put it there, each file whole or not at all."""
    for name, one in made.items():
        write_text(folder / STAGED / f"{name}.json", one.to_bytes().decode())


def keep_staged(folder: Path, names: Collection[str]) -> None:
    """Take all others away, and the folder when it is empty."""
    for path in (folder / STAGED).glob("*.json"):
        if path.stem not in names:
            path.unlink()
    if (folder / STAGED).is_dir() and not any((folder / STAGED).iterdir()):
        (folder / STAGED).rmdir()


def check_roles(folder: Path, staged: Made, published: Made) -> None:
    """Refuse what is staged for a role that there is not."""
    tops = [one.signed for of in (staged, published) for name, one in of.items() if name == Targets.type]
    known = {Root.type, Targets.type} | {name for one in tops for name in delegated(one.delegations)}
    for name in staged.keys() - known:
        raise BadInput(
            f"expected metadata of the catalogue's roles in {folder / STAGED}, got that of {brief(name)}; badnets "
            "catalogue drop takes it back"
        )


def ready(published: Made, staged: Made) -> set[str]:
    """Which of the ``staged`` may be published: those that enough keys have signed, and that what stays as it is goes
    with."""
    for root in _options(Root.type, staged, published):
        if root is staged.get(Root.type) and not _root_holds(published, root):
            continue
        for top in _options(Targets.type, staged, published):
            if not holds(root.signed, Targets.type, top):
                continue
            chosen = {Root.type: root, Targets.type: top}
            for name in delegated(top.signed.delegations):
                options = _options(name, staged, published)
                good = next((one for one in options if holds(top.signed, name, one)), None)
                if good is None and name in published:
                    break  # it would lose its entries
                chosen |= {name: good} if good else {}
            else:
                return {name for name, one in chosen.items() if one is staged.get(name)}
    return set()


def _options(name: str, staged: Made, published: Made) -> list[Metadata[Any]]:
    return [of[name] for of in (staged, published) if name in of]


def _root_holds(published: Made, root: Metadata[Root]) -> bool:
    return all(holds(one.signed, Root.type, root) for one in (root, *_options(Root.type, {}, published)))


def delegators(name: str, staged: Made, published: Made) -> list[Root | Targets]:
    """Who says whose keys have to sign the staged ``name``: of a root the one before and itself, else the newest."""
    if name == Root.type:
        return [one.signed for one in reversed(_options(name, staged, published))]
    above = _options(Root.type if name == Targets.type else Targets.type, staged, published)
    return [one.signed for one in above if name == Targets.type or name in delegated(one.signed.delegations)][:1]


def add_signatures(name: str, made: Metadata[Any], by: Sequence[Root | Targets], pool: Pool) -> list[str]:
    """Sign with all keys of the ``pool`` that the role has, beside the signatures that are there. Returns their
    fingerprints."""
    found: dict[str, str] = {}
    for one in by:
        result = one.get_verification_result(name, made.signed_bytes, made.signatures)
        for key in result.unsigned:
            if key in pool and (signer := pool[key].signer) is not None:
                made.sign(signer, append=True)
                found[key] = pool[key].fingerprint
    return list(found.values())


def take_signatures(name: str, made: Metadata[Any], by: Sequence[Root | Targets], copy: Path) -> list[str]:
    """Add those that hold of the same metadata in a ``copy`` of the catalogue. Returns the fingerprints of their keys.

    Raises ``BadInput`` where something else is staged there.
    """
    path = copy / STAGED / f"{name}.json"
    theirs = read_metadata(path, type(made.signed))
    if theirs.signed_bytes != made.signed_bytes:
        raise BadInput(f"expected the same {name} in {path} as is staged here, got another; nothing was taken")
    found: dict[str, str] = {}
    for one in by:
        known = one.get_verification_result(name, made.signed_bytes, made.signatures).signed
        new = one.get_verification_result(name, made.signed_bytes, theirs.signatures).signed
        for key in new.keys() - known.keys():
            made.signatures[key] = theirs.signatures[key]
            found[key] = _short(new[key])
    return list(found.values())


def waiting(name: str, staged: Made, published: Made) -> Waiting:
    """What of the staged ``name`` is new, who has signed it, and who still has to."""
    made = staged[name]
    results = [
        one.get_verification_result(name, made.signed_bytes, made.signatures)
        for one in delegators(name, staged, published)
    ]
    signed = {key: _short(one) for result in results for key, one in result.signed.items()}
    lacks = [
        Lacking(count=result.missing, of=tuple(_short(one) for one in result.unsigned.values()))
        for result in results
        if result.missing
    ]
    says = list(_said(made.signed, published.get(name)))
    more = [f"and {len(says) - _MOST:,} more"] if len(says) > _MOST else []
    return Waiting(
        role=name,
        version=made.signed.version,
        says=(*says[:_MOST], *more),
        signed=tuple(signed.values()),
        lacks=tuple(dict.fromkeys(lacks)),
    )


def _short(key: Any) -> str:
    return fingerprint_of_pem(key.keyval["public"])


def _said(new: Root | Targets, old: Metadata[Any] | None) -> Iterator[str]:
    """What whoever signs it says yes to."""
    before: Any = None if old is None else old.signed
    if isinstance(new, Root):
        for name, role in new.roles.items():
            yield from _said_role(name, role, new.keys, before and before.roles.get(name), before and before.keys)
        return
    known = before.targets if before else {}
    for name, target in new.targets.items():
        if name not in known or sha256_of(known[name]) != sha256_of(target):
            did = "replaces" if name in known else "adds"
            goes = f", which goes with {brief(of)}" if (of := said_of(target).of) else ""
            yield f"{did} {brief(name)} (SHA-256 {sha256_of(target)}){goes}"
        elif known[name] != target:
            yield f"changes what is said of {brief(name)}"
    yield from (f"removes {brief(name)}" for name in known if name not in new.targets)
    had, has = delegated(before.delegations if before else None), delegated(new.delegations)
    for name, role in has.items():
        if name not in had:
            yield f"delegates {brief(', '.join(role.paths or ()))} to {brief(name)}"
        known_keys = before.delegations.keys if name in had else None
        yield from _said_role(name, role, new.delegations.keys if new.delegations else {}, had.get(name), known_keys)
    yield from (f"ends the delegation {brief(name)}" for name in had if name not in has)


def _said_role(name: str, role: Any, keys: Any, before: Any, keys_before: Any) -> Iterator[str]:
    old = set(before.keyids) if before else set()
    yield from (f"gives {brief(name)} the key {_short(keys[one])[:16]}" for one in role.keyids if one not in old)
    yield from (
        f"takes the key {_short(keys_before[one])[:16]} from {brief(name)}" for one in old if one not in role.keyids
    )
    if before is None or before.threshold != role.threshold:
        yield f"wants {role.threshold} of {len(role.keyids)} keys to sign for {brief(name)}"
