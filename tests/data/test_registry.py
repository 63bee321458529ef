from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from badnets.core.errors import BadInput
from badnets.data.load import load
from badnets.data.registry import SOURCES


def test_every_source_says_what_it_is() -> None:
    assert {"signs", "signs-us", "signs-eu", "digits", "mnist", "fashion-mnist", "cifar10"} <= SOURCES.keys()
    needing = {"coco", "folder", "hdf5", "idx", "npz", "yolo"}
    assert {name for name, source in SOURCES.items() if source.needs_path} == needing
    for source in SOURCES.values():
        assert source.summary
        assert "\n" not in source.summary


def test_signs_by_style_size_and_grey() -> None:
    small = {"train": 40, "test": 30}
    data = load("signs-eu", options=small, size=16, grey=True, select=0.2, seed=1)
    same = load("signs", options={**small, "style": "eu", "size": 16}, grey=True, select=0.2, seed=1)
    assert data.train.shape == (16, 16, 1)
    assert data.test.digest == same.test.digest
    assert data.train.digest == same.train.digest
    assert len(data.select) > 0
    other = load("signs-us", options={**small, "seed": 3}, size=16)
    assert not np.array_equal(other.test.images(), data.test.images())


def test_signs_report_progress() -> None:
    steps: list[tuple[str, int, int]] = []
    load("signs", options={"train": 40, "test": 30, "size": 16, "seed": 11}, progress=lambda *s: steps.append(s))
    assert steps[-1] == ("drawing signs", 70, 70)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("signs-us", {"options": {"style": "eu"}}, "expected style 'us'"),
        ("signs", {"size": (16, 20)}, "which are square"),
        ("signs", {"size": 16, "options": {"size": 20}}, "expected one size of signs"),
        ("signs", {"options": {"stile": "eu"}}, "did you mean 'style'"),
        ("signs", {"options": {"train": 1.5}}, "train .* as int"),
        ("signs", {"path": Path("x")}, "expected no path with data 'signs'"),
    ],
)
def test_signs_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load(name, **arguments)
