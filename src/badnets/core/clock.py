"""What time it is, for what is written; builds that are to be repeated name it themselves."""

from __future__ import annotations

import os
from datetime import datetime, timezone

from badnets.core.errors import BadInput
from badnets.core.text import brief

EPOCH = "SOURCE_DATE_EPOCH"
"""The environment's word for the time that is written in place of now, in seconds since 1970."""


def fixed() -> datetime | None:
    """The time that the environment names, if it does. Raises ``BadInput`` for what is none."""
    said = os.environ.get(EPOCH)
    if said is None:
        return None
    try:
        return datetime.fromtimestamp(int(said), timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise BadInput(f"expected {EPOCH} as seconds since 1970, got {brief(said)!r}") from None


def now() -> datetime:
    """That time, or now; in whole seconds, UTC."""
    return fixed() or datetime.now(timezone.utc).replace(microsecond=0)
