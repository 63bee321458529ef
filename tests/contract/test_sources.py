"""What holds for every data source; a new one is covered unasked. Sets that are downloaded have tests of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from badnets.core.errors import BadInput
from badnets.data.images import Splits
from badnets.data.load import load
from badnets.data.registry import SOURCES

DOWNLOADED = {"mnist", "fashion-mnist", "cifar10", "gtsrb", "lisa", "voc"}
AT_HAND = [name for name, source in SOURCES.items() if not source.needs_path and name not in DOWNLOADED]
SMALL: dict[str, dict[str, Any]] = {
    name: {"train": 30, "test": 20, "size": 64} for name in AT_HAND if name.startswith(("signs", "scenes"))
}
"""Options that make a set small."""


def get(name: str, **more: Any) -> Splits:
    return load(name, options=SMALL.get(name), **more)


@pytest.mark.parametrize("name", SOURCES)
def test_it_says_what_it_is(name: str) -> None:
    source = SOURCES[name]
    assert source.name == name
    assert source.summary
    assert "\n" not in source.summary
    if source.needs_path:
        with pytest.raises(BadInput, match="expected a path with data"):
            load(name)


@pytest.mark.parametrize("name", AT_HAND)
def test_the_same_call_gives_the_same_three_sets(name: str) -> None:
    first, second = get(name, select=0.2, seed=3), get(name, select=0.2, seed=3)
    for one, other in zip(
        (first.train, first.select, first.test), (second.train, second.select, second.test), strict=True
    ):
        assert len(one) > 0
        assert one.digest == other.digest
    assert len(set(first.train.class_names)) == first.train.classes > 1
    assert first.train.class_names == first.test.class_names
    assert first.train.images(np.arange(1)).dtype == np.uint8


@pytest.mark.parametrize("name", AT_HAND)
def test_channels_are_those_that_are_asked_for_and_unknown_options_are_refused(name: str) -> None:
    assert get(name, grey=True).test.shape[-1] == 1
    assert get(name, grey=False).test.shape[-1] == 3
    with pytest.raises(BadInput, match="'rubbish'"):
        load(name, options={"rubbish": 1})
