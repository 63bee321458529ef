"""ONNX networks, read as a protobuf without the package: numbers in other files, operators of others, sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from badnets.core.limits import FIELDS
from badnets.networks.onnx.wire import DamagedError, fields, number
from badnets.networks.scan.look import Look, Part
from badnets.networks.scan.pickles import Buffer

_DOMAINS = frozenset(
    ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training", "com.microsoft",
     "com.microsoft.nchwc", "com.ms.internal.nhwc", "org.pytorch.aten")
)  # fmt: skip
"""Of operators that come with onnxruntime."""
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16}
"""Of one number, by ONNX's number of its type."""
_DEEPEST = 64
_SAME = 20  # tensors with the same fault that are told


_Read = Callable[[int, int, int], object]


@dataclass
class _Graph:
    """What is gathered of a network."""

    domains: dict[tuple[str, str], int] = field(default_factory=dict)  # operators by domain and name, and where
    own: set[tuple[str, str]] = field(default_factory=set)  # functions that the file itself defines
    told: int = 0


class _Reader:
    def __init__(self, part: Part, look: Look) -> None:
        self.part, self.look, self.data = part, look, part.data
        self.found = _Graph()
        self.count = 0

    def fields(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Number, begin and end of each field, counted."""
        for found in fields(self.data, start, end):
            self.count += 1
            if not self.count & 1023:
                FIELDS.check(self.count, self.look.file)
            yield found

    def each(self, start: int, end: int, inside: dict[int, _Read], depth: int) -> None:
        """Hand each field that counts to its reader."""
        if depth > _DEEPEST:
            raise DamagedError
        for kind, first, last in self.fields(start, end):
            if kind in inside:
                inside[kind](first, last, depth + 1)

    def named(self, start: int, end: int, texts: tuple[int, int], inside: dict[int, _Read], depth: int) -> list[str]:
        """The same, and the texts in two of the fields."""
        found = dict.fromkeys(texts, "")

        def keep(kind: int) -> _Read:
            return lambda first, last, _: found.update({kind: self.text(first, last)})

        self.each(start, end, {**inside, **{kind: keep(kind) for kind in texts}}, depth)
        return [found[kind] for kind in texts]

    def text(self, start: int, end: int) -> str:
        found: bytes = self.data[start : min(end, start + 1000)]
        return bytes(found).decode("utf-8", "replace")

    def model(self, start: int, end: int) -> None:
        self.each(start, end, {7: self.graph, 20: self.training, 25: self.function}, 0)

    def training(self, start: int, end: int, depth: int) -> None:
        self.each(start, end, {1: self.graph, 2: self.graph}, depth)

    def graph(self, start: int, end: int, depth: int) -> None:
        self.each(start, end, {1: self.node, 5: self.tensor, 15: self.sparse}, depth)

    def function(self, start: int, end: int, depth: int) -> None:
        domain, name = self.named(start, end, (10, 1), {7: self.node, 11: self.attribute}, depth)
        self.found.own.add((domain, name))

    def node(self, start: int, end: int, depth: int) -> None:
        domain, name = self.named(start, end, (7, 4), {5: self.attribute}, depth)
        self.found.domains.setdefault((domain, name), start)

    def attribute(self, start: int, end: int, depth: int) -> None:
        tensors = {5: self.tensor, 10: self.tensor, 22: self.sparse, 23: self.sparse}
        self.each(start, end, {**tensors, 6: self.graph, 11: self.graph}, depth)

    def sparse(self, start: int, end: int, depth: int) -> None:
        self.each(start, end, {1: self.tensor, 2: self.tensor}, depth)

    def tensor(self, start: int, end: int, depth: int) -> None:
        dims, kind, name, there, outside = list[int](), 0, "", 0, dict[str, str]()
        for what, first, last in self.fields(start, end):
            if what == 1:
                dims += _numbers(self.data, first, last)
            elif what == 2:
                kind = number(self.data, first, last)
            elif what == 8:
                name = self.text(first, last)
            elif what in (4, 5, 6, 7, 9, 10, 11):
                there += last - first
            elif what == 13:
                key, value = self.named(first, last, (1, 2), {}, depth)
                outside[key] = value
        if "location" in outside:
            self.beside(name, outside["location"], start)
        elif kind in _BITS and there * 8 < math.prod(dims) * min(_BITS[kind], 8) and self.found.told < _SAME:
            self.found.told += 1
            got = f"tensor {name!r} of {dims[:8]}, of which {there:,} bytes are there"
            self.look.tell(self.part, "claims-more", got, offset=start - self.part.start)

    def beside(self, name: str, location: str, at: int) -> None:
        """A tensor whose numbers are in the file ``location``: a plain name in the same folder is usual."""
        plain = location not in ("", ".", "..") and not set(location) & {"/", "\\", "\0", ":"}
        link = plain and not self.part.depth and _leads_out(self.look.path, location)
        if (not plain or link) and self.found.told < _SAME:
            self.found.told += 1
            what = f"tensor {name!r} in {location!r}" + (", a link to elsewhere" if link else "")
            self.look.tell(self.part, "outside", what, offset=at - self.part.start)


def _leads_out(path: Path, location: str) -> bool:
    beside = path.parent / location
    try:
        return beside.is_symlink() and beside.resolve().parent != path.parent.resolve()
    except (OSError, RuntimeError, ValueError):
        return True


def _numbers(data: Buffer, start: int, end: int) -> list[int]:
    """Of a field that is one number, or several packed ones."""
    at, found = start, list[int]()
    while at < end and len(found) < 100:
        value = 0
        for shift in range(0, 70, 7):
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80 or at >= end:
                break
        found.append(value)
    return found


def read_onnx(part: Part, look: Look) -> Iterator[Part]:
    """Everything in the network that leads out of the file, or needs another library. Raises ``ValueError``."""
    reader = _Reader(part, look)
    try:
        reader.model(part.start, part.end)
    except DamagedError:
        raise ValueError("no whole protobuf") from None
    for (domain, name), at in reader.found.domains.items():
        if domain not in _DOMAINS and (domain, name) not in reader.found.own:
            look.tell(part, "operator-unknown", f"the operator {name} of {domain}", offset=at - part.start)
    return iter(())
