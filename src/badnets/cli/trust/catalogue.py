"""``badnets catalogue ...`` for whoever publishes networks, and ``badnets get`` for whoever downloads them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Argument, Option

from badnets.cli.console import GROUPS, command
from badnets.cli.trust.signing import asking
from badnets.core.errors import BadInput
from badnets.core.progress import Watcher

if TYPE_CHECKING:
    from badnets.records.catalogue import CatalogueChange, Entry, Listing, Waiting
    from badnets.trust.catalogue.getting import Trusted

FROM = "BADNETS_CATALOGUE"
"""The environment's word for the catalogue to get from."""
GROUPS["catalogue"] = "Publish networks so that whoever downloads them sees what is current and whose it is."
FOLDER = Argument(help="The catalogue's folder.")
SOURCE = Argument(help="The catalogue: a folder, or a URL.")
NAME = Argument(help="The entry's name, such as signs/v1.safetensors.")
KEYS = Option(
    ..., "--key", help="A private key to sign with; where more have to sign than are at hand, it waits for them."
)
ROOT = Option(None, "--root", help="At the first use: a root that its publisher gave you (root.json).")
FINGERPRINT = Option(None, help="Or the SHA-256 of one.")


@command
def catalogue_init_command(
    folder: Path = Argument(help="A new or an empty folder."),
    root_key: list[Path] = Option(..., help="A key that stays offline; private ones sign, of others (.pub) it waits."),
    root_threshold: int = Option(1, min=1, help="How many of them have to sign."),
    key: list[Path] = Option(..., help="A key for snapshot and timestamp, which are signed often."),
    targets_key: list[Path] = Option([], help="A key that answers for entries [those of --key]."),
    targets_threshold: int = Option(1, min=1, help="How many of them have to sign."),
    days: float | None = Option(
        None, min=0.01, help="Days until the timestamp has to be signed anew, here and after each change [7]."
    ),
) -> Iterator[Any]:
    """Begin a catalogue: its roles, their keys, and how many of them have to sign."""
    from badnets.trust.catalogue.publish import Keys, init
    from badnets.trust.catalogue.signers import party

    ask = asking()
    root, online = [party(one, ask) for one in root_key], [party(one, ask) for one in key]
    targets = [party(one, ask) for one in targets_key] or online
    change = init(folder, Keys(root, root_threshold), Keys(targets, targets_threshold), Keys(online), days=days)
    yield from _changed(change)
    if change.root_sha256:
        yield f"give others  {folder}/metadata/1.root.json, or its SHA-256 {change.root_sha256}"


@command
def catalogue_add_command(
    folder: Path = FOLDER,
    name: str = NAME,
    file: Path = Argument(help="The network file."),
    key: list[Path] = KEYS,
    card: Path | None = Option(None, help="Its model card."),
    attestations: Path | None = Option(None, help="What is attested of it (badnets attest)."),
    signature: Path | None = Option(None, help="Its signature (badnets sign)."),
    days: float | None = Option(None, min=0.01, help="Days after which it is refused [never]."),
) -> Iterator[Any]:
    """Offer a network under a name; one that is there already is replaced."""
    from badnets.trust.catalogue.publish import add
    from badnets.trust.catalogue.signers import pool_of

    given = {"card": card, "attestations": attestations, "signature": signature}
    companions = {kind: path for kind, path in given.items() if path is not None}
    yield from _changed(add(folder, name, file, pool_of(key, asking()), companions=companions, days=days))


@command
def catalogue_remove_command(folder: Path = FOLDER, name: str = NAME, key: list[Path] = KEYS) -> Iterator[Any]:
    """Offer a network no longer, and delete its bytes."""
    from badnets.trust.catalogue.publish import remove
    from badnets.trust.catalogue.signers import pool_of

    yield from _changed(remove(folder, name, pool_of(key, asking())))


@command
def catalogue_delegate_command(
    folder: Path = FOLDER,
    role: str = Argument(help="What the delegation is called."),
    pattern: str = Argument(help="The names that it may offer, such as 'signs/*'."),
    role_key: list[Path] = Option(..., help="A public key of whoever answers for them."),
    threshold: int = Option(1, min=1, help="How many of them have to sign."),
    key: list[Path] = KEYS,
) -> Iterator[Any]:
    """Let others answer for the names that are like a pattern, with keys of their own."""
    from badnets.trust.catalogue.publish import Keys, delegate
    from badnets.trust.catalogue.signers import party, pool_of

    keys = Keys([party(one, asking()) for one in role_key], threshold)
    yield from _changed(delegate(folder, role, pattern, keys, pool_of(key, asking())))


