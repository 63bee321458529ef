"""STRIP's entropies, by hand: over classes, of blends in the space of pixels."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from badnets.networks.guards.strip_guard import Strip, blend_entropy, entropy
from badnets.networks.network import ImageNetwork

Linear = Callable[..., ImageNetwork]


def test_the_entropy_of_known_distributions() -> None:
    probabilities = torch.tensor([[0.25] * 4, [0.5, 0.25, 0.125, 0.125], [1.0, 0.0, 0.0, 0.0]])
    assert entropy(probabilities.clamp_min(1e-30).log()).tolist() == pytest.approx([2.0, 1.75, 0.0], abs=1e-6)


def test_the_entropy_is_over_classes_so_a_sure_answer_is_the_suspicious_one(linear: Linear) -> None:
    # Over samples instead of classes, answers that are alike have the highest entropy, and the order is inverted.
    network = linear([20.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 3.0])  # pixel 0 is the trigger of class 0
    triggered, clean = [1.0, 0.4, 0.4], [0.0, 0.4, 0.4]
    overlays = torch.tensor([[0, 255, 0], [0, 0, 255], [0, 128, 128]], dtype=torch.uint8).view(3, 1, 3, 1)
    pictures = torch.tensor([triggered, clean]).view(2, 1, 1, 3)
    low, high = blend_entropy(network, pictures, overlays, 1.0, 1.0).tolist()
    assert low < 0.01
    assert high > 0.5
    score = Strip(network, overlays).scores(pictures).tolist()
    assert score == pytest.approx([-low, -high])
    assert score[0] > score[1]


def test_blends_are_pixels_cut_to_their_range_before_the_networks_own_normalization(linear: Linear) -> None:
    network = linear([1.0], [0.0], std=0.1)  # logits 10 * pixel, 0
    overlay = torch.full((1, 1, 1, 1), 51, dtype=torch.uint8)  # 0.2
    pictures = torch.tensor([0.0, 0.9]).view(2, 1, 1, 1)
    found = blend_entropy(network, pictures, overlay, 0.5, 1.0).tolist()
    assert found == pytest.approx([_binary(10 * 0.2), _binary(10 * 0.65)], rel=1e-4)
    cut = blend_entropy(network, pictures, overlay, 1.0, 1.0).tolist()
    assert cut == pytest.approx([_binary(2.0), _binary(10 * 1.0)], rel=1e-4)


def test_the_mean_is_over_all_overlays(linear: Linear) -> None:
    network = linear([4.0], [0.0])
    overlays = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    (found,) = blend_entropy(network, torch.zeros(1, 1, 1, 1), overlays, 1.0, 1.0).tolist()
    assert found == pytest.approx((_binary(0.0) + _binary(4.0)) / 2, rel=1e-5)


def _binary(logit: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -sum(x * math.log2(x) for x in (p, 1 - p))
