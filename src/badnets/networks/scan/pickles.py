"""What a pickle would import and call, found by walking through its steps; nothing in it is made or called.

The walk follows Python's own unpickler in C, not ``pickletools``: what that one cannot read still runs. What stands
before damage is run too, so it is kept.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from badnets.core.limits import STEPS
from badnets.networks.scan.known import modern

NEWEST = 5
_LONG = 1000  # bytes of a text that may be a name
_FIXED = {
    **dict.fromkeys(b"Khq\x80\x82", 1), **dict.fromkeys(b"M\x83", 2), **dict.fromkeys(b"Jjr\x84", 4),
    **dict.fromkeys(b"G\x95", 8),
}  # fmt: skip
"""Bytes behind an opcode."""
_COUNTED = {
    **dict.fromkeys(b"UC\x8c\x8a", 1), **dict.fromkeys(b"XTB\x8b", 4), **dict.fromkeys(b"\x8d\x8e\x96", 8)
}  # fmt: skip
"""Bytes of a number behind an opcode, which says how many bytes follow it."""
_SIGNED = b"T\x8b"
_LINES = {**dict.fromkeys(b"ILFSVgpP", 1), **dict.fromkeys(b"ci", 2)}
"""Lines behind an opcode."""


class Buffer(Protocol):
    """Bytes, or a mapped file."""

    def find(self, what: bytes, start: int, end: int, /) -> int:
        """Where ``what`` begins, or -1."""
        ...

    def __len__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Any: ...


class Steps:
    """How many steps may still be walked, through all pickles of one file at ``where``."""

    def __init__(self, where: object) -> None:
        self.where, self.done, self.most = where, 0, STEPS.now

    def check(self, inside: int = 0) -> None:
        """Raises ``BadInput`` where there were too many, or a tuple has too much ``inside``."""
        if self.done > self.most or inside > self.most:
            STEPS.check(max(self.done, inside), self.where)


@dataclass(frozen=True)
class Global:
    """What a pickle imports: its full name, and where."""

    full: str
    offset: int


@dataclass(frozen=True)
class _Tuple:
    inside: int
    first: Any = None


@dataclass
class Walk:
    """What was found in one pickle, or one that is damaged (``problem``); ``end`` is behind its last step. ``called``:
    the names of those globals that are called; ``hidden``: where and how it hides what it calls; ``strange``: where
    something stands that only another program knows."""

    globals: dict[str, Global] = field(default_factory=dict)
    called: set[str] = field(default_factory=set)
    hidden: list[tuple[int, str]] = field(default_factory=list)
    strange: list[int] = field(default_factory=list)
    end: int = 0
    problem: str = ""


class _DamagedError(Exception):
    pass


def walk(data: Buffer, start: int, end: int, steps: Steps) -> Walk:
    """Walk through the pickle that begins at ``start`` and ends before ``end``. Raises ``BadInput`` for too many steps,
    and for a tuple that has the same tuple in it many times, and so on, which takes for ever to use as a name."""
    machine = _Machine(data, start, end, steps)
    try:
        while machine.step():
            pass
    except (_DamagedError, LookupError, ValueError) as error:
        machine.seen.problem = str(error) if isinstance(error, _DamagedError) else "steps that do not fit together"
    machine.seen.end = machine.at
    return machine.seen


class _Machine:
    """In place of values: a text that may be a name, a ``Global``, a ``_Tuple``; None for all others."""

    def __init__(self, data: Buffer, start: int, end: int, steps: Steps) -> None:
        self.data, self.start, self.at, self.end, self.steps = data, start, start, end, steps
        self.here = start
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.seen = Walk()

    def step(self) -> bool:
        """One step; False behind the last."""
        if self.at >= self.end:
            raise _DamagedError("it ends in the middle")
        self.here = self.at
        code = self.data[self.at]
        self.at += 1
        self.steps.done += 1
        if not self.steps.done & 1023:
            self.steps.check()
        if code == 0x2E:  # STOP
            return False
        do = _DO.get(code)
        if do is None:
            raise _DamagedError(f"no step of a pickle at {self.here - self.start:,}")
        do(self, code)
        return True

    def number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.taken(size), "little", signed=signed)

    def taken(self, size: int) -> bytes:
        """The next bytes; of very many only the first."""
        if size < 0 or size > self.end - self.at:
            raise _DamagedError("it ends in the middle")
        found: bytes = self.data[self.at : self.at + min(size, _LONG + 1)]
        self.at += size
        return found

    def line(self) -> bytes:
        stop = self.data.find(b"\n", self.at, self.end)
        if stop < 0:
            raise _DamagedError("it ends in the middle")
        found: bytes = self.data[self.at : min(stop, self.at + _LONG + 1)]
        self.at = stop + 1
        return found

    def marked(self) -> list[Any]:
        """What was put since the last mark, taken off."""
        if not self.marks:
            raise _DamagedError("steps that do not fit together")
        at = self.marks.pop()
        found = self.stack[at:]
        del self.stack[at:]
        return found

    # What the steps do, by ``_DO``.

    def push(self, code: int) -> None:
        self.argument(code)
        self.stack.append(None)

    def argument(self, code: int) -> bytes:
        """What is behind the opcode."""
        if code in _FIXED:
            return self.taken(_FIXED[code])
        if code in _COUNTED:
            return self.taken(self.number(_COUNTED[code], signed=code in _SIGNED))
        return self.line() if code in _LINES else b""

    def text(self, code: int) -> None:
        raw = self.argument(code)
        if code == 0x53:  # STRING: in quotes, with escapes
            raw = codecs.escape_decode(raw.strip()[1:-1])[0]
        shown = raw.decode("raw-unicode-escape" if code == 0x56 else "utf-8", "replace")
        self.stack.append(shown if len(raw) <= _LONG else None)

    def named(self, module: str, name: str) -> Global:
        found = Global(modern(module, name), self.here - self.start)
        return self.seen.globals.setdefault(found.full, found)

    def global_(self, _: int) -> None:
        module, name = self.line(), self.line()
        self.stack.append(self.named(module.decode("utf-8", "replace"), name.decode("utf-8", "replace")))

    def stack_global(self, _: int) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if isinstance(module, str) and isinstance(name, str):
            self.stack.append(self.named(module, name))
        else:
            self.hide("a global whose name is worked out")
            self.stack.append(None)

    def extension(self, code: int) -> None:
        self.hide(f"extension {self.number(_FIXED[code])}, a number in place of a name")
        self.stack.append(None)

    def hide(self, what: str) -> None:
        self.seen.hidden.append((self.here - self.start, what))

    def called(self, callee: Any) -> None:
        if isinstance(callee, Global):
            self.seen.called.add(callee.full)
        else:
            self.hide("a call of what another step made")
        self.stack.append(None)

    def reduce(self, code: int) -> None:
        for _ in range(2 if code == 0x92 else 1):  # arguments, of NEWOBJ_EX named ones too
            self.stack.pop()
        self.called(self.stack.pop())

    def inst(self, _: int) -> None:
        module, name = self.line(), self.line()
        self.marked()
        self.called(self.named(module.decode("utf-8", "replace"), name.decode("utf-8", "replace")))

    def obj(self, _: int) -> None:
        self.called(self.marked()[0])

    def build(self, _: int) -> None:
        self.stack.pop()
        if isinstance(self.stack[-1], Global):
            self.hide(f"a change of {self.stack[-1].full} itself")

    def tuple_(self, code: int) -> None:
        if code == 0x74:
            items = self.marked()
        else:
            count = code - 0x84  # TUPLE1 to TUPLE3
            if len(self.stack) < count:
                raise _DamagedError("steps that do not fit together")
            items = self.stack[-count:]
            del self.stack[-count:]
        inside = 1 + sum(item.inside if isinstance(item, _Tuple) else 1 for item in items)
        self.steps.check(inside)
        self.stack.append(_Tuple(inside, items[0] if items else None))

    def empty_tuple(self, _: int) -> None:
        self.stack.append(_Tuple(1))

    def mark(self, _: int) -> None:
        self.marks.append(len(self.stack))

    def collect(self, code: int) -> None:
        self.marked()
        if code in b"ld\x91":  # LIST, DICT, FROZENSET; others add to what is there
            self.stack.append(None)

    def drop(self, code: int) -> None:
        if code == 0x30 and self.marks and self.marks[-1] == len(self.stack):  # POP of a mark
            self.marks.pop()
            return
        for _ in range(2 if code == 0x73 else 1):  # SETITEM takes two
            self.stack.pop()

    def dup(self, _: int) -> None:
        self.stack.append(self.stack[-1])

    def get(self, code: int) -> None:
        key = int(self.line()) if code == 0x67 else self.number(_FIXED[code])
        self.stack.append(self.memo[key])

    def put(self, code: int) -> None:
        key = int(self.line()) if code == 0x70 else self.number(_FIXED[code])
        self.memo[key] = self.stack[-1]

    def memoize(self, _: int) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def persistent(self, code: int) -> None:
        given = self.line() if code == 0x50 else self.stack.pop()
        if not (isinstance(given, _Tuple) and given.first == "storage"):
            self.seen.strange.append(self.here - self.start)
        self.stack.append(None)

    def proto(self, _: int) -> None:
        if (version := self.number(1)) > NEWEST:
            raise _DamagedError(f"a pickle of protocol {version}")

    def skip(self, code: int) -> None:
        self.argument(code)


_Do = Callable[[_Machine, int], None]


def _table(rows: Sequence[tuple[bytes, _Do]]) -> dict[int, _Do]:
    return {code: do for codes, do in rows for code in codes}


_DO = _table(
    [
        (b"NIJKMLFG]}C B\x88\x89\x8a\x8b\x8e\x8f\x96\x97".replace(b" ", b""), _Machine.push),
        (b"STUVX\x8c\x8d", _Machine.text),
        (b"c", _Machine.global_),
        (b"\x93", _Machine.stack_global),
        (b"\x82\x83\x84", _Machine.extension),
        (b"R\x81\x92", _Machine.reduce),
        (b"i", _Machine.inst),
        (b"o", _Machine.obj),
        (b"b", _Machine.build),
        (b"t\x85\x86\x87", _Machine.tuple_),
        (b")", _Machine.empty_tuple),
        (b"(", _Machine.mark),
        (b"lde1u\x90\x91", _Machine.collect),
        (b"0as", _Machine.drop),
        (b"2", _Machine.dup),
        (b"ghj", _Machine.get),
        (b"pqr", _Machine.put),
        (b"\x94", _Machine.memoize),
        (b"PQ", _Machine.persistent),
        (b"\x80", _Machine.proto),
        (b"\x95\x98", _Machine.skip),
    ]
)
"""What each opcode does."""
