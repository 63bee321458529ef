"""Errors that a person can act on."""

from __future__ import annotations

from badnets.core.errors import BadInput, BadnetsError, CannotTell, nearest


def test_exit_codes() -> None:
    assert (BadInput.exit_code, CannotTell.exit_code) == (2, 3)
    assert issubclass(BadInput, BadnetsError)
    assert issubclass(CannotTell, BadnetsError)


def test_the_nearest_name() -> None:
    assert nearest("rat", ["rate", "count"]) == "did you mean 'rate'?"
    assert nearest("xyz", ["rate", "count"]) == "known: count, rate"
