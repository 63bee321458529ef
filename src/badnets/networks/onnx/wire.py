"""What a protobuf claims, counted before it is parsed: two bytes can ask for an object of a hundred and more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from badnets.core.limits import DESCRIPTION, FIELDS

_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5
_FIXED = {_EIGHT: 8, _FOUR: 4}


class DamagedError(Exception):
    """The bytes are no protobuf of this kind."""


def check_wire(data: Any, descriptor: Any, where: object) -> None:
    """Walk through all messages of ``data`` (bytes, or a mapped file) that are of the kind ``descriptor`` says. Raises
    ``BadInput`` for more fields, or more packed numbers, than the budget allows; ``DamagedError`` for what is none."""
    left = [(0, len(data), descriptor)]
    fields = packed = 0
    most = FIELDS.now
    while left:
        at, end, kind = left.pop()
        while at < end:
            fields += 1
            if fields > most:
                FIELDS.check(fields, where)
            tag, at = _varint(data, at, end)
            field, start, at = kind.fields_by_number.get(tag >> 3), *_content(data, tag, at, end)
            if tag & 7 != _LENGTH or field is None:
                continue
            if field.message_type is not None:
                left.append((start, at, field.message_type))
            elif field.type not in (field.TYPE_BYTES, field.TYPE_STRING, field.TYPE_FLOAT, field.TYPE_DOUBLE):
                packed += at - start  # a byte may be a number of eight
                DESCRIPTION.check(packed, where)


def _content(data: Any, tag: int, at: int, end: int) -> tuple[int, int]:
    """Where the content of the field that follows ``tag`` begins and ends."""
    wire = tag & 7
    if wire == _VARINT:
        return at, _varint(data, at, end)[1]
    length, at = _varint(data, at, end) if wire == _LENGTH else (_FIXED.get(wire, end), at)
    if not tag >> 3 or length > end - at:
        raise DamagedError
    return at, at + length


def _varint(data: Any, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise DamagedError
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise DamagedError


def fields(data: Any, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of each field of the message from ``at`` to ``end``. Raises ``DamagedError``."""
    while at < end:
        tag, at = _varint(data, at, end)
        start, at = _content(data, tag, at, end)
        yield tag >> 3, start, at


def number(data: Any, start: int, end: int) -> int:
    """The number in a field of one."""
    return _varint(data, start, end)[0]
