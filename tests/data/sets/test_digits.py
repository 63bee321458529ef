from __future__ import annotations

import numpy as np
import pytest

from badnets.core.errors import BadInput
from badnets.data.load import load


def test_scaled_split_and_repeatable() -> None:
    data = load("digits", seed=4)
    assert data.train.shape == (8, 8, 1)
    assert len(data.train) + len(data.test) == 1797
    assert abs(len(data.test) / 1797 - 0.2) < 0.01
    assert data.train.images().max() == 255
    share = np.bincount(data.test.labels) / (np.bincount(data.train.labels) + np.bincount(data.test.labels))
    assert np.all(abs(share - 0.2) < 0.01)
    assert load("digits", seed=4).train.digest == data.train.digest
    assert load("digits", seed=5).train.digest != data.train.digest


def test_size_color_and_select() -> None:
    data = load("digits", size=16, grey=False, select=0.5, test_share=0.5)
    assert data.test.shape == data.select.shape == (16, 16, 3)
    assert abs(len(data.select) - len(data.train)) < 10


def test_no_options() -> None:
    with pytest.raises(BadInput, match="'digits': expected one of its options, got 'style'; it has none"):
        load("digits", options={"style": "us"})
