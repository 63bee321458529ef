"""Zip archives, read as several readers would: by their list, and by what stands where the list says nothing.

Sums are not compared and flags not believed, for torch does neither; what one reader may take for another thing than
the next is told.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from badnets.core.limits import CATALOG
from badnets.networks.scan.look import CODE, Look, Part
from badnets.networks.scan.sniffing import forms_of, named_form
from badnets.networks.scan.unpacking import DAMAGE, METHODS, begin, unpacked

_END, _WIDE_END, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_ENTRY, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"
_TAIL = (1 << 16) + 22
_SLACK = 64
"""Bytes between members that are no member: what is written behind one, and alignment."""
_PACKAGE = re.compile(r"(^|/)\.data/extern_modules$")
_ENCRYPTED = 1


class BadArchiveError(Exception):
    """It has no list of members that can be read."""


@dataclass(frozen=True)
class Entry:
    """One line of the list: where its own header is, and its bytes as far as they are known from that header."""

    name: str
    at: int
    method: int
    flags: int
    packed: int
    size: int
    mode: int = 0


def read_zip(part: Part, look: Look) -> Iterator[Part]:
    """The members of a zip archive, and whatever else lies in it. Raises ``BadArchiveError``."""
    if not look.deeper(part):
        return
    try:
        shift, entries, end, behind = _listed(part, look)
    except BadArchiveError:
        found = list(_unlisted(part, 0, part.size))
        if not found:
            raise
        look.tell(part, "damaged", "an archive without its list of members")
        shift, entries, end, behind = 0, found, part.size, part.size
    names = [entry.name for entry in entries]
    scripted = any(map(CODE.search, names))
    inside = part._replace(scripted=scripted or part.scripted)
    if any(map(_PACKAGE.search, names)):
        look.tell(part, "python-code", "a torch.package archive")
    taken: list[tuple[int, int]] = []
    for entry in entries:
        look.count()
        yield from _member(inside, entry, shift, look, taken)
    yield from _between(inside, taken, end, look)
    if behind < part.size:
        yield inside.inner("(behind the archive)", part.data, part.start + behind, part.end)


def _listed(part: Part, look: Look) -> tuple[int, list[Entry], int, int]:
    """By how much places are off (where something stands before the archive), the list, where that begins, and where
    the archive ends."""
    tail_at = max(0, part.size - _TAIL)
    tail = part.read(tail_at)
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + 22:
        raise BadArchiveError("an archive without its list of members")
    size, where = (int.from_bytes(tail[at + n : at + n + 4], "little") for n in (12, 16))
    end = tail_at + at
    behind = end + 22 + int.from_bytes(tail[at + 20 : at + 22], "little")
    if part.read(max(0, end - 20), 4) == _LOCATOR and part.read(end - 76, 4) == _WIDE_END:
        end -= 76
        size, where = (int.from_bytes(part.read(end + n, 8), "little") for n in (40, 48))
    CATALOG.check(size, look.file)
    begin_at = end - size
    if begin_at < 0 or size < 0:
        raise BadArchiveError("an archive whose list of members is cut off")
    return begin_at - where, list(_lines(part.read(begin_at, size))), begin_at, behind


def _lines(text: bytes) -> Iterator[Entry]:
    at = 0
    while text[at : at + 4] == _ENTRY:
        line = text[at : at + 46]
        if len(line) < 46:
            raise BadArchiveError("an archive whose list of members is cut off")
        flags, method = (int.from_bytes(line[n : n + 2], "little") for n in (8, 10))
        packed, size = (int.from_bytes(line[n : n + 4], "little") for n in (20, 24))
        named, extra, remark = (int.from_bytes(line[n : n + 2], "little") for n in (28, 30, 32))
        mode, where = int.from_bytes(line[40:42], "little"), int.from_bytes(line[42:46], "little")
        name = text[at + 46 : at + 46 + named].decode("utf-8", "replace")
        more = text[at + 46 + named : at + 46 + named + extra]
        size, packed, where = _wide(more, size, packed, where)
        yield Entry(name, where, method, flags, packed, size, mode)
        at += 46 + named + extra + remark


def _wide(extra: bytes, *numbers: int) -> tuple[int, int, int]:
    """Sizes and place, of which those that did not fit into four bytes are in the extra field."""
    found = list(numbers)
    at = 0
    while at + 4 <= len(extra):
        kind, length = (int.from_bytes(extra[at + n : at + n + 2], "little") for n in (0, 2))
        if kind == 1:
            values = extra[at + 4 : at + 4 + length]
            for index, number in enumerate(found):
                if number == 0xFFFFFFFF and len(values) >= 8:
                    found[index], values = int.from_bytes(values[:8], "little"), values[8:]
        at += 4 + length
    return found[0], found[1], found[2]


def _local(part: Part, at: int) -> tuple[Entry, int] | None:
    """What a member's own header says, and where its bytes begin; None where there is none."""
    line = part.read(at, 30)
    if len(line) < 30 or line[:4] != _LOCAL:
        return None
    flags, method = (int.from_bytes(line[n : n + 2], "little") for n in (6, 8))
    packed, size = (int.from_bytes(line[n : n + 4], "little") for n in (18, 22))
    named, extra = (int.from_bytes(line[n : n + 2], "little") for n in (26, 28))
    name = part.read(at + 30, named).decode("utf-8", "replace")
    size, packed, _ = _wide(part.read(at + 30 + named, extra), size, packed, 0)
    return Entry(name, at, method, flags, packed, size), at + 30 + named + extra


