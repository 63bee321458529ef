"""Seeded splits: a partition, stratified, and no group on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.data.splits import split, with_select


def _data(labels: list[int], groups: list[int] | None = None) -> ImageData:
    n = len(labels)
    pixels = np.zeros((n, 2, 2, 1), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 1, 0] = np.arange(n) % 256, np.arange(n) // 256
    own = None if groups is None else np.array(groups)
    return ImageData.of(pixels, labels, class_names=("a", "b", "c", "d"), groups=own)


def _rows(data: ImageData) -> list[int]:
    images = data.images().astype(int)
    return list(map(int, images[:, 0, 0, 0] + 256 * images[:, 0, 1, 0]))


ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=60)


@given(ROWS, st.floats(0.02, 0.98), st.integers(0, 5), st.booleans())
def test_a_split_is_a_partition(rows: list[tuple[int, int]], share: float, seed: int, grouped: bool) -> None:
    labels, groups = [label for label, _ in rows], [group for _, group in rows]
    data = _data(labels, groups if grouped else None)
    rest, part = split(data, share, seed)
    assert sorted(_rows(rest) + _rows(part)) == list(range(len(rows)))
    again = split(data, share, seed)
    assert _rows(again[1]) == _rows(part)
    if grouped:
        assert not set(rest.groups.tolist()) & set(part.groups.tolist())
    else:
        for label in set(labels):
            n, k = labels.count(label), part.labels.tolist().count(label)
            assert abs(k - share * n) <= 1 or n < 2
            assert n < 2 or 1 <= k <= n - 1  # something on each side


def test_the_share_is_kept_with_unequal_groups() -> None:
    groups = [0] * 40 + [1] * 30 + [2] * 20 + [3] * 10
    _, part = split(_data([0] * 100, groups), 0.3, 1)
    assert 10 <= len(part) <= 50


def test_other_seeds_give_other_splits() -> None:
    data = _data([0] * 50 + [1] * 50)
    assert _rows(split(data, 0.3, 1)[1]) != _rows(split(data, 0.3, 2)[1])


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_a_share_lies_between_0_and_1(share: float) -> None:
    with pytest.raises(BadInput, match="share between 0 and 1"):
        split(_data([0, 1]), share, 0)


def test_select_comes_out_of_train() -> None:
    train, test = _data([0] * 40 + [1] * 40), _data([0, 1])
    sets = with_select(train, test, 0.25, 3)
    assert (len(sets.train), len(sets.select), len(sets.test)) == (60, 20, 2)
    assert sets.class_names == train.class_names
    empty = with_select(train, test, 0, 3)
    assert len(empty.select) == 0
    assert empty.train is train
