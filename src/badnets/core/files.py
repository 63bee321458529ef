"""Canonical JSON and folders that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from badnets.core.errors import BadInput
from badnets.core.limits import TEXT, Limit
from badnets.core.text import escaped

if TYPE_CHECKING:
    from _typeshed import SupportsRead


def _plain(value: Any) -> Any:
    """Plain JSON values; NaN and infinity are refused: a reader could not tell what they mean."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        raise BadInput(f"a record holds finite numbers, got {value}")
    if isinstance(value, Path):
        return value.as_posix()
    return value


def dumps(value: Any, *, indent: int | None = 2) -> str:
    """JSON with a fixed layout: keys in the order given, finite numbers only, UTF-8 left readable."""
    return escaped(json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False))


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON value, independent of the order of its keys."""
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def check_regular(path: Path, wanted: str = "a file") -> None:
    """Refuse what is there and no regular file: a pipe or a device would block whoever opens it, or never end."""
    mode = path.stat().st_mode if path.exists() else stat.S_IFREG
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        got = kinds.get(stat.S_IFMT(mode), "a device")
        raise BadInput(f"expected {wanted} at {path}, got {got}; name a regular file")


def read_bytes(path: Path, limit: Limit, wanted: str = "a file") -> bytes:
    """All bytes of a regular file that is no larger than the ``limit``; errors of the system are raised as they are."""
    check_regular(path, wanted)
    with path.open("rb") as file:
        limit.check(os.fstat(file.fileno()).st_size, path)
        return file.read()


def expanded(path: str | Path) -> Path:
    """A path with ``~`` as a home folder; refused where there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise BadInput(f"expected a path, got {path}, whose home folder is not known; write it out") from None


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file's content."""
    with path.open("rb") as file:
        return stream_digest(file)


def stream_digest(stream: SupportsRead[bytes]) -> str:
    """SHA-256 (hex) of what is left in a stream."""
    total = hashlib.sha256()
    while block := stream.read(1 << 20):
        total.update(block)
    return total.hexdigest()


def write_text(path: Path, text: str) -> Path:
    """Write ``text`` so that a reader sees the old file or the new one, never half of it; returns where it is."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, value: Any) -> None:
    """The same with ``value`` as JSON."""
    write_text(path, dumps(value) + "\n")


def read_json(path: Path, *, format: str | None = None) -> Any:
    """Read a JSON file; a wrong ``"format"`` is refused by name."""
    try:
        value = json.loads(read_bytes(path, TEXT, "a JSON file").decode("utf-8"))
    except FileNotFoundError:
        raise BadInput(f"expected a file at {path}, got nothing; check the path") from None
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, brackets or digits without end
        raise BadInput(f"expected JSON in {path}, got something else ({error}); the file may be damaged") from None
    if format is not None and (not isinstance(value, dict) or value.get("format") != format):
        got = value.get("format") if isinstance(value, dict) else type(value).__name__
        raise BadInput(f"expected format {format!r} in {path}, got {got!r}")
    return value


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name when the block ends well, and is removed otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o644)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def publish_folder(partial: Path, final: Path) -> None:
    """Give a finished folder (or file) its name; what had that name before is kept until the new one stands."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if not final.exists():
        partial.rename(final)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".old", dir=final.parent))
    try:
        final.rename(old / "was")
        partial.rename(final)
    finally:
        # Whatever went wrong, Ctrl-C between the two renames included: the old folder goes back to its place.
        if not final.exists() and (old / "was").exists():
            (old / "was").rename(final)
        shutil.rmtree(old, ignore_errors=True)
