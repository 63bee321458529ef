"""Secrets that come by the environment (passwords of keys, tokens): read here, and kept from processes that start.

A process inherits what is in the environment, and others of the same user can read it there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

SECRETS = ("BADNETS_KEY_PASSWORD", "SIGSTORE_ID_TOKEN")
"""Their names."""
_apart: dict[str, str] = {}


def secret(name: str) -> str | None:
    """The secret that the environment has under this name; None where it has none."""
    return _apart.get(name, os.environ.get(name))


@contextmanager
def secrets_apart() -> Iterator[None]:
    """Inside, ``secret`` knows them all, and the environment none, so that no process that is started has them."""
    taken = {name: os.environ.pop(name) for name in SECRETS if name in os.environ}
    _apart.update(taken)
    try:
        yield
    finally:
        for name, value in taken.items():
            _apart.pop(name, None)
            os.environ[name] = value
