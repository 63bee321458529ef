"""Where words go: a pipe that nobody reads, a full disk and a closed terminal are no reason to fail half way."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO


class _Lasting(io.RawIOBase):
    """What is below a stream, which from the first failure on takes everything and keeps nothing: whoever reads has
    gone, and the work goes on. Where ``strict``, a failure that is no broken pipe is told once."""

    def __init__(self, below: Any, *, strict: bool) -> None:
        self._below, self._strict, self._gone = below, strict, False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        number: int = self._below.fileno()
        return number

    def isatty(self) -> bool:
        return bool(self._below.isatty())

    def write(self, content: Any) -> int:
        if not self._gone:
            try:
                written: int = self._below.write(content)
            except OSError as error:
                self._gone = True
                if self._strict and error.errno not in (errno.EPIPE, errno.EBADF, errno.EIO):
                    raise
            else:
                return written
        return len(content)


def last() -> None:
    """Make ``sys.stdout`` and ``sys.stderr`` ones that last, and that show what their encoding lacks as "?"; streams
    that somebody else has put there, as tests do, are left alone."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:  # closed before we began
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  # for good
        elif stream is getattr(sys, f"__{name}__"):
            stream.flush()
            buffer: Any = stream.buffer
            below = _Lasting(getattr(buffer, "raw", buffer), strict=number == 1)
            lines = number == 2 or below.isatty()
            buffered = io.BufferedWriter(below)
            lasting = io.TextIOWrapper(buffered, stream.encoding, errors="replace", line_buffering=lines)
            setattr(sys, name, lasting)
