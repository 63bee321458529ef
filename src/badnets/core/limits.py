"""The budget for what comes from outside: how much a file may claim before anything of that size is allocated.

Generous for real data. ``BADNETS_LIMITS=4`` allows four times as much of everything; docs/limits.md has the table.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from badnets.core.errors import BadInput
from badnets.core.text import brief

SETTING = "BADNETS_LIMITS"
"""The environment's word for how many times the usual budget is allowed."""
_MOST = 1e9


def _factor() -> float:
    given = os.environ.get(SETTING, "1")
    try:
        factor = float(given)
    except ValueError:
        factor = 0.0
    if not 0 < factor <= _MOST:
        raise BadInput(f"expected {SETTING} as a number above 0 (1 is the usual budget), got {brief(given)!r}")
    return factor


@dataclass(frozen=True)
class Limit:
    """At most ``usual`` of ``what`` ("pixels in a picture")."""

    usual: int
    what: str

    @property
    def now(self) -> int:
        """With the environment's factor."""
        return int(self.usual * _factor())

    def check(self, claimed: int, where: object) -> None:
        """Raises BadInput where more is ``claimed`` than allowed."""
        if claimed > self.now:
            times = -(-claimed // self.usual)
            way = f"if you trust it, set {SETTING}={times}" if times < 10_000 else "do not trust this file"
            where, got = brief(where, 160), _short(claimed)
            raise BadInput(f"expected at most {self.now:,} {self.what} in {where}, got {got}; {way}")


PICTURE = Limit(64 << 20, "pixels in a picture")
HEAVY_PICTURE = Limit(32 << 20, "pixels in a picture of a kind that takes much memory to decode")
SLOW_PICTURE = Limit(4 << 20, "pixels in a picture of a kind that takes seconds to decode")
PLAYED = Limit(32 << 20, "pixels in a picture on the page to play with")
SCANS = Limit(200, "scans in a JPEG")
INPUT = Limit(4 << 20, "pixels in a network's input")
CLASSES = Limit(100_000, "classes")
NAME = Limit(1000, "letters in a name")
TENSORS = Limit(100_000, "tensors")
LAYERS = Limit(10_000, "layers")
PARAMETERS = Limit(2 << 30, "parameters")
OBJECTS = Limit(100_000, "objects")
STRAYS = Limit(100_000, "members that are of no use")
MEMBER = Limit(256 << 20, "bytes in one file or member of an archive")
ARRAYS = Limit(1000, "arrays in a .npz file")
HEADER = Limit(1 << 20, "bytes in the header of a member")
TEXT = Limit(64 << 20, "bytes of text")
TABLE = Limit(16 << 20, "bytes in a table or an annotation")
DEPTH = Limit(100, "elements in each other")
BLOW_UP = Limit(100, "times its own size, unpacked,")
FREE = 256 << 20
"""Bytes that anything may unpack to, however small it is."""
PICTURES_BLOW_UP = Limit(200, "times its own size in decoded pictures")
PICTURES_FREE = 512 << 20
"""Bytes that the pictures of a set may decode to, however small they are."""


def known() -> dict[str, Limit]:
    """All of them by name, for docs/limits.md."""
    return {name: value for name, value in globals().items() if isinstance(value, Limit)}


def check_unpacked(unpacked: int, packed: int, where: object, *, limit: Limit = BLOW_UP, free: int = FREE) -> None:
    """Refuse what grows by far more than data does when it is unpacked; ``free`` bytes are never refused."""
    if unpacked > free:
        limit.check(unpacked // max(1, packed), where)


def check_name(name: str, where: object) -> str:
    """A name of a file or class in ``where``, which goes into records: refused where it is too long, or no text."""
    NAME.check(len(name), where)
    try:
        name.encode()
    except UnicodeEncodeError:
        got = ascii(brief(name))
        raise BadInput(f"expected names in UTF-8 in {brief(where, 160)}, got {got}; rename it") from None
    return name


@contextmanager
def within_memory(where: object) -> Iterator[None]:
    """What is read inside and needs more memory, or deeper nesting, than there is becomes bad input."""
    try:
        yield
    except MemoryError:
        raise BadInput(f"expected what fits into memory in {where}, got more; do not trust this file") from None
    except RecursionError:
        raise BadInput(f"expected plain nesting in {where}, got it deeper than can be read; do not trust it") from None


def _short(number: int) -> str:
    return f"{number:,}" if number < 10**15 else f"about 10^{len(str(number)) - 1}" if number < 10**300 else "far more"


# Of networks.
DESCRIPTION = Limit(16 << 20, "bytes in the description of a network")  # our largest have some 100 kB
CATALOG = Limit(16 << 20, "bytes in an archive's list of members")
STEPS = Limit(1_000_000, "steps of a pickle")  # about 30 a tensor, and torch takes microseconds for each
FIELDS = Limit(500_000, "fields in an ONNX network")  # our largest have some 50,000
ONNX = Limit(1 << 30, "bytes in an ONNX network")
SIDES = Limit(1 << 18, "whole numbers from which sizes are worked out")
FOLDED = Limit(1 << 22, "numbers in what constants are worked out to")
WEIGHTS = Limit(100_000_000, "weights in an ONNX network")  # of which a graph says that they are in a file
MAP = Limit(1 << 26, "numbers in what a layer gives for one picture")
REPEATED = Limit(8, "times its own size, unpacked,")
"""Of tensors that may share their numbers: a layer that is used twice needs 2."""
