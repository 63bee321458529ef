"""Channels: the ranking by hand, zero that stays zero, and smaller networks with the same answers."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import wrap
from badnets.networks.surgery.channels import (
    hold,
    prune_channels,
    pruned_channels,
    rank_channels,
    scale_channels,
    shrink,
    site,
)
from badnets.networks.surgery.graph import until

Toy = tuple[ImageNetwork, str]
MakeToy = Callable[..., Toy]
NAMES = ("norm before", "norm after", "norm of columns", "fused", "branches", "pre-activation", "norm on one way")


def pictures(n: int = 5, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 3 - 1


def by_hand() -> ImageNetwork:
    """Two 1x1 filters on grey 2x2 pictures: the pixel, and 0.5 minus it; then ReLU, max pool 2, a dense layer."""
    body = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(1, 2, 1), relu=nn.ReLU(), pool=nn.MaxPool2d(2), flatten=nn.Flatten(), fc=nn.Linear(2, 2)
        )
    )
    body.conv.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    body.conv.bias.data = torch.tensor([0.0, 0.5])
    return wrap(body, class_names=["a", "b"], input_size=(1, 2, 2))


GREY = np.array([[[0, 51], [102, 255]], [[0, 0], [0, 255]]], np.uint8)  # 0, 0.2, 0.4, 1 and 0, 0, 0, 1
HAND = ImageData.of(GREY, [0, 1])


@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_ranking_by_hand(batch: int) -> None:
    # After the ReLU, channel 0: (1.6 + 1) / 8; channel 1: (0.5 + 0.3 + 0.1 + 0 + 3 * 0.5) / 8.
    assert np.allclose(rank_channels(by_hand(), HAND, "conv", batch=batch), [2.6 / 8, 2.4 / 8])
    # The largest of each picture: 1 and 1; 0.5 and 0.5.
    assert np.allclose(rank_channels(by_hand(), HAND, "conv", at="pool", batch=batch), [1.0, 0.5])


def test_ranking_leaves_the_network_as_it_is(toy: MakeToy) -> None:
    network, layer = toy("norm after")
    network.train()
    before = copy.deepcopy(network.state_dict())
    data = ImageData.of(np.full((4, 8, 8, 3), 7, np.uint8), [0, 1, 2, 3])
    means = rank_channels(network, data, layer)
    assert means.shape == (6,)
    assert means.dtype == np.float64
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("name", "data", "at", "message"),
    [
        ("pre-activation", ImageData.of(np.zeros((1, 8, 8, 3), np.uint8), [0]), "pool", "expected a pooling after"),
        ("fused", ImageData.of(np.zeros((0, 8, 8, 3), np.uint8), []), "pool", "got none"),
        ("fused", ImageData.of(np.zeros((1, 9, 8, 3), np.uint8), [0]), "pool", "expected pictures of data of 8x8x3"),
    ],
)
def test_ranking_refusals(toy: MakeToy, name: str, data: ImageData, at: str, message: str) -> None:
    network, layer = toy(name)
    with pytest.raises(BadInput, match=message):
        rank_channels(network, data, layer, at=at)


def read_by_the_next(network: ImageNetwork, layer: str, images: Tensor) -> list[Tensor]:
    """What the layers that mix the channels are given, or the sum where there are none: (n, channels, positions)."""
    where = site(network, layer)
    readers = [tap.name for tap in where.readers] or ["add"]
    nodes = [node for node in where.traced.graph.nodes if str(node.target) in readers or node.name in readers]
    with torch.no_grad():
        values = [until(where.traced, source)(images) for node in nodes for source in node.all_input_nodes]
    return [value.reshape(len(images), where.channels, -1) for value in values]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 1000), channels=st.sets(st.integers(0, 5), min_size=1))
def test_a_pruned_channel_is_zero_for_every_picture(toy: MakeToy, name: str, seed: int, channels: set[int]) -> None:
    network, layer = toy(name, seed)
    before = copy.deepcopy(network.state_dict())
    gone = sorted(channels)
    kept = [channel for channel in range(6) if channel not in channels]
    prune_channels(network, layer, gone)
    assert pruned_channels(network, layer) == gone
    for key, value in network.state_dict().items():
        same = torch.equal(value, before[key])
        assert same or (value.shape[0] % 6 == 0 and key.startswith((f"body.{layer}.", "body.bn"))), key
        by_channel, was = (v.reshape(6, -1) if v.numel() % 6 == 0 else v[None] for v in (value, before[key]))
        assert same or torch.equal(by_channel[kept], was[kept]), f"{key}: a kept channel has changed"
        assert same or "running" not in key
    for training in (False, True):
        network.train(training)
        values = read_by_the_next(network, layer, 10 * pictures(3, seed))
        assert values
        for value in values:
            assert value.isfinite().all()
            assert (value[:, gone] == 0).all(), "alive"


@pytest.mark.parametrize("name", ["norm before", "norm after", "norm of columns", "pre-activation", "norm on one way"])
def test_zero_filters_alone_do_not_silence(toy: MakeToy, name: str) -> None:
    """What ports get wrong: the batch norm's shift keeps the channel alive."""
    network, layer = toy(name, seed=3)
    convolution = network.body.get_submodule(layer)
    convolution.weight.data.zero_()
    convolution.bias.data.zero_()
    values = read_by_the_next(network, layer, pictures())
    assert any((value != 0).any() for value in values)
    assert pruned_channels(network, layer) == []


