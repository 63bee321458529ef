"""What is believed: a record carries the SHA-256 of itself and of the files it describes, and every reader checks both.

Inside ``unverified()`` what fails is read all the same, with a warning, and whatever is written then says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

from badnets.core.errors import BadInput
from badnets.core.files import digest, digest_of_json, file_digest

SEAL = "sha256"
"""The field of a record that has its digest."""
SINCE = (0, 3)
"""Records of this version and later have one."""
_DOUBTS: ContextVar[list[str] | None] = ContextVar("doubts", default=None)


class UnverifiedWarning(UserWarning):
    """Something is read that nobody can vouch for."""


@contextmanager
def unverified() -> Iterator[list[str]]:
    """Inside, files that fail their digest are read; the list has a sentence for each."""
    found: list[str] = []
    token = _DOUBTS.set(found)
    try:
        yield found
    finally:
        _DOUBTS.reset(token)


def doubts() -> tuple[str, ...]:
    """What was read unverified so far; every output says it."""
    return tuple(_DOUBTS.get() or ())


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """``record`` with its digest as the last field."""
    rest = {name: value for name, value in record.items() if name != SEAL}
    return {**rest, SEAL: digest(rest)}


def check_seal(file: Path, value: Mapping[str, Any], version: str | None) -> None:
    """Refuse a record whose content is another than when it was written; ``version`` is that of the badnets that wrote
    it. Older ones have no digest, and are read with a warning."""
    if SEAL in value:
        rest = {name: entry for name, entry in value.items() if name != SEAL}
        if value[SEAL] != digest_of_json(rest):
            _doubt(f"expected {file} as it was written, got one that was changed since (its SHA-256 differs)")
    elif version is None or _since(version):
        _doubt(f"expected {file} with the SHA-256 of itself in {SEAL!r}, got one without")
    else:
        words = "was written before records carried a digest of themselves: nobody can tell whether it was changed"
        warnings.warn(f"{file} {words}", UnverifiedWarning, stacklevel=2)


def check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Refuse a file of a record that is another one than the record says; ``files`` has SHA-256 by name. Files that
    are not there are left to those who need them: committed records have none."""
    for name, wanted in files.items():
        path = folder / name
        if Path(name).name != name or name in ("", ".."):
            _doubt(f"expected names of files in {folder} in its record, got {name!r}")
        elif path.is_file() and _digest_of(path, *_state(path)) != wanted:
            _doubt(f"expected {path} to be the file that its record describes, got another one (its SHA-256 differs)")


def _state(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache
def _digest_of(path: Path, *_: int) -> str:
    """A command looks at the same run several times; it is read once while its file is the same."""
    return file_digest(path)


def _doubt(problem: str) -> None:
    found = _DOUBTS.get()
    if found is None:
        raise BadInput(f"{problem}; restore it, make it anew, or go on all the same with --unverified")
    if problem not in found:
        found.append(problem)
        warnings.warn(f"not verified: {problem}", UnverifiedWarning, stacklevel=3)


def _since(version: str) -> bool:
    numbers = version.split(".")[:2]
    return not all(map(str.isdecimal, numbers)) or tuple(int(number[:9]) for number in numbers) >= SINCE
