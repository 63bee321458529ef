"""IBD-PSC as an abstainer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from badnets.core.errors import BadInput, CannotTell
from badnets.core.rate import Rate
from badnets.data.images import ImageData
from badnets.defenses.abstain import abstain
from badnets.defenses.abstainers.ibd_psc import IbdPsc, amplified_error, choose_depth, norm_layers
from badnets.defenses.repair import DefenderView
from badnets.measures.classification import accuracy
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork


def test_it_amplifies_from_the_depth_that_the_clean_error_chose(view: DefenderView, normed: ImageNetwork) -> None:
    seen = replace(view, network=normed)
    layers = norm_layers(normed)
    depth, factor, trace = choose_depth(normed, view.clean("x"), layers, factor=3.0, error=0.2)
    made = IbdPsc(factor=3.0, error=0.2, networks=2).make(seen, lambda *_: None)
    expected = {"layers": layers, "first": depth, "networks": 2, "factor": factor}
    assert made.guard.settings == expected
    assert made.trace == trace
    assert made.chosen == f"the depth, {depth}, and the factor, {factor:.3g}, by clean error on 120 pictures"


def test_without_batch_normalization_it_says_what_else_to_use(view: DefenderView) -> None:
    with pytest.raises(BadInput, match="got g1-cnn without; use strip or agreement"):
        abstain(view, IbdPsc())


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
    depth, factor, trace = choose_depth(normed, digits, layers, factor=3.0, error=limit)
    assert factor == 3.0
    assert depth == next(number for number, share in enumerate(shares, 1) if share > limit)
    assert [row["depth"] for row in trace] == list(range(1, depth + 1))
    assert trace[-1]["error"] == errors[depth - 1].to_json()


def test_where_no_depth_exceeds_the_error_the_factor_is_raised(normed: ImageNetwork, digits: ImageData) -> None:
    layers = norm_layers(normed)
    _, factor, trace = choose_depth(normed, digits, layers, factor=1.01, error=0.6)
    assert factor == pytest.approx(1.01 * 1.5 ** ((len(trace) - 1) // len(layers)))
    assert factor > 1.01
    assert [row["depth"] for row in trace[:8]] == list(range(1, 9))
    assert all(row["error"]["value"] <= 0.6 for row in trace[:-1])
    assert trace[-1]["error"]["value"] > 0.6


def test_an_error_that_no_factor_reaches_is_told(normed: ImageNetwork, digits: ImageData) -> None:
    with pytest.raises(CannotTell, match="expected a clean error above 99 % at some amplification, got none up to 100"):
        choose_depth(normed, digits, norm_layers(normed), factor=40.0, error=0.99)
