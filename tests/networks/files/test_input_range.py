"""Ranges of pixels: named, or found by trying."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from badnets.core.errors import BadInput, CannotTell
from badnets.data.images import ImageData
from badnets.networks.files.foreign import Normalization, find_range, parse_range
from badnets.networks.network import ImageNetwork


class Threshold(nn.Module):
    """Says 1 where the mean of a picture, in its own range, is above ``at``."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self.at = at

    def forward(self, x: Tensor) -> Tensor:
        above = x.mean((1, 2, 3)) - self.at
        return torch.stack([-above, above], 1)


def make(at: float, normal: Normalization) -> ImageNetwork:
    return ImageNetwork(
        Threshold(at),
        architecture="x",
        arguments={},
        class_names=["0", "1"],
        input_size=(1, 2, 2),
        mean=normal[0],
        std=normal[1],
    )


@pytest.mark.parametrize(
    ("text", "black", "white"),
    [("0-1", 0, 1), ("0-255", 0, 255), ("-1-1", -1, 1), ("0.5/0.25", -2, 2), ("0.5,0.5,0.5/0.25,0.25,0.25", -2, 2)],
)
def test_ranges(text: str, black: float, white: float) -> None:
    mean, std = parse_range(text, 3)
    network = ImageNetwork(
        nn.Identity(), architecture="x", arguments={}, class_names=["a"], input_size=(3, 1, 1), mean=mean, std=std
    )
    assert torch.allclose(network(torch.zeros(1, 3, 1, 1)), torch.tensor(float(black)))
    assert torch.allclose(network(torch.ones(1, 3, 1, 1)), torch.tensor(float(white)))


@pytest.mark.parametrize("text", ["0-2", "", "a/b", "0.5", "1/2/3", "0.5/0", "nan/1", "0.5,0.5/1,1", "0.5/-1"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="input range"):
        parse_range(text, 3)


def test_the_range_with_most_right_answers_is_found() -> None:
    images = np.stack([np.full((2, 2, 1), value, np.uint8) for value in (0, 60, 120, 130, 200, 255)])
    clean = ImageData.of(images, [0, 0, 0, 1, 1, 1], name="grey")
    for at, expected in ((0.5, "0-1"), (127.5, "0-255"), (0.0, "-1-1")):
        chosen, tried = find_range(partial(make, at), clean, 1)
        assert chosen == expected
        assert (tried[chosen].hits, tried[chosen].total) == (6, 6)
        assert set(tried) == {"0-1", "0-255", "-1-1"}


def test_nothing_right_is_no_answer() -> None:
    clean = ImageData.of(np.full((3, 2, 2), 255, np.uint8), [0, 0, 0], class_names=["0", "1"])
    with pytest.raises(CannotTell, match="with some input range, got none of 3"):
        find_range(partial(make, -10), clean, 1)
