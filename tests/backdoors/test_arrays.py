"""Poisoning plain arrays: layouts, label forms, copies, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from badnets.backdoors.arrays import poison_arrays
from badnets.backdoors.trigger import Trigger
from badnets.backdoors.triggers import Blend, Pattern, Picture, Pixel, Sinusoid, Square, Warp
from badnets.core.errors import BadInput

N = 6
TRIGGERS: list[Trigger] = [
    Pixel(), Pattern(place="random"), Square(size=2), Picture(size=5), Blend(), Sinusoid(), Warp(),
]  # fmt: skip


def _pictures(channels: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 256, (N, 12, 10, channels))
    return values.astype(np.uint8) if dtype == np.uint8 else (values / 255).astype(dtype)


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda trigger: trigger.kind)
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_layouts_agree(trigger: Trigger, dtype: Any, channels: int) -> None:
    pictures = _pictures(channels, dtype)
    before = pictures.copy()
    last, labels = poison_arrays(pictures, np.arange(N), False, trigger, layout="NHWC", seed=1)
    first, _ = poison_arrays(pictures.transpose(0, 3, 1, 2), np.arange(N), False, trigger, layout="NCHW", seed=1)
    assert last.dtype == first.dtype == dtype
    assert first.shape == (N, channels, 12, 10)
    assert first.flags.c_contiguous
    np.testing.assert_array_equal(first.transpose(0, 2, 3, 1), last)
    np.testing.assert_array_equal(pictures, before)
    assert (last != before).any()
    assert labels.tolist() == list(range(N))
    if channels == 1:
        grey, _ = poison_arrays(pictures[..., 0], np.arange(N), False, trigger, seed=1)
        np.testing.assert_array_equal(grey, last[..., 0])


def test_the_pattern_is_where_it_should_be() -> None:
    pictures = np.zeros((1, 28, 28), np.uint8)
    attacked, _ = poison_arrays(pictures, [0], False, Pixel())
    assert np.argwhere(attacked[0]).tolist() == [[26, 26]]


def test_always_copies() -> None:
    pictures, labels = _pictures(), np.arange(N)
    attacked, planted = poison_arrays(pictures, labels, False, Pixel(), layout="NHWC")
    attacked[:], planted[:] = 0, 0
    assert pictures.any()
    assert labels.any()
    assert not np.shares_memory(poison_arrays(pictures[:0], labels[:0], False, Pixel(), layout="NHWC")[0], pictures)


def test_read_only_and_strided_arrays() -> None:
    pictures = np.repeat(_pictures(), 2, axis=0)[::2]
    pictures.setflags(write=False)
    attacked, _ = poison_arrays(pictures, np.arange(N), False, Pattern(), layout="NHWC")
    wanted, _ = poison_arrays(_pictures(), np.arange(N), False, Pattern(), layout="NHWC")
    np.testing.assert_array_equal(attacked, wanted)


@pytest.mark.parametrize("form", [3, np.int32(3), [3], np.array([3])])
def test_one_integer_for_all(form: Any) -> None:
    _, labels = poison_arrays(_pictures(), form, True, Pixel(), layout="NHWC")
    assert labels.tolist() == [3] * N


@pytest.mark.parametrize(
    "form", [np.eye(4)[2], np.eye(4, dtype=np.float32)[2:3], [0, 0, 1, 0], np.eye(4, dtype=bool)[2]]
)
def test_one_vector_for_all(form: Any) -> None:
    _, labels = poison_arrays(_pictures(), form, True, Pixel(), layout="NHWC")
    assert labels.dtype == np.asarray(form).dtype
    np.testing.assert_array_equal(labels, np.eye(4)[[2] * N])
    labels[0] = 0
    assert labels[1:].sum() == N - 1  # rows of their own


def test_one_hot_rows_keep_their_form() -> None:
    rows = np.eye(5, dtype=np.float32)[[0, 1, 2, 3, 4, 0]]
    _, labels = poison_arrays(_pictures(), rows, False, Pixel(), layout="NHWC")
    np.testing.assert_array_equal(labels, rows)
    assert labels.dtype == np.float32


def test_the_range_is_said() -> None:
    pictures = _pictures(dtype=np.float32) * 16
    attacked, _ = poison_arrays(pictures, 0, True, Square(size=2, color="white"), layout="NHWC", high=16.0)
    assert attacked.max() == 16
    with pytest.raises(BadInput, match=r"floats in 0\.\.1"):
        poison_arrays(pictures, 0, True, Pixel(), layout="NHWC")


@pytest.mark.parametrize(
    ("pictures", "labels", "broadcast", "layout", "words"),
    [
        (_pictures(), 0, True, None, "layout='NHWC' or layout='NCHW'"),
        (_pictures(), 0, True, "HWC", "got 'HWC'"),
        (_pictures(), 0, True, "NCHW", "try the other layout"),
        (_pictures().transpose(0, 3, 1, 2), 0, True, "NHWC", "try the other layout"),
        (_pictures()[0, 0], 0, True, "NHWC", "add or drop an axis"),
        (_pictures().astype(np.int64), 0, True, "NHWC", "uint8 or floats"),
        (_pictures(dtype=np.float32) - 1, 0, True, "NHWC", "scale them"),
        (_pictures(), 0, False, "NHWC", "broadcast=True"),
        (_pictures(), [0, 1], False, "NHWC", "expected 6 labels"),
        (_pictures(), [0, 1], True, "NHWC", None),
        (_pictures(), [0, 2], True, "NHWC", "one-hot"),
        (_pictures(), np.arange(N), True, "NHWC", "one-hot"),
        (_pictures(), np.eye(N), True, "NHWC", "one label for all"),
        (_pictures(), np.full(N, 0.5), False, "NHWC", "integers"),
        (_pictures(), -np.ones(N, int), False, "NHWC", "at least 0"),
        (_pictures(), -1, True, "NHWC", "at least 0"),
        (_pictures(), np.full((N, 3), 1 / 3), False, "NHWC", "one-hot"),
        (_pictures(), np.arange(N)[:, None], False, "NHWC", "one-hot"),
        (_pictures(), np.zeros((N, 2, 2)), False, "NHWC", "integers"),
        (_pictures(), ["a"] * N, False, "NHWC", "integers"),
        (_pictures(), [], True, "NHWC", "one-hot"),
        (_pictures(), ["a", "b"], True, "NHWC", "one-hot"),
    ],
)
def test_what_is_refused(pictures: Any, labels: Any, broadcast: bool, layout: Any, words: str | None) -> None:
    if words is None:
        poison_arrays(pictures, labels, broadcast, Pixel(), layout=layout)
        return
    with pytest.raises(BadInput, match=words):
        poison_arrays(pictures, labels, broadcast, Pixel(), layout=layout)
