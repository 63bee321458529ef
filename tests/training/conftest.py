"""A small set that a small network learns in a second."""

from __future__ import annotations

import pytest

from badnets.data.images import ImageData, Splits
from badnets.data.load import load


@pytest.fixture(scope="session")
def digits() -> Splits:
    """Handwritten digits of 16x16, grey."""
    return load("digits", size=16)


@pytest.fixture(scope="session")
def few(digits: Splits) -> ImageData:
    """250 of them."""
    import numpy as np

    return digits.train.take(np.arange(250))
