"""Folders of pictures, and tar archives of them."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from badnets.core import cache
from badnets.core.cache import DataWarning
from badnets.core.errors import BadInput
from badnets.core.files import digest, dumps
from badnets.data.formats.decode import ENDINGS, Decoded, Picture, decode_into, widen
from badnets.data.formats.layout import arrange, ignored
from badnets.data.formats.tarball import is_tar, read_members
from badnets.data.images import ArrayStore, ImageData, Labels, MixedStore, Pixels, PixelStore, Rows, Splits, TakenStore
from badnets.data.registry import source
from badnets.data.request import Request, finish

_FORMAT = 1  # part of every cache key: raise it when the same files would decode to other pixels


@source("folder", "a folder of pictures, or a tar of one", needs_path=True)
def load_folder(request: Request) -> Splits:
    """Pictures in ``train/<class>/...`` and ``test/<class>/...`` (and ``val``), or ``<class>/...`` alone.

    ``request.path`` is a folder or a tar archive, which is read once and never unpacked to disk. Pixels are decoded
    once and then kept in the cache. Options: ``skip_corrupt`` (drop damaged pictures with a warning instead of refusing
    them), ``map_above`` (bytes above which the pixels are memory-mapped).
    """
    options = request.settings(skip_corrupt=False, map_above=cache.MAP_ABOVE)
    path = request.path
    if path is None:
        raise BadInput("expected a path with data 'folder', got none; pass --data PATH")
    if not (path.is_dir() or is_tar(path)):
        raise BadInput(f"expected a folder of pictures or a tar of one, got {path}; check the path")
    found = _pixels(path, request, skip=options["skip_corrupt"])
    if found.decoded.damaged:
        warnings.warn(f"{path}: skipped {_damage(found.decoded)}", DataWarning, stacklevel=3)
    layout = arrange(found.decoded.paths, found.folders, str(path))
    sets = {}
    for part, rows in layout.rows.items():
        store = _store(found, rows, map_above=options["map_above"])
        sets[part] = ImageData(store, Labels(layout.labels[part]), layout.class_names, name=request.name)
    # Size and channels were seen to when decoding.
    asked = replace(request, size=None, grey=None)
    return finish(asked, sets["train"], sets.get("test"), sets.get("select"))


@dataclass(frozen=True, eq=False)
class _Found:
    """Decoded pictures: their pixels one after another in ``pixels`` (bytes,), and the folders of the source."""

    decoded: Decoded
    folders: tuple[str, ...]
    pixels: Pixels


def _damage(decoded: Decoded) -> str:
    shown = ", ".join(f"{path} ({reason})" for path, reason in decoded.damaged[:3])
    more = f" and {len(decoded.damaged) - 3} more" if len(decoded.damaged) > 3 else ""
    return f"{len(decoded.damaged)} damaged pictures: {shown}{more}"


def _pixels(path: Path, request: Request, *, skip: bool) -> _Found:
    """From the cache, or decoded into it; in memory where it cannot be written."""
    source = _Tar(path) if is_tar(path) else _Folder(path)
    key = {
        "format": _FORMAT,
        "source": source.identity,
        "size": request.size,
        "grey": request.grey,
        "skip_corrupt": skip,
    }

    def write(folder: Path) -> None:
        decoded = _decode_to(source, request, skip, lambda: (folder / "pixels.bin").open("w+b"), folder / "narrow.bin")
        index = {"paths": decoded.paths, "shapes": decoded.shapes, "damaged": decoded.damaged}
        (folder / "index.json").write_text(dumps({**index, "folders": source.folders()}, indent=None), encoding="utf-8")

    entry = cache.entry("pictures", key, write, _whole)
    if entry is not None:
        decoded, folders = _read_index(entry)
        size = (entry / "pixels.bin").stat().st_size
        return _Found(decoded, folders, np.memmap(entry / "pixels.bin", np.uint8, mode="r", shape=(size,)))
    memory = io.BytesIO()
    decoded = _decode_to(source, request, skip, lambda: _Kept(memory), None)
    return _Found(decoded, source.folders(), np.frombuffer(memory.getbuffer(), np.uint8))


class _Kept(AbstractContextManager[BinaryIO]):
    """A buffer that stays open when its block ends."""

    def __init__(self, buffer: io.BytesIO) -> None:
        self._buffer = buffer

    def __enter__(self) -> BinaryIO:
        return self._buffer

    def __exit__(self, *_: object) -> None:
        return None


def _decode_to(
    source: _Folder | _Tar,
    request: Request,
    skip: bool,
    sink: Callable[[], AbstractContextManager[BinaryIO]],
    narrow: Path | None,
) -> Decoded:
    """Decode ``source`` to what ``sink()`` opens; where grey and color are mixed all become color.

    ``narrow`` is a file to use on the way then; without it that happens in memory.
    """
    what = f"decoding {request.name}"

    def report(done: int, position: int) -> None:
        request.report(what, position if source.total is None else done, source.total or source.size)

    with ExitStack() as stack:
        out = stack.enter_context(sink())
        decoded = decode_into(out, source.pictures(), size=request.size, grey=request.grey, report=report)
        if not decoded.paths and not decoded.damaged:
            raise BadInput(
                f"expected pictures in {source.path}, got none; expected train/<class>/picture or <class>/picture"
            )
        if decoded.damaged and (not skip or not decoded.paths):
            raise BadInput(
                f"expected whole pictures in {source.path}, got {_damage(decoded)}; "
                "mend or remove them, or set the option skip_corrupt=true"
            )
        if len({c for _, _, c in decoded.shapes}) < 2:
            return decoded
        middle = stack.enter_context(narrow.open("w+b")) if narrow is not None else io.BytesIO()
        out.seek(0)
        while block := out.read(1 << 22):
            middle.write(block)
        middle.seek(0)
        out.seek(0)
        widen(middle, decoded.shapes, out)
    if narrow is not None:
        narrow.unlink()
    return replace(decoded, shapes=tuple((h, w, 3) for h, w, _ in decoded.shapes))


def _read_index(entry: Path) -> tuple[Decoded, tuple[str, ...]]:
    index = json.loads((entry / "index.json").read_text(encoding="utf-8"))
    shapes = tuple((h, w, c) for h, w, c in index["shapes"])
    damaged = tuple((path, reason) for path, reason in index["damaged"])
    return Decoded(tuple(index["paths"]), shapes, damaged), tuple(index["folders"])


def _whole(entry: Path) -> bool:
    """Whether a cache entry has all its bytes."""
    try:
        decoded, _ = _read_index(entry)
        return (entry / "pixels.bin").stat().st_size == sum(h * w * c for h, w, c in decoded.shapes)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _store(found: _Found, rows: Rows, *, map_above: int) -> PixelStore:
    """Some of the pictures, in the order of ``rows``: one array where all pictures of the source have one size."""
    shapes = found.decoded.shapes
    if len(set(shapes)) == 1:
        array = found.pixels.reshape(len(shapes), *shapes[0])
        if array.nbytes > map_above:
            return TakenStore(ArrayStore(array), rows)
        return ArrayStore(np.array(array[rows]))
    sizes = np.array([h * w * c for h, w, c in shapes], np.int64)
    starts = np.cumsum(sizes) - sizes
    held = found.pixels if found.pixels.nbytes > map_above else np.array(found.pixels)
    return MixedStore(tuple(held[starts[i] : starts[i] + sizes[i]].reshape(shapes[i]) for i in rows.tolist()))


class _Folder:
    """The pictures of a folder, in the order of their paths; links are followed, loops are not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: list[tuple[str, Path, int]] = []
        self._folders: list[str] = []
        facts: list[Any] = []
        for name, file in self._walk():
            state = file.stat()
            self._files.append((name, file, state.st_size))
            facts.append((name, state.st_size, state.st_mtime_ns))
        self.identity = {"path": path.resolve(), "files": digest(facts), "folders": digest(self._folders)}
        self.total: int | None = len(self._files)
        self.size = 0

    def _walk(self) -> Iterator[tuple[str, Path]]:
        seen: set[str] = set()
        found: list[tuple[str, Path]] = []
        for base, folders, files in os.walk(self.path, followlinks=True, onerror=_unreadable):
            real = os.path.realpath(base)
            folders[:] = [] if real in seen else sorted(f for f in folders if not ignored(f))
            if real in seen:
                continue
            seen.add(real)
            below = Path(base).relative_to(self.path).as_posix()
            prefix = "" if below == "." else f"{below}/"
            self._folders += [prefix + name for name in folders]
            names = [n for n in files if n.lower().endswith(ENDINGS) and not ignored(n)]
            found += [(prefix + name, Path(base, name)) for name in names]
        yield from sorted(found)

    def folders(self) -> tuple[str, ...]:
        """Every folder, empty ones too."""
        return tuple(sorted(self._folders))

    def pictures(self) -> Iterator[Picture]:
        """To be read when they are decoded."""
        for position, (name, file, length) in enumerate(self._files):
            yield Picture(name, file, length, position + 1)


class _Tar:
    """The pictures of an archive, in its order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        state = path.stat()
        self.identity = {"path": path.resolve(), "size": state.st_size, "mtime": state.st_mtime_ns}
        self.total: int | None = None
        self.size = state.st_size
        self._folders: set[str] = set()

    def folders(self) -> tuple[str, ...]:
        """The folders that the archive names, known when its pictures have been read."""
        return tuple(sorted(self._folders))

    def pictures(self) -> Iterator[Picture]:
        """One pass over the archive."""
        for member in read_members(self.path, ENDINGS):
            if not member.path or ignored(member.path):
                continue
            if member.content is None:
                self._folders.add(member.path)
            else:
                yield Picture(member.path, member.content, len(member.content), member.position)


def _unreadable(error: OSError) -> None:
    raise BadInput(f"expected a readable folder at {error.filename}, got {error.strerror}") from None
