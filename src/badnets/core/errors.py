"""Errors that a person can act on.

A message is one sentence, "expected X, got Y; do Z", and names the file, field or tensor it is about.
The command line prints it without a traceback and exits with ``exit_code``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BadnetsError(Exception):
    """Base of all errors raised on purpose; ``exit_code`` is the command line's."""

    exit_code = 2


class BadInput(BadnetsError):
    """Wrong use or bad input: an option, a spec, a file, an array."""


class Busy(BadInput):
    """Somebody else is at work on the same."""


class CannotTell(BadnetsError):
    """The question was well put, but there is no answer: training diverged, too little data."""

    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """``"did you mean 'rate'?"`` when one of ``known`` is close to ``name``, else the list of all."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def first_line(error: BaseException) -> str:
    """What an exception of somebody else's says first, or its name where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)