@command
def catalogue_revoke_command(
    folder: Path = FOLDER,
    revoked: Path = Argument(help="The public key that is to lose all its roles."),
    key: list[Path] = KEYS,
) -> Iterator[Any]:
    """Take a key out of every role that has it, and sign those anew."""
    from badnets.trust.catalogue.publish import revoke
    from badnets.trust.catalogue.signers import party, pool_of

    yield from _changed(revoke(folder, party(revoked, asking()), pool_of(key, asking())))


@command
def catalogue_rotate_command(
    folder: Path = FOLDER,
    old: Path = Argument(help="The key to be replaced; its public half is enough."),
    new: Path = Argument(help="The key in its place."),
    key: list[Path] = KEYS,
) -> Iterator[Any]:
    """Put a new key in the place of an old one, and sign its roles anew; the root by its old keys and its new ones."""
    from badnets.trust.catalogue.publish import rotate
    from badnets.trust.catalogue.signers import party, pool_of

    yield from _changed(rotate(folder, party(old, asking()), party(new, asking()), pool_of(key, asking())))


@command
def catalogue_refresh_command(
    folder: Path = FOLDER,
    key: list[Path] = KEYS,
    days: float | None = Option(None, min=0.01, help="Days until it has to be done again [as before]."),
) -> Iterator[Any]:
    """Sign the timestamp and the snapshot anew before they expire, and publish what waits."""
    from badnets.trust.catalogue.publish import refresh
    from badnets.trust.catalogue.signers import pool_of

    yield from _changed(refresh(folder, pool_of(key, asking()), days=days))


@command
def catalogue_sign_command(
    folder: Path = FOLDER,
    key: list[Path] = Option([], help="A private key to sign with [none: only show what waits, and for whom]."),
    role: str | None = Option(None, help="Of this role alone [all that wait]."),
    copy: Path | None = Option(
        None, "--from", metavar="DIR", help="Take the signatures in a copy of the catalogue that others have signed."
    ),
) -> Iterator[Any]:
    """Add your signature to what waits for more of them; what enough have signed is published with the timestamp's
    key."""
    from badnets.trust.catalogue.publish import sign_staged
    from badnets.trust.catalogue.signers import pool_of

    yield from _changed(sign_staged(folder, pool_of(key, asking()), role=role, copy=copy))


@command
def catalogue_drop_command(
    folder: Path = FOLDER, role: str | None = Option(None, help="Of this role alone [all that wait].")
) -> Iterator[Any]:
    """Take back what waits for signatures; what is published stays."""
    from badnets.trust.catalogue.publish import drop

    yield from _changed(drop(folder, role))


@command
def catalogue_list_command(
    source: str = SOURCE, root: Path | None = ROOT, fingerprint: str | None = FINGERPRINT
) -> Iterator[Any]:
    """What is in a catalogue, and until when that holds."""
    found = _listing(source, root, fingerprint)
    yield found.to_json()
    yield _table(found)
    for one in found.roles:
        until = "has signed nothing yet" if one.expires is None else f"holds until {one.expires:%Y-%m-%d %H:%M} UTC"
        names = f", for {', '.join(one.patterns)}" if one.patterns else ""
        yield f"{one.name} {one.version}  {until}; {one.threshold} of {len(one.keys)} keys{names}"
    if not found.pinned:
        yield "by its own root: nobody has compared that with another; --root or --fingerprint does"


@command
def catalogue_show_command(
    source: str = SOURCE, name: str = NAME, root: Path | None = ROOT, fingerprint: str | None = FINGERPRINT
) -> Iterator[Any]:
    """What a catalogue says of one network."""
    from badnets.core.errors import nearest

    found = {one.name: one for one in _listing(source, root, fingerprint).entries}
    if name not in found:
        raise BadInput(f"expected an entry of {source}, got {name!r}; {nearest(name, found)}")
    yield {"format": "badnets/catalogue-entry/1", **found[name].to_json()}
    yield from _told(found[name])


