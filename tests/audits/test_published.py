"""The peers as published: closed forms, hand-computed thresholds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import wrap
from badnets.studies.audit.published import (
    Published,
    anomaly_index,
    gamma_p,
    largest_margin,
    smallest_mask,
)

Make = Callable[..., ImageNetwork]
USUAL = (5.0, 5.4, 4.8, 5.1, 5.2, 4.9, 5.3, 5.05, 4.95)


def test_a_pixel_that_decides_makes_the_mask_of_its_class_small(make_linear: Make, quarters: ImageData) -> None:
    network = make_linear(trigger=(2, 8.0))
    own, other = (smallest_mask(network, quarters, target, Seed(1)) for target in (2, 0))
    assert own < 3  # the one pixel, and what is left of the rest
    assert other > 2 * own


def test_the_margin_of_a_linear_network_is_largest_where_pixels_are_black_or_white() -> None:
    weight = torch.tensor([[1.0, -1, 0.5, 0], [0, 1, 0, 0.5]])
    two = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        two[1].weight.copy_(weight)
    network = wrap(two, class_names=["a", "b"], input_size=(1, 2, 2), mean=[0.0], std=[1.0])
    away = weight[1] - weight[0]
    assert largest_margin(network, 1, Seed(1)) == pytest.approx(float(away.clamp_min(0).sum()), rel=0.01)


def test_the_index_of_the_smallest_mask() -> None:
    """Median 10, median absolute deviation 1."""
    assert anomaly_index([8, 9, 10, 11, 12]) == pytest.approx(2 / 1.4826)
    assert anomaly_index([1, 9, 10, 11, 12]) == pytest.approx(9 / 1.4826)


def test_a_margin_far_above_the_others_is_significant() -> None:
    assert gamma_p((*USUAL, 9.0)) < 0.05
    assert gamma_p((*USUAL, 5.35)) > 0.3


def test_thresholds_decide_and_only_small_masks_and_large_margins_count() -> None:
    masks = (10.0, 11, 9.4, 10.5, 9.5, 10.2, 9.8, 10.1, 9.9, 2.0)
    found = Published(masks=masks, margins=(*USUAL, 9.0), seconds={})
    assert found.targets == {"neural-cleanse": 9, "mm-bd": 9}
    large = Published(masks=(*masks[:9], 30.0), margins=(*USUAL, 1.0), seconds={})
    assert large.targets == {"neural-cleanse": None, "mm-bd": None}
    assert int(np.argmin(large.masks)) == 2
