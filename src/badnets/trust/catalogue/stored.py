"""Metadata as it lies in a catalogue's folder: read from there, and whether its keys have signed it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from badnets.core.errors import BadInput
from badnets.core.files import read_bytes
from badnets.core.limits import TEXT

T = TypeVar("T", Root, Targets, Snapshot, Timestamp)


def holds(by: Root | Targets, name: str, made: Metadata[Any]) -> bool:
    """Whether as many of the keys that ``by`` gives the role ``name`` have signed ``made`` as have to."""
    try:
        by.verify_delegate(name, made.signed_bytes, made.signatures)
    except (RepositoryError, ValueError):
        return False
    return True


def read_metadata(path: Path, kind: type[T]) -> Metadata[T]:
    """The metadata in a file. Raises ``BadInput`` for links, for what is none, and for that of another role."""
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


def sha256(made: Metadata[Any]) -> str:
    """Of the file that it is."""
    return hashlib.sha256(made.to_bytes()).hexdigest()
