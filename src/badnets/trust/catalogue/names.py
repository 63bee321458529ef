"""What a catalogue's names, files and limits are like."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from tuf.ngclient import UpdaterConfig

from badnets.core.errors import BadInput
from badnets.core.text import brief

METADATA, TARGETS = "metadata", "targets"
"""The two folders."""
TOP = ("root", "targets", "snapshot", "timestamp")
"""The roles that every catalogue has."""
COMPANIONS = {"card": ".card", "attestations": ".intoto.jsonl", "signature": ".sig"}
"""What may go with an entry, and how its name goes on; a card keeps its own ending behind that."""
LIMITS = UpdaterConfig()
"""Bytes and steps that metadata may have, at most."""
MOST = {
    "root": LIMITS.root_max_length,
    "snapshot": LIMITS.snapshot_max_length,
    "timestamp": LIMITS.timestamp_max_length,
}
"""Bytes of metadata, by role; that of all others is ``LIMITS.targets_max_length``."""
MADE, FOR = "badnets-made", "badnets-days"
"""Of a timestamp: when it was made (a clock that is behind it is wrong), and for how many days each holds."""
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_LONGEST = 200


def now() -> datetime:
    """In whole seconds, as metadata has it."""
    return datetime.now(timezone.utc).replace(microsecond=0)


def check_name(name: str) -> str:
    """A name of an entry: parts of letters, digits and ``._+-`` with ``/`` between them, so that it is a file name
    everywhere. Raises ``BadInput`` for others, ``..`` above all."""
    parts = name.split("/")
    if ".." in parts or name.startswith(("/", "\\")):
        raise BadInput(f"expected a name inside the catalogue, got {brief(name)!r}, which leads out of it")
    if len(name) > _LONGEST or not all(_PART.fullmatch(part) for part in parts):
        raise BadInput(
            f"expected a name of at most {_LONGEST} letters, digits and ._+- with / between its parts, such as "
            f"signs/v1.safetensors, got {brief(name)!r}"
        )
    return name


def check_role(name: str) -> str:
    """A name of a delegation. Raises ``BadInput`` for others."""
    if name in TOP or not _PART.fullmatch(name) or len(name) > _LONGEST:
        raise BadInput(f"expected a name of letters, digits and ._+- for a delegation, got {brief(name)!r}")
    return name


def patterns_of(pattern: str) -> list[str]:
    """What a delegation of names like ``pattern`` covers: them, and what goes with them."""
    check_name(re.sub(r"[*?\[\]!]", "x", pattern))
    return [pattern] if pattern.endswith("*") else [pattern, f"{pattern}.*"]


def hashed(name: str, sha256: str) -> str:
    """Where the bytes of ``name`` lie below ``targets``: each version beside the others."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{sha256}.{file}"
