"""Freed memory is kept, where the C library is glibc and nobody said otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from badnets.core.memory import _glibc

OWN_BLOCKS = textwrap.dedent("""
    import ctypes
    from badnets.core.memory import keep_freed_memory

    class Use(ctypes.Structure):
        _fields_ = [(name, ctypes.c_int) for name in "arena free small own own_bytes a b c d top".split()]

    library = ctypes.CDLL(None)
    library.mallinfo.restype = Use
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    keep_freed_memory()
    before = library.mallinfo().own
    library.malloc(64 << 20)
    print(library.mallinfo().own - before)
""")


@pytest.mark.skipif(not _glibc(), reason="another C library")
@pytest.mark.parametrize(("said", "own"), [({}, 0), ({"MALLOC_ARENA_MAX": "2"}, 1)])
def test_large_blocks_come_from_what_is_kept(said: dict[str, str], own: int) -> None:
    quiet = {name: text for name, text in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", OWN_BLOCKS], env=quiet | said, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == own


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    from badnets.core import memory

    def without(name: str) -> str:
        raise ValueError(name)

    monkeypatch.setattr(os, "confstr", without, raising=False)
    assert not memory._glibc()
    memory.keep_freed_memory()
