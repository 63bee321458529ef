"""Several works at once."""

from __future__ import annotations

import os
from typing import ClassVar

import numpy as np
import pytest

from badnets.core.errors import CannotTell
from badnets.training.workers import several

LARGE = 200_000
"""More numbers than a pipe holds."""


class Given:
    """What a process was given."""

    total: ClassVar[int] = 0

    @classmethod
    def prepare(cls, numbers: np.ndarray, more: int) -> None:
        """Once for each process."""
        cls.total = int(numbers.sum()) + more


def add(number: int) -> int:
    """To what was given."""
    return Given.total + number


def leave(*_: object) -> None:
    """As a process that is killed."""
    os._exit(9)


def test_every_item_once_with_what_was_given() -> None:
    made = dict(several(add, [1, 2, 3], jobs=2, prepare=Given.prepare, given=(np.ones(LARGE, int), 5)))
    assert made == {1: LARGE + 6, 2: LARGE + 7, 3: LARGE + 8}


def test_a_process_that_ends_as_it_begins_is_told() -> None:
    with pytest.raises(CannotTell, match="a process ended before its work was done"):
        list(several(add, [1], jobs=1, prepare=leave, given=(np.ones(LARGE, int), 5)))
