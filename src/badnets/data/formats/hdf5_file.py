"""The one gate to HDF5 files: what is in one is looked at before anything is read.

HDF5 can take its numbers from other files (external storage, external links, virtual sets), load plug-ins for filters,
and give zeros for what was never written. Plain numbers with well-known filters are let through, all else is refused by
name.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from badnets.core.errors import BadInput, first_line
from badnets.core.files import check_regular
from badnets.core.limits import OBJECTS, check_unpacked
from badnets.core.text import brief

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_KNOWN = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}
"""Filters that are part of HDF5 or h5py; any other would be looked for in plug-ins."""
_ADVICE = {"outside": "do not trust this file", "filter": "save it with gzip or without"}
_DEEPEST = 100
DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError)
"""What h5py raises on files that are not whole."""


@contextmanager
def open_hdf5(path: Path, content: bytes | None = None) -> Iterator[Any]:
    """The file, once everything in it was looked at; or the one that an archive at ``path`` has as ``content``.

    Raises BadInput for what is no regular file, damaged, or holds what is not plain.
    """
    import h5py

    check_regular(path, "an HDF5 file")
    try:
        with h5py.File(path if content is None else io.BytesIO(content), "r") as file:
            _walk(file, path, path.stat().st_size if content is None else len(content))
            yield file
    except DAMAGE as error:
        raise BadInput(
            f"expected a whole HDF5 file at {path}, got a truncated or damaged one or something else "
            f"({brief(first_line(error))}); get it again"
        ) from None


def _walk(file: Any, path: Path, size: int) -> None:
    """Every link and every dataset, each once."""
    import h5py

    unpacked, stored = 0, 0
    for name, item in everything(file, path, _refuse(path)):
        if isinstance(item, h5py.Dataset):
            larger, smaller = check_plain(item, name, path)
            unpacked, stored = unpacked + larger, stored + smaller
            if stored > size:  # several datasets, or chunks of one, may say that the same bytes are theirs
                raise BadInput(f"expected {stored:,} bytes of data in {path}, got {size:,}; do not trust this file")
            check_unpacked(unpacked, size, path)


def _refuse(path: Path) -> Callable[[str, Any], None]:
    """What refuses a link that is not plain, at its name."""

    def refuse(name: str, link: Any) -> None:
        to = str(getattr(link, "filename", None) or getattr(link, "path", "something else"))
        got = f"a link at {name[:60]!r} to {to[:60]!r}"
        raise BadInput(f"expected plain data in {path}, got {got}; do not trust this file")

    return refuse


def everything(file: Any, path: Path, strange: Callable[[str, Any], None]) -> Iterator[tuple[str, Any]]:
    """Each group, dataset and type once, with its name; links that are not plain are not followed, but go to
    ``strange`` with their name.

    Not by h5py's own walk: that one looks every name up from the root, finds no end to groups in each other, and turns
    errors of whoever looks into a ``SystemError`` at times.
    """
    import h5py

    count, seen = 0, set()

    def inside(group: Any, above: str, depth: int) -> Iterator[tuple[str, Any]]:
        nonlocal count
        if depth > _DEEPEST:
            raise BadInput(f"expected at most {_DEEPEST} groups in each other in {path}, got more; save it flatter")
        for key in group:
            count += 1
            OBJECTS.check(count, path)
            name, link = f"{above}{key}", group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                strange(name, link)
                continue
            item = group[key]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            yield name, item
            if isinstance(item, h5py.Group):
                yield from inside(item, f"{name}/", depth + 1)

    yield from inside(file, "", 1)


def not_plain(item: Any) -> Iterator[tuple[Literal["outside", "filter"], str]]:
    """Where the numbers of a dataset are not plainly in this file, in words."""
    if item.external:
        yield "outside", f"stored in another file ({brief(repr(item.external[0][0]))})"
    if item.is_virtual:
        yield "outside", "put together from other files"
    plist = item.id.get_create_plist()
    for i in range(plist.get_nfilters()):
        number = plist.get_filter(i)[0]
        if number not in _KNOWN:
            yield "filter", f"under filter {number}, which needs a plug-in"


def check_plain(item: Any, name: str, path: Path) -> tuple[int, int]:
    """The bytes that a dataset unpacks to, and those that it has in the file; refused is one whose numbers are not all
    in this file, plainly."""
    what = f"expected plain data in {path}, got {brief(repr(name))}"
    for kind, words in not_plain(item):
        raise BadInput(f"{what} {words}; {_ADVICE[kind]}")
    size = int(item.id.get_storage_size())
    if item.dtype.hasobject or not item.size:  # texts of any length, references: nobody reads them as numbers
        return 0, size
    unpacked = int(item.nbytes)
    if item.chunks is not None:
        chunks = math.prod(-(-side // chunk) for side, chunk in zip(item.shape, item.chunks, strict=True))
        written = item.id.get_num_chunks() >= chunks
        unpacked = chunks * math.prod(item.chunks) * item.dtype.itemsize  # a chunk is unpacked whole
    else:
        written = size >= item.nbytes
    if not written:
        raise BadInput(f"{what} only in part: some of it was never written; save it again")
    return unpacked, size
