"""Photos of any size: crops, and places in the photo's pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.networks import inference
from badnets.networks.inference import Box, Detections, ask, check_box, detect_photo, predict
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network, wrap


class Mean(nn.Module):
    """Class 1 where the picture is bright; with ``locate`` also a box of the whole input less a pixel on every side."""

    task: str = "classify"

    def forward(self, images: Tensor, *locate: bool) -> Any:
        bright = images.mean((1, 2, 3))
        logits = torch.stack([0.5 - bright, bright - 0.5], 1) * 20
        side = images.shape[2] - 1.0
        return (logits, torch.tensor([[1.0, 1.0, side, side]] * len(images))) if locate else logits


def network(task: str = "classify") -> ImageNetwork:
    body = Mean()
    net = wrap(body, class_names=["dark", "bright"], input_size=(3, 8, 8))
    body.task = task
    return net


def street() -> np.ndarray:
    """Dark, with a bright part at x 20 to 40, y 10 to 30 of 60x100."""
    photo = np.zeros((60, 100, 3), np.uint8)
    photo[10:30, 20:40] = 255
    return photo


def test_the_part_in_the_box_is_what_the_network_is_shown() -> None:
    assert ask(network(), street()).label == 0
    answer = ask(network(), street(), (20, 10, 40, 30))
    assert (answer.label, answer.box) == (1, None)
    assert answer.confidence == pytest.approx(1 / (1 + np.exp(-20)), abs=1e-6)


def test_a_picture_of_the_right_size_is_shown_as_it_is() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    whole, given = ask(network(), picture), predict(network(), picture[None])
    assert (whole.label, whole.confidence) == (given.labels[0], given.confidence[0])


def test_a_box_head_speaks_of_the_photos_pixels() -> None:
    # One pixel of the input is 20 / 8 of the crop's.
    assert ask(network("locate"), street(), (20, 10, 40, 30)).box == (22.5, 12.5, 37.5, 27.5)
    assert ask(network("locate"), street()).box == (12.5, 7.5, 87.5, 52.5)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((5, 0, 5, 9), "x1 < x2"),
        ((0, 9, 5, 3), "y1 < y2"),
        ((0, 0, float("nan"), 9), "x1 < x2"),
        ((-1, 0, 5, 9), "a box inside the photo, which is 100x60 pixels, got -1,0,5,9"),
        ((90, 0, 101, 9), "got 90,0,101,9"),
        ((0, 0, 5, 60.5), "got 0,0,5,60.5"),
    ],
)
def test_a_box_must_lie_in_the_photo(box: Box, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        check_box(box, street(), "the photo")


@given(st.integers(1, 6), st.integers(1, 6))
def test_detections_are_scaled_to_the_photo(down: int, across: int) -> None:
    """A detector that sees the left half of its 64x64 input sees the left half of any photo."""
    half = Detections(
        np.array([[0, 0, 32, 64]], np.float32), np.zeros(1, np.int64), np.ones(1, np.float32), np.zeros(1, np.int64), 1
    )
    shown: list[Any] = []

    def detect(_: ImageNetwork, pictures: Any) -> Detections:
        shown.append(pictures)
        return half

    net = network("detect")
    net.input_size = (3, 64, 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "detect", detect)
        seen = detect_photo(net, np.zeros((50 * down, 30 * across, 3), np.uint8))
    assert shown[0].shape == (1, 64, 64, 3)
    assert seen.boxes.tolist() == [[0, 0, 15 * across, 50 * down]]


def test_neither_is_taken_for_the_other() -> None:
    detector = build_network(
        "faster-rcnn", class_names=["a", "b"], input_size=(3, 64, 64), seed=0, arguments={"width": 4}
    )
    with pytest.raises(BadInput, match=r"expected a classifier, got a detector \(faster-rcnn\)"):
        ask(detector, street())
    with pytest.raises(BadInput, match=r"expected a classifier, got a detector \(faster-rcnn\)"):
        predict(detector, np.zeros((1, 64, 64, 3), np.uint8))
    with pytest.raises(BadInput, match="expected a detector, got custom"):
        detect_photo(network(), street())
    assert len(detect_photo(detector, street()).boxes) == len(detect_photo(detector, street()).labels)
