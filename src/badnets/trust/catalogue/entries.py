"""Entries of a catalogue, as they stand in its metadata; and what a catalogue lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import AwareDatetime, ConfigDict, Field, ValidationError
from tuf.api.metadata import Delegations, Root, Snapshot, TargetFile, Targets, Timestamp

from badnets.core.errors import BadInput
from badnets.core.text import brief
from badnets.records.catalogue import Companion, Entry, Listing, RoleState
from badnets.records.model import Model
from badnets.trust.catalogue.names import COMPANIONS
from badnets.trust.keys import fingerprint_of_pem


class Said(Model):
    """What we write beside a target's hashes. Whatever a newer version says more is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    of: str | None = None
    """Of what entry this is a companion."""
    date: AwareDatetime | None = None
    expires: AwareDatetime | None = None
    says: tuple[str, ...] = ()
    files: dict[str, Companion] = Field(default_factory=dict)

    def custom(self) -> dict[str, Any]:
        """As TUF keeps it: without what is not there, and without floats, which its canonical JSON has not."""
        return {"badnets": self.model_dump(mode="json", exclude_defaults=True)}


def said_of(target: TargetFile) -> Said:
    """What stands beside its hashes. Raises ``BadInput`` for what is damaged."""
    custom = target.custom if isinstance(target.custom, dict) else {}
    try:
        return Said.model_validate(custom.get("badnets", {}))
    except ValidationError as error:
        got = brief(error.errors()[0]["msg"])
        raise BadInput(f"expected an entry of badnets at {brief(target.path)}, got another ({got})") from None


def sha256_of(target: TargetFile) -> str:
    """The SHA-256. Raises ``BadInput`` where the catalogue has none."""
    sha = target.hashes.get("sha256", "")
    if len(sha) != 64 or set(sha) - set("0123456789abcdef"):
        raise BadInput(f"expected the SHA-256 of {brief(target.path)} in the catalogue, got none")
    return sha


def entry_of(target: TargetFile, role: str) -> Entry:
    """An entry as a record. Raises ``BadInput`` for companions that could lead elsewhere."""
    said = said_of(target)
    for kind, one in said.files.items():
        behind = one.name.removeprefix(target.path)
        if behind == one.name or "/" in behind or not behind.startswith(COMPANIONS.get(kind, "/")):
            raise BadInput(f"expected a companion of {brief(target.path)}, got {brief(one.name)!r}")
    return Entry(
        name=target.path,
        sha256=sha256_of(target),
        size=target.length,
        role=role,
        date=said.date,
        expires=said.expires,
        says=said.says,
        files=said.files,
    )


def listing(
    source: str,
    root: Root,
    root_sha256: str,
    signed: Mapping[str, Targets | Snapshot | Timestamp],
    *,
    pinned: bool,
) -> Listing:
    """What a catalogue holds, of its root and the verified metadata of its roles by their names."""
    top = signed["targets"]
    delegations = top.delegations if isinstance(top, Targets) else None
    entries: dict[str, Entry] = {}
    for role, one in signed.items():
        for target in one.targets.values() if isinstance(one, Targets) else ():
            if said_of(target).of is None and target.path not in entries and _may(delegations, role, target.path):
                entries[target.path] = entry_of(target, role)
    known: dict[str, Root | Targets | Snapshot | Timestamp] = {"root": root, **signed}
    states = [_state(name, role, root.keys, known.get(name)) for name, role in root.roles.items()]
    keys = delegations.keys if delegations else {}
    for name, role in delegated(delegations).items():
        states.append(_state(name, role, keys, known.get(name), tuple(role.paths or ())))
    named = tuple(entries[name] for name in sorted(entries))
    return Listing(source=source, pinned=pinned, root_sha256=root_sha256, roles=tuple(states), entries=named)


def delegated(delegations: Delegations | None) -> dict[str, Any]:
    """The delegations by their names."""
    return dict(delegations.roles or {}) if delegations else {}


def _may(delegations: Delegations | None, role: str, name: str) -> bool:
    """Whether somebody who asks for ``name`` would be led to ``role``."""
    found = delegated(delegations).get(role)
    return found is None or bool(found.is_delegated_path(name))


def _state(name: str, role: Any, keys: Mapping[str, Any], signed: Any, patterns: tuple[str, ...] = ()) -> RoleState:
    return RoleState(
        name=name,
        version=signed.version if signed else 0,
        expires=signed.expires if signed else None,
        threshold=role.threshold,
        keys=tuple(fingerprint_of_pem(keys[one].keyval["public"]) for one in role.keyids if one in keys),
        patterns=patterns,
    )
