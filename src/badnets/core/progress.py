"""Telling a person what is going on: what is told, and the lines of it where there is no terminal for bars."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock, Thread

OnProgress = Callable[[str, int, int, float | None], None]
SILENCE = 20.0
"""Seconds after which a line is written though there is nothing new: nobody waits half a minute without a word."""
AGAIN = 10.0
"""Seconds, at least, between two lines about how far one work is."""
SHORT = 2.0
"""Seconds of a work that is not worth a line."""
_LOOK = 1.0


@dataclass
class Watcher:
    """Tells a person what is going on; does nothing by default.

    ``say(sentence)`` between steps; ``progress(what, done, total, accuracy or None)`` within them; ``mark(sentence)``
    at stages that a bar shows by itself, or that are silent: an epoch's end, the beginning of a measurement.
    """

    say: Callable[[str], None] = field(default=lambda sentence: None)
    progress: OnProgress = field(default=lambda what, done, total, accuracy: None)
    mark: Callable[[str], None] = field(default=lambda sentence: None)


@dataclass
class Lines:
    """Lines for a file or a pipe, where a bar would be garbage: each goes to ``write``; ``clock`` gives seconds. With
    ``sparing`` only those that break a long silence."""

    write: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sparing: bool = False

    def __post_init__(self) -> None:
        self._lock = Lock()
        self._began = self._last = self.clock()
        self._doing, self._work = "working", ("", self._began)

    def say(self, sentence: str) -> None:
        """A sentence, at once."""
        with self._lock:
            self._write(sentence)

    def mark(self, sentence: str) -> None:
        """The same, and what is being done from now on."""
        with self._lock:
            self._doing = sentence
            self._write(sentence)

    def progress(self, what: str, done: int, total: int, accuracy: float | None) -> None:
        """How far a work is: a line where the last one is ``AGAIN`` seconds old, or where a work of more than ``SHORT``
        seconds is done."""
        of = f" of {total:,} ({done / total:.0%})" if total else ""
        right = "" if accuracy is None else f", {100 * accuracy:.1f} %"
        with self._lock:
            now, ended = self.clock(), 0 < total <= done
            self._doing, self._work = (
                f"{what}: {done:,}{of}{right}",
                (what, self._work[1] if what == self._work[0] else now),
            )
            if now - self._last >= AGAIN or (ended and now - self._work[1] > SHORT):
                self._write(self._doing)
            if ended:
                self._doing = f"working ({what} is done)"

    def tick(self) -> None:
        """To be called now and then: a line where there was none for ``SILENCE`` seconds."""
        with self._lock:
            now = self.clock()
            if now - self._last >= SILENCE:
                self._last = now
                self.write(f"still {self._doing}, {now - self._began:,.0f} s since the start")

    def _write(self, line: str) -> None:
        if not self.sparing:
            self._last = self.clock()
            self.write(line)


@contextmanager
def ticking(lines: Lines, *, look: float = _LOOK) -> Iterator[Lines]:
    """Inside, a thread calls ``tick`` every ``look`` seconds."""
    ended = Event()

    def tick() -> None:
        while not ended.wait(look):
            lines.tick()

    thread = Thread(target=tick, name="progress", daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        ended.set()
        thread.join()
