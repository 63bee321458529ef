"""What one look at a file carries along: where it is, how much may still be looked at, and what was found."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from badnets.core.limits import BLOW_UP, DEPTH, FREE, STRAYS
from badnets.core.text import VALUE, brief
from badnets.networks.scan.pickles import Buffer, Steps
from badnets.networks.scan.rules import RULES
from badnets.records.scan import ScanFinding

_MOST = 1000
"""Findings of one file: whoever reads more?"""
_DEEPEST = 8
"""Archives in each other."""
CODE = re.compile(r"(^|/)code/.+\.py$")
"""The program of a TorchScript archive."""


class Part(NamedTuple):
    """The bytes from ``start`` to ``end`` of ``data``: a file, or a member of an archive in it, by its own ``name``.
    ``scripted``: a TorchScript program lies beside it."""

    data: Buffer
    start: int
    end: int
    name: str
    member: str = ""
    depth: int = 0
    scripted: bool = False

    @property
    def size(self) -> int:
        """In bytes."""
        return self.end - self.start

    def read(self, at: int = 0, size: int | None = None) -> bytes:
        """So many bytes from ``at``, or all that follow."""
        first = min(self.start + at, self.end)
        found: bytes = self.data[first : self.end if size is None else min(first + size, self.end)]
        return found

    def inner(self, name: str, data: Buffer, start: int, end: int) -> Part:
        """A member of this one."""
        member = f"{self.member}!{name}" if self.member else name
        return Part(data, start, end, name, member, self.depth + 1, self.scripted)


@dataclass
class Look:
    """What is found in the file at ``path``, which is called ``file``, of ``size`` bytes."""

    path: Path
    file: str
    size: int
    findings: list[ScanFinding] = field(default_factory=list)
    unpacked: int = 0
    members: int = 0
    known: bool = False  # whether it has any form of a network

    def __post_init__(self) -> None:
        self.steps = Steps(self.file)

    def tell(self, part: Part, rule: str, what: object, *, offset: int | None = None) -> None:
        """One finding, by its rule."""
        known = RULES[rule]
        found = ScanFinding(
            file=self.file,
            member=brief(part.member, 300),
            offset=offset,
            what=brief(what, VALUE),
            why=known.why,
            do=known.do,
            rule=rule,
            severity=known.severity,
        )
        if len(self.findings) < _MOST and found not in self.findings[-20:]:
            self.findings.append(found)

    def count(self, members: int = 1) -> None:
        """Raises ``BadInput`` for too many members, in all archives of the file."""
        self.members += members
        STRAYS.check(self.members, self.file)

    def unpack(self, size: int) -> None:
        """Raises ``BadInput`` where the file unpacks to far more than it is; called before the memory is taken."""
        self.unpacked += size
        if self.unpacked > FREE:
            BLOW_UP.check(self.unpacked // max(1, self.size), self.file)

    def deeper(self, part: Part) -> bool:
        """Whether there may be further archives in ``part``; if not, that is told."""
        if part.depth < min(_DEEPEST, DEPTH.now):
            return True
        self.tell(part, "too-much", f"{_DEEPEST} archives in each other")
        return False

    def name(self, part: Part, name: str) -> None:
        """Tell of a member of an archive that would be written outside of where that is unpacked, and of code."""
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or re.match("[A-Za-z]:", name):
            self.tell(part, "outside", f"a member that would be unpacked to {name!r}")
        if name.lower().endswith((".py", ".pyc", ".pyd")) and not CODE.search(name):
            self.tell(part, "python-beside", "a Python file")

    def link(self, part: Part, name: str, target: str) -> None:
        """Tell of a link in an archive that leads out of it."""
        above, ups = name.replace("\\", "/").count("/"), target.replace("\\", "/").split("/").count("..")
        if target.startswith(("/", "\\")) or ups > above:
            self.tell(part, "outside", f"a link to {target!r}")
