from __future__ import annotations

import numpy as np

from badnets.data.images import ImageData, Splits
from badnets.data.request import Request, finish


def data(n: int, seed: int = 0) -> ImageData:
    pixels = np.random.default_rng(seed).integers(0, 256, (n, 4, 6, 3), dtype=np.uint8)
    region = np.tile(np.array([0, 0, 6, 4], np.float32), (n, 1))
    return ImageData.of(pixels, np.arange(n) % 2, region=region)


def rows(splits: Splits) -> list[set[bytes]]:
    return [{p.tobytes() for p in part.images()} for part in (splits.train, splits.test, splits.select)]


def test_three_sets_share_nothing() -> None:
    splits = finish(Request(name="x", select=0.25, seed=3), data(40))
    train, test, select = rows(splits)
    assert (len(train), len(test), len(select)) == (24, 8, 8)
    assert not train & test
    assert not train & select
    assert not test & select
    assert rows(finish(Request(name="x", select=0.25, seed=3), data(40))) == [train, test, select]
    assert rows(finish(Request(name="x", select=0.25, seed=4), data(40))) != [train, test, select]


def test_a_test_set_of_its_own_is_not_touched_by_the_seed() -> None:
    one, two = (finish(Request(name="x", select=0.5, seed=seed), data(40), data(10, 1)) for seed in (0, 1))
    assert one.test.digest == two.test.digest
    assert one.select.digest != two.select.digest


def test_a_select_set_of_its_own_is_kept_whole() -> None:
    splits = finish(Request(name="x", select=0.5), data(40), data(10, 1), data(6, 2))
    assert (len(splits.train), len(splits.select)) == (40, 6)


def test_size_and_channels_with_regions() -> None:
    splits = finish(Request(name="x", size=(8, 3), grey=True), data(10), data(4, 1), data(4, 2))
    for part in (splits.train, splits.test, splits.select):
        assert part.shape == (8, 3, 1)
        assert part.targets.region is not None
        assert part.targets.region[0].tolist() == [0, 0, 3, 8]