@command
def get_command(
    watcher: Watcher,
    name: str = NAME,
    source: str | None = Option(None, "--from", help="The catalogue: a URL or a folder [$BADNETS_CATALOGUE]."),
    root: Path | None = ROOT,
    fingerprint: str | None = FINGERPRINT,
    out: Path | None = Option(None, help="Where it goes [its own name, here]."),
    force: bool = Option(False, "--force", help="Overwrite another file there."),
) -> Iterator[Any]:
    """Download a network of a catalogue, and what goes with it, if it is what its publisher has signed last."""
    from badnets.trust.catalogue.getting import get, opened
    from badnets.trust.catalogue.names import check_name

    place = source or os.environ.get(FROM)
    check_name(name)
    if not place:
        raise BadInput(f"expected --from or {FROM}, the catalogue to get {name} from, got none")
    with opened(place, _trusted(root, fingerprint), watcher) as catalogue:
        got = get(name, catalogue, out, force=force)
    yield got.to_json()
    yield from _told(got.entry)
    yield from (f"{kind:<13}{path}" for kind, path in got.files.items())


def _trusted(root: Path | None, fingerprint: str | None) -> Trusted:
    from badnets.trust.catalogue.getting import Trusted

    if root is not None and fingerprint is not None:
        raise BadInput("expected --root or --fingerprint, got both")
    return Trusted(root, fingerprint)


def _listing(source: str, root: Path | None, fingerprint: str | None) -> Listing:
    """Of a folder whose root nobody named or pinned, what its own root says."""
    from badnets.trust.catalogue.getting import opened, pinned
    from badnets.trust.catalogue.shelf import read

    if root is None and fingerprint is None and "://" not in source and not pinned(source):
        return read(Path(source)).listed()
    with opened(source, _trusted(root, fingerprint)) as catalogue:
        return catalogue.listed()


def _changed(change: CatalogueChange) -> Iterator[Any]:
    yield change.to_json()
    versions = ", ".join(f"{role} {version}" for role, version in change.versions.items())
    yield f"{change.did}  ({f'published: {versions}' if versions else 'nothing is published yet'})"
    for one in change.waiting:
        yield f"waiting  {one.role} {one.version} {_for_whom(one)}"
        yield from (f"           {said}" for said in one.says)
    if all(not one.lacks for one in change.waiting) and change.waiting:
        yield "         badnets catalogue refresh publishes it, with the timestamp's key"
    if change.expires:
        first = min(change.expires, key=lambda role: change.expires[role])
        yield f"refresh it before {change.expires[first]:%Y-%m-%d %H:%M} UTC, when the {first} expires"


def _for_whom(one: Waiting) -> str:
    """Who still has to sign."""
    by = f", signed by {', '.join(_keys(one.signed))}" if one.signed else ""
    if not one.lacks:
        return f"for what belongs to it, or the timestamp's key{by}"
    lacks = [
        f"{lack.count} of {', '.join(_keys(lack.of))}{which}"
        for lack, which in zip(one.lacks, ("", ", by its own keys"), strict=False)
    ]
    return f"for {'; and '.join(lacks)} to sign (badnets catalogue sign){by}"


def _keys(fingerprints: Sequence[str]) -> list[str]:
    return [f"key {one[:16]}" for one in fingerprints]


def _table(found: Listing) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "bytes", "date", "until", "attested"):
        table.add_column(title, justify="right" if title == "bytes" else "left")
    for one in found.entries:
        date, until = (f"{day:%Y-%m-%d}" if day else "" for day in (one.date, one.expires))
        table.add_row(one.name, f"{one.size:,}", date, until, "; ".join(one.says))
    return table


def _told(entry: Entry) -> Iterator[str]:
    yield f"{entry.name}  {entry.size:,} bytes, SHA-256 {entry.sha256}"
    until = f", until {entry.expires:%Y-%m-%d}" if entry.expires else ""
    date = f", {entry.date:%Y-%m-%d}" if entry.date else ""
    yield f"offered by   {entry.role}{date}{until}"
    yield from (
        f"attested     {said} (so the catalogue says; badnets verify looks at who signed it)" for said in entry.says
    )