def test_a_zero_norm_silences_whatever_the_filter_is(toy: MakeToy) -> None:
    network, layer = toy("norm before")
    norm = network.body.get_submodule("bn")
    norm.weight.data[2] = norm.bias.data[2] = 0
    assert pruned_channels(network, layer) == [2]
    norm.bias.data[2] = 1
    assert pruned_channels(network, layer) == []
    network, layer = toy("norm on one way")  # the other way has no norm
    norm = network.body.get_submodule("bn")
    norm.weight.data[2] = norm.bias.data[2] = 0
    assert pruned_channels(network, layer) == []


@pytest.mark.parametrize(
    ("channels", "message"),
    [([0, 6], "from 0 to 5, got 6"), ([-1], "from 0 to 5, got -1"), ([2, 3, 2], "each channel once, got 2 twice")],
)
def test_channels_that_are_not_there(toy: MakeToy, channels: Sequence[int], message: str) -> None:
    network, layer = toy("branches")
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(BadInput, match=message):
        prune_channels(network, layer, channels)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("adam", [True, False])
def test_held_channels_stay_zero_through_training(each_toy: Toy, adam: bool) -> None:
    network, layer = each_toy
    optimizer: torch.optim.Optimizer = torch.optim.SGD(network.parameters(), lr=0.01, weight_decay=0.1, momentum=0.9)
    if adam:
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=0.1)
    network.train()

    def step(seed: int) -> None:
        optimizer.zero_grad()
        loss: Any = nn.functional.cross_entropy(network(pictures(8, seed)), torch.arange(8) % 4)
        loss.backward()
        optimizer.step()

    step(0)  # so that there is momentum
    prune_channels(network, layer, [1, 4])
    again = hold(network, layer, [1, 4])
    for seed in (1, 2):
        step(seed)
        again()
        assert pruned_channels(network, layer) == [1, 4]
    step(3)
    assert pruned_channels(network, layer) == [], "the test must see channels come back where nobody holds them"


def test_shrinking_keeps_the_answers(shrinkable: Toy) -> None:
    network, layer = shrinkable
    prune_channels(network, layer, [0, 3, 5])
    smaller = shrink(network, layer)
    images = pictures(50)
    with torch.no_grad():
        ours, theirs = smaller(images), network(images)
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-4 * float(theirs.abs().max()))
    assert torch.equal(ours.argmax(1), theirs.argmax(1))
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in network.parameters())
    assert smaller.narrowed == {layer: 3}
    assert smaller.body.get_submodule(layer).out_channels == 3
    assert network.narrowed == {}
    assert network.body.get_submodule(layer).out_channels == 6
    assert pruned_channels(smaller, layer) == []
    smaller.train()(images)  # norms have the right number of statistics


def test_shrinking_twice_nothing_and_everything(toy: MakeToy) -> None:
    network, layer = toy("branches")
    assert shrink(network, layer).narrowed == {}
    prune_channels(network, layer, [5])
    once = shrink(network, layer)
    prune_channels(once, layer, [0, 1])
    prune_channels(once, "next", [0])
    twice = shrink(shrink(once, layer), "next")
    assert twice.narrowed == {layer: 3, "next": 4}
    images = pictures(20)
    assert torch.allclose(twice(images), once(images), rtol=1e-4, atol=1e-3)
    prune_channels(network, layer, [0, 1, 2, 3, 4])
    last = shrink(network, layer)
    assert last.narrowed == {layer: 1}
    assert torch.allclose(last(images), network(images), rtol=1e-5, atol=1e-4)


