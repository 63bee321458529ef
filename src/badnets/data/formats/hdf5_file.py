"""The one gate to HDF5 files: what is in one is looked at before anything is read.

HDF5 can take its numbers from other files (external storage, external links, virtual sets), load plug-ins for filters,
and give zeros for what was never written. Plain numbers with well-known filters are let through, all else is refused by
name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from badnets.core.errors import BadInput, first_line
from badnets.core.files import check_regular
from badnets.core.limits import OBJECTS, check_unpacked

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_KNOWN = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}
"""Filters that are part of HDF5 or h5py; any other would be looked for in plug-ins."""
DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError, SystemError)
"""What h5py raises on files that are not whole."""


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """The file, once everything in it was looked at.

    Raises BadInput for what is no regular file, damaged, or holds what is not plain.
    """
    import h5py

    check_regular(path, "an HDF5 file")
    try:
        with h5py.File(path, "r") as file:
            _walk(file, path)
            yield file
    except DAMAGE as error:
        raise BadInput(
            f"expected a whole HDF5 file at {path}, got a truncated or damaged one or something else "
            f"({first_line(error)}); get it again"
        ) from None


def _walk(file: Any, path: Path) -> None:
    """Every link and every dataset, each once."""
    import h5py

    count = 0

    def look(name: str, link: Any) -> BadInput | None:
        nonlocal count
        count += 1
        try:
            OBJECTS.check(count, path)
        except BadInput as error:
            return error
        if isinstance(link, h5py.HardLink):
            return None
        to = getattr(link, "filename", None) or getattr(link, "path", "something else")
        return BadInput(f"expected plain data in {path}, got a link at {name!r} to {to!r}; do not trust this file")

    def look_into(name: str, item: Any) -> BadInput | None:
        try:
            if isinstance(item, h5py.Dataset):
                check_plain(item, name, path)
        except BadInput as error:
            return error
        return None

    # Given back, not raised: through the C library's walk an error comes up as a SystemError at times.
    problem = file.visititems_links(look) or file.visititems(look_into)
    if problem is not None:
        raise problem


def check_plain(item: Any, name: str, path: Path) -> None:
    """Refuse a dataset whose numbers are not all in this file, plainly."""
    what = f"expected plain data in {path}, got {name!r}"
    if item.external:
        raise BadInput(f"{what} stored in another file ({item.external[0][0]!r}); do not trust this file")
    if item.is_virtual:
        raise BadInput(f"{what} put together from other files; write it out as one")
    plist = item.id.get_create_plist()
    for i in range(plist.get_nfilters()):
        number = plist.get_filter(i)[0]
        if number not in _KNOWN:
            raise BadInput(f"{what} under filter {number}, which needs a plug-in; save it with gzip or without")
    if item.dtype.hasobject or not item.size:  # texts of any length, references: nobody reads them as numbers
        return
    size = item.id.get_storage_size()
    if item.chunks is not None:
        chunks = math.prod(-(-side // chunk) for side, chunk in zip(item.shape, item.chunks, strict=True))
        written = item.id.get_num_chunks() >= chunks
    else:
        written = size >= item.nbytes
    if not written:
        raise BadInput(f"{what} only in part: some of it was never written; save it again")
    check_unpacked(item.nbytes, size, f"{path} ({name})")
