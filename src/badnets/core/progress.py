"""Telling a person what is going on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

OnProgress = Callable[[str, int, int, float | None], None]


@dataclass
class Watcher:
    """Tells a person what is going on; does nothing by default.

    ``say(sentence)`` between steps; ``progress(what, done, total, accuracy or None)`` within them.
    """

    say: Callable[[str], None] = field(default=lambda sentence: None)
    progress: OnProgress = field(default=lambda what, done, total, accuracy: None)
