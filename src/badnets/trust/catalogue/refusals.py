"""What was done to a catalogue on its way, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tuf.api import exceptions

from badnets.core.errors import BadInput, first_line
from badnets.core.text import brief
from badnets.trust.catalogue.names import now

_MIXED = "refused, mixed or changed: what {where} gives does not belong together, or was changed on its way ({why})"
_SENTENCES: tuple[tuple[type[Exception], str], ...] = (
    (
        exceptions.ExpiredMetadataError,
        (
            "refused, expired: {where} gives what was current once ({why}; it is {now} here); somebody holds "
            "newer ones back, or nobody refreshes it, or the clock here is wrong"
        ),
    ),
    (
        exceptions.BadVersionNumberError,
        (
            "refused, rolled back: {where} gives an older version than was there before, though its signature is good "
            "({why})"
        ),
    ),
    (
        exceptions.UnsignedMetadataError,
        (
            "refused, too few signatures: {where} gives what fewer keys have signed than have to, or revoked "
            "or unknown ones, or what was changed ({why})"
        ),
    ),
    (exceptions.LengthOrHashMismatchError, _MIXED),
    (
        exceptions.DownloadLengthMismatchError,
        "refused, endless: {where} sends more bytes than there can be ({why})",
    ),
    (exceptions.SlowRetrievalError, "refused, too slow: {where} keeps the line busy and sends next to nothing ({why})"),
    (exceptions.DownloadHTTPError, "expected a catalogue at {where}, got none, or one with files missing ({why})"),
    (exceptions.DownloadError, "expected all files of {where}, got a part ({why}); try again"),
    (exceptions.RepositoryError, "refused, damaged: {where} gives what is no metadata of a catalogue ({why})"),
)
_MIXED_VERSIONS = ("Expected targets v", "Expected snapshot version")


@contextmanager
def refusing(where: str) -> Iterator[None]:
    """Inside, what TUF finds becomes a sentence about ``where``."""
    try:
        yield
    except (exceptions.RepositoryError, exceptions.DownloadError) as error:
        raise refusal(error, where) from None


def refusal(error: Exception, where: str) -> BadInput:
    """The sentence."""
    why = first_line(error)
    sentence = next(said for kind, said in _SENTENCES if isinstance(error, kind))
    if isinstance(error, exceptions.BadVersionNumberError) and why.startswith(_MIXED_VERSIONS):
        sentence = _MIXED
    return BadInput(sentence.format(where=brief(where), why=brief(why), now=f"{now():%Y-%m-%d %H:%M} UTC"))