def test_channels_that_a_sum_reads_stay(toy: MakeToy) -> None:
    network, layer = toy("norm on one way")
    prune_channels(network, layer, [0])
    with pytest.raises(BadInput, match="only convolutions and dense layers read, got add too; prune them without"):
        shrink(network, layer)


def test_weights_keep_their_order_in_memory(toy: MakeToy) -> None:
    network, layer = toy("fused")
    network.body.to(memory_format=torch.channels_last)
    prune_channels(network, layer, [0])
    weight = shrink(network, layer).body.get_submodule(layer).weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 1000),
    channels=st.sets(st.integers(0, 5), min_size=1),
    power=st.integers(-2, 5),
)
def test_a_scaled_channel_is_read_exactly_k_times(
    toy: MakeToy, name: str, seed: int, channels: set[int], power: int
) -> None:
    """Powers of two are exact in floating point, so nothing but the factor may differ, in any bit."""
    network, layer = toy(name, seed)
    images = 10 * pictures(3, seed)
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    before = read_by_the_next(network, layer, images)
    factor, scaled = 2.0**power, sorted(channels)
    scale_channels(network, layer, scaled, factor)
    after = read_by_the_next(network, layer, images)
    others = [channel for channel in range(6) if channel not in channels]
    assert before
    for old, new in zip(before, after, strict=True):
        assert torch.equal(new[:, scaled], factor * old[:, scaled])
        assert torch.equal(new[:, others], old[:, others])
    assert {key: value.shape for key, value in network.state_dict().items()} == shapes


def test_a_norm_that_takes_batch_statistics_keeps_the_factor(toy: MakeToy) -> None:
    """A user who retrains all layers would undo the factor if it lay in front of the batch norm."""
    network, layer = toy("norm before")
    network.train()
    before = read_by_the_next(network, layer, pictures())[0]
    scale_channels(network, layer, [1], 4.0)
    assert torch.equal(read_by_the_next(network, layer, pictures())[0][:, 1], 4 * before[:, 1])


@pytest.mark.parametrize("factor", [3.0, 20.0, 0.1])
def test_the_activation_by_hand(factor: float) -> None:
    network = by_hand()
    scale_channels(network, "conv", [1], factor)
    assert np.allclose(rank_channels(network, HAND, "conv"), [2.6 / 8, factor * 2.4 / 8])


@pytest.mark.parametrize(
    ("channels", "factor", "message"),
    [
        ([0], 0.0, "conv: expected a factor above 0, got 0"),
        ([0], -1.0, "got -1"),
        ([0], float("nan"), "got nan"),
        ([0], float("inf"), "got inf"),
        ([6], 2.0, "from 0 to 5, got 6"),
        ([1, 1], 2.0, "got 1 twice"),
    ],
)
def test_scaling_refusals(toy: MakeToy, channels: Sequence[int], factor: float, message: str) -> None:
    network, layer = toy("norm after")
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(BadInput, match=message):
        scale_channels(network, layer, channels, factor)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_factor_does_not_pass_a_curved_activation() -> None:
    body = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 6, 3), silu=nn.SiLU(), pool=nn.AvgPool2d(6), flatten=nn.Flatten(), fc=nn.Linear(6, 4)
        )
    )
    network = wrap(body, class_names=["a", "b", "c", "d"], input_size=(3, 8, 8))
    with pytest.raises(BadInput, match="conv: expected ReLUs behind it, got silu"):
        scale_channels(network, "conv", [0], 2.0)
    without = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 6, 3),
            relu=nn.ReLU(),
            flatten=nn.Flatten(),
            bn=nn.BatchNorm1d(216, track_running_stats=False),
            fc=nn.Linear(216, 4),
        )
    )
    network = wrap(without, class_names=["a", "b", "c", "d"], input_size=(3, 8, 8))
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(BadInput, match="expected a batch norm with statistics, got 'bn' without"):
        scale_channels(network, "conv", [0], 2.0)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
