"""What a process does with memory that it no longer needs."""

from __future__ import annotations

import os

KEPT = 1 << 30
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of malloc.h


def keep_freed_memory() -> None:
    """From now on this process keeps what it frees, up to ``KEPT`` bytes, for its own next use. Each batch makes
    tensors of the same sizes; glibc gives large ones back to the system, which clears every page of them when they are
    asked for again. Other C libraries are left as they are, and so is one of which the environment says what to do."""
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ) or not _glibc():
        return
    import ctypes

    library = ctypes.CDLL(None)
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, KEPT)


def _glibc() -> bool:
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, OSError, ValueError):  # no confstr on Windows, no such name elsewhere
        return False
