"""Parts of files that are pickles, or hold some: what they import is held against the list of the known ones."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from badnets.core.limits import HEADER
from badnets.networks.scan.known import kind_of, outside
from badnets.networks.scan.look import Look, Part
from badnets.networks.scan.pickles import Steps, Walk, walk
from badnets.networks.scan.sniffing import DISGUISES, forms_of, suffix_of

_NAME = re.compile(r"[A-Za-z_][\w.]*\.[A-Za-z_]\w*")
_BURIED = re.compile(rb"\x80[\x02-\x05](?:[c(\]})\x8c\x95X]|\x95.{8})", re.DOTALL)
"""How a pickle begins, in the middle of numbers."""
_FEW = 4096  # places in one part that may be the begin of a pickle
_SHORT = 1 << 16  # bytes of one that is buried


def read_pickle(part: Part, look: Look, *, sure: bool) -> Iterator[Part]:
    """Tell what a pickle, and all that follow it, would import. What is not ``sure`` to be one may be numbers that look
    like it: then only what is named and called counts."""
    at, first = 0, True
    while at < part.size:
        found = walk(part.data, part.start + at, part.end, look.steps)
        told = _tell(part, look, found, at, sure=sure and first)
        if found.problem and (first or not told):
            if first and sure:
                look.tell(part, "pickle-damaged", f"a damaged pickle ({found.problem})", offset=found.end - part.start)
            break
        if first and sure and not found.problem and suffix_of(look.file) in DISGUISES:
            look.tell(part, "pickle-disguised", f"a pickle in a file called {suffix_of(look.file)}", offset=0)
        at, first = found.end - part.start, False
        if found.problem or "pickle" not in forms_of(part.read(at, 4096), ""):
            break
    look_for_buried(part, look, at)
    return iter(())


def _tell(part: Part, look: Look, found: Walk, at: int, *, sure: bool) -> bool:
    """What was found in one pickle, which begins ``at`` so many bytes; whether it was anything."""
    before = len(look.findings)
    for full, place in found.globals.items():
        if not sure and not (_NAME.fullmatch(full) and (full in found.called or not found.problem)):
            continue
        kind = kind_of(full, scripted=part.scripted)
        if kind in ("opened", "plain"):
            continue
        can = f", which {outside(full)}" if outside(full) else ""
        verb = "calls" if full in found.called else "imports"
        rule = "pickle-runs" if kind == "runs" else "pickle-unknown"
        look.tell(part, rule, f"{verb} {full}{can}", offset=at + place.offset)
    if sure or not found.problem:
        for offset, what in found.hidden:
            look.tell(part, "pickle-hidden", what, offset=at + offset)
        for offset in found.strange[:1]:
            what = "an object that only the program knows that wrote it (a persistent id)"
            look.tell(part, "pickle-unknown", what, offset=at + offset)
    return len(look.findings) > before


def look_for_buried(part: Part, look: Look, at: int = 0) -> None:
    """Tell of whole pickles in the middle of numbers that call what is not known: nothing opens them there, but nothing
    harmless puts them there either."""
    steps = Steps(look.file)
    places = _BURIED.finditer(part.data, part.start + at, part.end)  # type: ignore[call-overload]  # a mapped file too
    for number, match in enumerate(places):
        first = match.start()
        if number >= _FEW or steps.done > steps.most // 2:
            return
        found = walk(part.data, first, min(first + _SHORT, part.end), steps)
        bad = [name for name in found.called if _NAME.fullmatch(name) and kind_of(name) in ("runs", "unknown")]
        if bad and not found.problem:
            look.tell(part, "pickle-buried", f"a pickle among numbers that calls {bad[0]}", offset=first - part.start)


def read_npy(part: Part, look: Look) -> Iterator[Part]:
    """An array of numpy: of objects, it is a pickle behind its header. Raises ``ValueError`` for a damaged header."""
    start = part.read(0, 12)
    wide = 4 if start[6:7] > b"\x01" else 2
    length = int.from_bytes(start[8 : 8 + wide], "little")
    HEADER.check(length, look.file)
    text = part.read(8 + wide, length)
    if len(text) < length or not start.startswith(b"\x93NUMPY"):
        raise ValueError("its header is cut off")
    try:
        header = ast.literal_eval(text.decode("latin-1").strip())
        types, shape = list(_types(header["descr"])), [int(side) for side in header["shape"]]
    except (ValueError, SyntaxError, TypeError, LookupError, MemoryError, RecursionError):
        raise ValueError("its header says nothing") from None
    begin = 8 + wide + length
    if any(re.fullmatch(r"[|<>=]?O\d*", one) for one in types):
        yield from read_pickle(part._replace(start=part.start + begin), look, sure=True)
    elif len(types) == 1 and _claimed(types[0], shape) > part.size - begin:
        look.tell(part, "claims-more", f"{shape} of {types[0]}, of which {part.size - begin:,} bytes are there")


def _types(described: Any) -> Iterator[str]:
    """Of one number, or of all fields of a row: a text, or (name, type) of each, and so on."""
    if isinstance(described, str):
        yield described
    else:
        for _, inner, *_ in described:
            yield from _types(inner)


def _claimed(described: str, shape: list[int]) -> int:
    """How many bytes an array would have, where its type is one of plain numbers."""
    match = re.fullmatch(r"[|<>=]?[a-zA-Z](\d+)", described)
    count = 1
    for side in shape:
        count *= max(0, side)
    return count * int(match[1]) if match and len(match[1]) < 6 else 0
