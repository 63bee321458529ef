"""What ``badnets catalogue`` and ``badnets get`` say."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from badnets.records.model import Model


class Companion(Model):
    """A file that belongs to an entry: its name in the catalogue, and its SHA-256."""

    name: str
    sha256: str


class Entry(Model):
    """One network of a catalogue."""

    name: str
    sha256: str
    size: int = Field(description="bytes")
    role: str = Field(description="who answers for it: targets, or the name of a delegation")
    date: datetime | None = Field(description="when it was added")
    expires: datetime | None = Field(description="from then on it is refused; null: never")
    says: tuple[str, ...] = Field(description="what is attested of it, as the publisher read it")
    files: dict[str, Companion] = Field(description="card, attestations, signature: those there are")


class RoleState(Model):
    """One role of a catalogue: ``keys`` are their fingerprints, ``patterns`` the names that a delegation may use."""

    name: str
    version: int
    expires: datetime | None = Field(description="null: it has signed nothing yet")
    threshold: int
    keys: tuple[str, ...]
    patterns: tuple[str, ...]


class Listing(Model):
    """``badnets catalogue list`` and ``show``."""

    format: Literal["badnets/catalogue/1"] = "badnets/catalogue/1"
    source: str
    pinned: bool = Field(description="whether the root is one that was pinned, not just the catalogue's own")
    root_sha256: str = Field(description="of the newest root")
    roles: tuple[RoleState, ...]
    entries: tuple[Entry, ...]


class Lacking(Model):
    """Signatures that are still needed."""

    count: int
    of: tuple[str, ...] = Field(description="fingerprints of the keys that may make them")


class Waiting(Model):
    """New metadata of a role that is not published yet."""

    role: str
    version: int
    says: tuple[str, ...] = Field(description="what is new in it")
    signed: tuple[str, ...] = Field(description="fingerprints of the keys that have signed it")
    lacks: tuple[Lacking, ...] = Field(description="of a root up to two: by the root before, and by itself")


class CatalogueChange(Model):
    """What an action of a publisher did. ``versions`` and ``expires`` are those of what is published."""

    format: Literal["badnets/catalogue-change/1"] = "badnets/catalogue-change/1"
    catalogue: str
    did: str
    root_sha256: str | None = Field(description="of the newest published root; null where none is")
    versions: dict[str, int]
    expires: dict[str, datetime]
    waiting: tuple[Waiting, ...] = Field(description="what has to be signed by more, or with the timestamp's key")


class Got(Model):
    """``badnets get``. ``files``: where each of them lies."""

    format: Literal["badnets/got/1"] = "badnets/got/1"
    source: str
    root_sha256: str = Field(description="of the newest root that the pinned one leads to")
    entry: Entry
    files: dict[str, str]