def _member(part: Part, entry: Entry, shift: int, look: Look, taken: list[tuple[int, int]]) -> Iterator[Part]:
    """The content of one member, as far as it may be anything."""
    local = _local(part, entry.at + shift)
    here = part.inner(entry.name, part.data, part.start, part.start)
    if local is None:
        look.tell(here, "damaged", "a member that is not where the list says")
        return
    said, first = local
    if said.name != entry.name or said.method != entry.method:
        was = f"called {said.name!r}" if said.name != entry.name else f"packed by {said.method}, not {entry.method}"
        look.tell(here, "hidden-part", f"a member that its own header says is {was}", offset=entry.at + shift)
    last = first + entry.packed
    taken.append((entry.at + shift, last))
    if last > part.size:
        look.tell(
            here, "damaged", f"{entry.packed:,} bytes of a member, of which {max(0, part.size - first):,} are there"
        )
        last = part.size
    look.name(here, entry.name)
    if first == last:
        return
    content = here._replace(start=part.start + first, end=part.start + last)
    if stat.S_ISLNK(entry.mode):
        look.link(here, entry.name, content.read(0, 4096).decode("utf-8", "replace"))
    if entry.flags & _ENCRYPTED:
        look.tell(here, "not-read", "a member that is encrypted")
    yield from _unpacked(content, entry.method, look)
    if said.method != entry.method:
        yield from _unpacked(content, said.method, look)


def _unpacked(content: Part, method: int, look: Look) -> Iterator[Part]:
    if method == 0:
        yield content
    elif method not in METHODS:
        look.tell(content, "not-read", f"a member packed in way {method}")
    elif content.size:
        head = begin(content, METHODS[method])
        if forms_of(head, content.name) or named_form(content.name):
            try:
                whole: bytes | bytearray = unpacked(content, METHODS[method], look)
            except DAMAGE:
                look.tell(content, "damaged", "a packed member that cannot be unpacked to its end")
                whole = head
            yield content._replace(data=whole, start=0, end=len(whole))


def _between(part: Part, taken: list[tuple[int, int]], end: int, look: Look) -> Iterator[Part]:
    """What lies before, between and behind the members that are listed, the archive's own list left out."""
    at = 0
    for first, last in [*sorted(taken), (end, part.size)]:
        if first - at > _SLACK or (first > at and part.read(at, 4) == _LOCAL):
            hidden = list(_unlisted(part, at, first))
            for entry in hidden:
                look.count()
                look.tell(part, "hidden-part", f"the member {entry.name!r}, which is not in the list", offset=entry.at)
                yield from _member(part, entry, 0, look, [])
            if not hidden:
                name = "(before the archive)" if not at else "(between members)"
                yield part.inner(name, part.data, part.start + at, part.start + first)
        at = max(at, last)


def _unlisted(part: Part, at: int, end: int) -> Iterator[Entry]:
    """Members by their own headers, where there is no list."""
    while at < end:
        found = part.data.find(_LOCAL, part.start + at, part.start + end)
        if found < 0:
            return
        local = _local(part, found - part.start)
        if local is None:
            return
        entry, first = local
        size = entry.packed or max(0, _next(part, first, end) - first)
        yield Entry(entry.name, entry.at, entry.method, entry.flags, min(size, part.size - first), entry.size)
        at = first + max(1, entry.packed)


def _next(part: Part, at: int, end: int) -> int:
    """Where the next header of any kind begins."""
    places = (part.data.find(mark, part.start + at, part.start + end) for mark in (_LOCAL, _ENTRY))
    return min((place - part.start for place in places if place >= 0), default=end)
