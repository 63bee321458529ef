"""Canonical JSON; and files and folders that appear whole or not at all, whenever a process is killed."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import stat
import sys
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

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MANY = 200
"""A folder of more files is kept by one word to all disks."""


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
    return digest_of_json(_plain(value))


def digest_of_json(value: Any) -> str:
    """The same of a value that was read from JSON: nothing has to be made plain, which takes most of the time."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError:  # JSON in the words of Python: NaN, Infinity
        raise BadInput("a record holds finite numbers, got NaN or infinity") from None
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


def identity_of(state: os.stat_result) -> tuple[int, ...]:
    """What changes when a file does: its size and its time, and because another file can be given those, its number on
    the disk and when it was last touched."""
    return state.st_size, state.st_mtime_ns, state.st_ino, state.st_ctime_ns


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


def parse_json(content: bytes, where: object) -> Any:
    """The value of JSON text in UTF-8; refused in a sentence that names ``where`` where it is none, or too deep."""
    TEXT.check(len(content), where)
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, brackets or digits without end
        raise BadInput(f"expected JSON in {where}, got something else ({error}); the file may be damaged") from None


def read_json(path: Path, *, format: str | None = None) -> Any:
    """Read a JSON file; a wrong ``"format"`` is refused by name."""
    try:
        value = parse_json(read_bytes(path, TEXT, "a JSON file"), path)
    except FileNotFoundError:
        raise BadInput(f"expected a file at {path}, got nothing; check the path") from None
    if format is not None and (not isinstance(value, dict) or value.get("format") != format):
        got = value.get("format") if isinstance(value, dict) else type(value).__name__
        raise BadInput(f"expected format {format!r} in {path}, got {got!r}")
    return value


@contextmanager
def whole_file(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """A path that does not exist yet, for a file that takes the name ``path`` when the block ends well, and is removed
    otherwise. ``mode``: who may read and write it."""
    check_regular(path, "a file to write")
    with temporary_folder(path) as folder:
        partial = folder / path.name
        yield partial
        partial.chmod(mode)
        settle(partial)
        partial.replace(path)
        settle(path.parent)


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """A folder that takes the name ``final``, which must be free, when the block ends well; else it is removed."""
    with temporary_folder(final) as folder:
        partial = folder / final.name
        partial.mkdir()
        yield partial
        publish_folder(partial, final, replace=False)


@contextmanager
def temporary_folder(place: Path | None = None) -> Iterator[Path]:
    """A folder beside ``place`` (without one, where the system keeps such) that is gone when the block ends. It is held
    while the block runs: what a killed process left is removed by the next that begins one for the same place."""
    place = Path(tempfile.gettempdir(), "badnets") if place is None else place
    place.parent.mkdir(parents=True, exist_ok=True)
    tidy(place)
    while True:
        folder = _beside(place, ".partial")
        folder.mkdir(mode=0o700)
        try:
            held = _hold(folder)
            break
        except (BlockingIOError, FileNotFoundError):  # another process took it for a leftover, at once
            continue
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def publish_folder(partial: Path, final: Path, *, replace: bool = True) -> None:
    """Give a finished folder (or file) its name. What had that name before gives way in one step, so that a process
    that is killed leaves the one or the other; without ``replace`` there must be nothing but an empty folder.

    Where the system cannot exchange two names, a killed process may leave none: ``tidy`` puts the old one back.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    _settle_all(partial)
    if not final.exists() or not replace:
        try:
            partial.rename(final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise BadInput(
                f"expected {final} to be free still, got something that appeared meanwhile; move that away, and the "
                "same command again ends at once"
            ) from None
    elif exchange(partial, final):
        settle(final.parent)
        discard(partial)
    else:
        was, held = _beside(final, ".was"), _hold(final)
        try:
            final.rename(was)
            partial.rename(final)
        finally:  # whatever went wrong, Ctrl-C between the two renames included
            if was.exists() and not final.exists():
                was.rename(final)
            if held is not None:
                os.close(held)
        discard(was, beside=final)
    settle(final.parent)


def discard(path: Path, *, beside: Path | None = None) -> None:
    """Remove a file or a folder with all that is in it: under its name it is there whole or not at all. What a killed
    process leaves of it is removed with what it left ``beside`` another place (default: ``path``)."""
    if path.is_dir():
        old = _beside(beside or path, ".old")
        with contextlib.suppress(OSError):
            path.rename(old)
            path = old
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def tidy(place: Path) -> None:
    """Remove what killed processes left beside ``place`` under temporary names of ours and no process holds any more;
    a folder that had been moved away for one that never came is put back."""
    ours = re.compile(rf"\.{re.escape(place.name)}\.t-[0-9a-f]{{8}}\.(partial|old|was)")
    try:
        found = [path for path in place.parent.iterdir() if ours.fullmatch(path.name)]
    except OSError:
        return
    for left in found:
        with contextlib.suppress(OSError):
            held = _hold(left)
            if left.suffix == ".was" and not place.exists():
                left.rename(place)
            elif held is not None:  # where there are no locks nobody can tell whether it is in use
                shutil.rmtree(left, ignore_errors=True)
            if held is not None:
                os.close(held)


def check_place(folder: Path) -> None:
    """Refuse a folder that cannot be replaced by another: the current one, one around it, the root of a disk."""
    folder = folder.resolve()
    if Path.cwd().is_relative_to(folder) or os.path.ismount(folder):
        raise BadInput(
            f"expected --out to be a folder of its own, got {folder}, which is the current folder, one around it, or "
            "the root of a disk; name a new folder"
        )


def settle(path: Path) -> None:
    """Have the disk keep a file, or what a folder lists, before something is promised that rests on it."""
    if os.name != "posix":  # other systems have no folders that can be opened
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):  # some file systems know no such thing
            raise
    finally:
        os.close(handle)


def _settle_all(path: Path) -> None:
    inside = [*path.rglob("*")] if path.is_dir() else []
    if len(inside) > MANY and hasattr(os, "sync"):
        os.sync()
        return
    for one in (*inside, path):
        settle(one)


def link(source: Path, target: Path) -> None:
    """``target`` (replaced if it is there) as another name of the file ``source``, or a copy where there are none."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def exchange(first: Path, second: Path) -> bool:
    """Let two files or folders of one disk swap their names in one step; False where the system cannot."""
    try:
        system = ctypes.CDLL(None, use_errno=True)
        names = os.fsencode(first), os.fsencode(second)
        if sys.platform == "darwin":
            failed = system.renamex_np(*names, 2)  # RENAME_SWAP
        else:
            here = -100  # AT_FDCWD
            failed = system.renameat2(here, names[0], here, names[1], 2)  # RENAME_EXCHANGE
    except (AttributeError, OSError, TypeError):  # an older system, or another one
        return False
    if not failed:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM):
        return False
    raise OSError(code, os.strerror(code), str(second))


def _beside(place: Path, ending: str) -> Path:
    """A new name beside ``place``, one of those that ``tidy`` knows."""
    return place.with_name(f".{place.name}.t-{secrets.token_hex(4)}{ending}")


def _hold(path: Path) -> int | None:
    """What holds the lock of a file or folder until it is closed, or the process ends; None where the system has none.
    Raises ``BlockingIOError`` where another process holds it, ``FileNotFoundError`` where it is gone."""
    if fcntl is None:
        return None
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        gone = os.fstat(handle).st_ino != path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        os.close(handle)
        raise
    except OSError:  # a disk of the network without locks
        os.close(handle)
        return None
    if gone:  # and another has its name
        os.close(handle)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return handle
