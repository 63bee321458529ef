"""The budget for what comes from outside: how much a file may claim before anything of that size is allocated.

Generous for real data. ``BADNETS_LIMITS=4`` allows four times as much of everything; docs/limits.md has the table.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from badnets.core.errors import BadInput

SETTING = "BADNETS_LIMITS"
"""The environment's word for how many times the usual budget is allowed."""


def _factor() -> float:
    given = os.environ.get(SETTING, "1")
    try:
        factor = float(given)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise BadInput(f"expected {SETTING} as a number above 0 (1 is the usual budget), got {given!r}")
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
            raise BadInput(f"expected at most {self.now:,} {self.what} in {where}, got {_short(claimed)}; {way}")


PICTURE = Limit(64 << 20, "pixels in a picture")
INPUT = Limit(4 << 20, "pixels in a network's input")
CLASSES = Limit(100_000, "classes")
NAME = Limit(1000, "letters in a name")
TENSORS = Limit(100_000, "tensors")
PARAMETERS = Limit(2 << 30, "parameters")
OBJECTS = Limit(100_000, "objects")
STRAYS = Limit(100_000, "members that are of no use")
MEMBER = Limit(512 << 20, "bytes in one member of an archive")
TEXT = Limit(64 << 20, "bytes of text")
BLOW_UP = Limit(100, "times its own size, unpacked,")
FREE = 256 << 20
"""Bytes that anything may unpack to, however small it is."""


def check_unpacked(unpacked: int, packed: int, where: object, *, limit: Limit = BLOW_UP, free: int = FREE) -> None:
    """Refuse what grows by far more than data does when it is unpacked; ``free`` bytes are never refused."""
    if unpacked > free:
        limit.check(unpacked // max(1, packed), where)


def _short(number: int) -> str:
    return f"{number:,}" if number < 10**15 else f"about 10^{len(str(number)) - 1}" if number < 10**300 else "far more"


# Of networks.
DESCRIPTION = Limit(16 << 20, "bytes in the description of a network")  # our largest have some 100 kB
CATALOG = Limit(16 << 20, "bytes in an archive's list of members")
STEPS = Limit(1_000_000, "steps of a pickle")  # about 30 a tensor, and torch takes microseconds for each
MAP = Limit(1 << 26, "numbers in what a layer gives for one picture")
REPEATED = Limit(8, "times its own size, unpacked,")
"""Of tensors that may share their numbers: a layer that is used twice needs 2."""
