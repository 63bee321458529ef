"""Which batch normalizations are amplified, and how deep."""

from __future__ import annotations

import numpy as np
import pytest

from badnets.core.errors import BadInput, CannotTell
from badnets.core.rate import Rate
from badnets.data.images import ImageData
from badnets.defenses.screens.ibd_psc import amplified_error, choose_depth, norm_layers
from badnets.measures.classification import accuracy
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork


def test_layers_come_from_the_last_to_the_first(normed: ImageNetwork) -> None:
    found = norm_layers(normed)
    assert found[0] == "residual2.conv2.bn"
    assert found[-1] == "prep.bn"
    assert len(found) == 8


def test_a_network_without_batch_normalization_is_refused(plain: ImageNetwork) -> None:
    with pytest.raises(BadInput, match="expected a network with batch normalization, got g1-cnn without; use strip or"):
        norm_layers(plain)


def test_all_pictures_count_not_only_the_first_batch(normed: ImageNetwork, digits: ImageData) -> None:
    many = digits.take(np.tile(np.arange(300), 5))  # 1,500: two batches
    found = amplified_error(normed, many, [], 1.5)
    right = accuracy(predict_data(normed, many).labels, many.labels)
    assert found == Rate(right.total - right.hits, 1500)


def test_the_depth_is_the_first_that_exceeds_the_error(normed: ImageNetwork, digits: ImageData) -> None:
    layers = norm_layers(normed)
    errors = [amplified_error(normed, digits, layers[:depth], 3.0) for depth in range(1, 9)]
    shares = [rate.value or 0.0 for rate in errors]
    assert max(shares) > shares[0]
    limit = (shares[0] + max(shares)) / 2
    found = choose_depth(normed, digits, layers, factor=3.0, error=limit)
    assert found.factor == 3.0
    assert found.depth == next(number for number, share in enumerate(shares, 1) if share > limit)
    assert [row["depth"] for row in found.trace] == list(range(1, found.depth + 1))
    assert found.trace[-1]["error"] == errors[found.depth - 1].to_json()


def test_where_no_depth_exceeds_the_error_the_factor_is_raised(normed: ImageNetwork, digits: ImageData) -> None:
    layers = norm_layers(normed)
    found = choose_depth(normed, digits, layers, factor=1.01, error=0.6)
    assert found.factor == pytest.approx(1.01 * 1.5 ** ((len(found.trace) - 1) // len(layers)))
    assert found.factor > 1.01
    assert [row["depth"] for row in found.trace[:8]] == list(range(1, 9))
    assert all(row["error"]["value"] <= 0.6 for row in found.trace[:-1])
    assert found.trace[-1]["error"]["value"] > 0.6


def test_an_error_that_no_factor_reaches_is_told(normed: ImageNetwork, digits: ImageData) -> None:
    with pytest.raises(CannotTell, match="expected a clean error above 99 % at some amplification, got none up to 100"):
        choose_depth(normed, digits, norm_layers(normed), factor=40.0, error=0.99)
