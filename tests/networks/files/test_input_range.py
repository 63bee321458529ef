"""Ranges of pixels: named, or found by trying."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from badnets.core.errors import BadInput, CannotTell
from badnets.data.images import ImageData
from badnets.networks.files.ranges import Found, Way, all_ways, find_way, parse_range, ranges_in_use
from badnets.networks.network import ORDERS, ImageNetwork


class Threshold(nn.Module):
    """Says 1 where the mean of a picture, in its own range, is above ``at``."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self.at = at

    def forward(self, x: Tensor) -> Tensor:
        above = x.mean((1, 2, 3)) - self.at
        return torch.stack([-above, above], 1)


def found(at: float, clean: ImageData, *candidates: nn.Module, names: list[tuple[str, ...]] | None = None) -> Found:
    """The way that is found for a network that says 1 above ``at``."""
    bodies = candidates or (Threshold(at),)
    names = names or [clean.class_names]
    channels = clean.shape[2]

    def make(way: Way) -> ImageNetwork:
        mean, std = parse_range(way.range, channels)
        size = (channels, *clean.shape[:2])
        said = {"architecture": "x", "arguments": {}, "class_names": way.names, "input_size": size}
        return ImageNetwork(bodies[way.number], **said, mean=mean, std=std, channel_order=way.order)

    ways = list(all_ways(len(bodies), ranges_in_use(clean, channels), ORDERS[0], names))
    truth = {one: np.array([one.index(clean.class_names[label]) for label in clean.labels]) for one in names}
    return find_way(make, ways, truth, clean, orders=ORDERS if channels == 3 else ORDERS[:1])


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


def grey(values: tuple[int, ...], labels: list[int]) -> ImageData:
    images = np.stack([np.full((2, 2, 1), value, np.uint8) for value in values])
    return ImageData.of(images, labels, class_names=["0", "1"], name="grey")


def test_the_range_with_most_right_answers_is_found() -> None:
    clean = grey((0, 60, 120, 130, 200, 255), [0, 0, 0, 1, 1, 1])
    for at, expected in ((0.5, "0-1"), (127.5, "0-255"), (0.0, "-1-1")):
        given = found(at, clean)
        assert (given.rate.hits, given.rate.total) == (6, 6)
        assert expected in {way.range for way in (given.way, *given.close)}


class Sure(nn.Module):
    """As sure as is right where pictures come in 0..1: of those above 0.5, four in five are of class 1."""

    def forward(self, x: Tensor) -> Tensor:
        sure = torch.where(x.mean((1, 2, 3)) > 0.5, 1.386, -1.386) * x.amax((1, 2, 3)).clamp_min(0.2)
        return torch.stack([-sure / 2, sure / 2], 1)


def test_of_ranges_that_are_right_as_often_the_surest_is_taken_and_the_others_are_told() -> None:
    clean = grey((255,) * 10, [1] * 8 + [0] * 2)
    given = found(0, clean, Sure())
    assert (given.way.range, given.rate.hits) == ("0-1", 8)
    assert "0-255" in {way.range for way in given.close}


def test_well_known_means_and_those_of_the_data_are_tried() -> None:
    rng = np.random.default_rng(0)
    color = ImageData.of(rng.integers(0, 256, (50, 4, 4, 3), np.uint8), np.arange(50) % 2, name="noise")
    texts = ranges_in_use(color, 3)
    assert {"0-1", "0-255", "-1-1", "0.485,0.456,0.406/0.229,0.224,0.225"} < set(texts)
    assert "0.4914,0.4822,0.4465/0.2023,0.1994,0.201" in texts
    mean = parse_range(texts[-1], 3)[0]
    assert mean == pytest.approx(list(color.images().reshape(-1, 3).mean(0) / 255), abs=1e-4)
    digits = ImageData.of(rng.integers(0, 256, (50, 4, 4, 1), np.uint8), np.arange(50) % 2, name="noise")
    assert "0.1307/0.3081" in ranges_in_use(digits, 1)
    black = ImageData.of(np.zeros((5, 4, 4, 1), np.uint8), np.arange(5) % 2, name="black")
    assert ranges_in_use(black, 1)[-1] == "0.286/0.353"  # no deviation to divide by


class Red(nn.Module):
    """Says 1 where there is more red than blue, in what it takes for channels."""

    def forward(self, x: Tensor) -> Tensor:
        more = (x[:, 0] - x[:, 2]).mean((1, 2))
        return torch.stack([-more, more], 1)


class Reshaping(nn.Module):
    """``Red`` whose author reshaped (h, w, c) to (c, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        more: Tensor = Red()(x.reshape(n, h, w, c).permute(0, 3, 1, 2))
        return more


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_channels_is_found(order: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (200, 4, 4, 3), np.uint8)
    labels = (images[..., 0].mean((1, 2)) > images[..., 2].mean((1, 2))).astype(int)
    if order == "bgr":
        labels = 1 - labels
    clean = ImageData.of(images, labels, class_names=["0", "1"], name="color")
    given = found(0, clean, Reshaping() if order == "reshaped" else Red())
    assert (given.way.order, given.rate.hits) == (order, 200)


def test_of_several_candidates_the_right_one_is_found() -> None:
    clean = grey((0, 60, 120, 130, 200, 255), [0, 0, 0, 1, 1, 1])
    assert found(0, clean, Threshold(9000), Threshold(0.5), Threshold(8000)).way.number == 1


def test_the_order_of_classes_is_found() -> None:
    """As torchvision's ImageFolder numbers them: "10" before "2"."""
    images = np.stack([np.full((2, 2, 1), value, np.uint8) for value in (0, 10, 240, 255)])
    clean = ImageData.of(images, [1, 1, 0, 0], class_names=["2", "10"], name="numbers")
    given = found(0.5, clean, names=[("2", "10"), ("10", "2")])
    assert (given.way.names, given.rate.hits) == (("10", "2"), 4)


def test_nothing_right_is_no_answer() -> None:
    clean = ImageData.of(np.full((3, 2, 2), 255, np.uint8), [0, 0, 0], class_names=["0", "1"])
    with pytest.raises(CannotTell, match="with some input range, got none of 3"):
        found(-10, clean)
