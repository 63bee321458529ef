"""What a channel adds to the layers that read it."""

from __future__ import annotations

import pytest
import torch

from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network
from badnets.networks.surgery.graph import site, split
from badnets.networks.surgery.sweep import Reading, plain_reading


def reading_of(network: ImageNetwork, layer: str) -> Reading | None:
    where = site(network, layer)
    return plain_reading(where, split(where.traced, where.cut))


@pytest.mark.parametrize(
    ("name", "layer", "maps"),
    [
        ("deepid", "conv_3", (60, 5, 4)),
        ("l1-cnn", "conv2", (64, 16, 16)),
        ("resnet18", "layer2.0.conv1", (8, 4, 4)),
    ],
)
def test_sums_without_a_channels_share_are_those_without_the_channel(
    name: str, layer: str, maps: tuple[int, int, int]
) -> None:
    size = (3, 55, 47) if name == "deepid" else (3, 32, 32)
    arguments = {"width": 4} if name == "resnet18" else {}
    network = build_network(name, class_names=["a", "b"], input_size=size, seed=0, arguments=arguments)
    reading = reading_of(network, layer)
    assert reading is not None
    features = torch.randn(3, *maps, generator=torch.Generator().manual_seed(0))
    without = features.clone()
    without[:, 2] = 0
    with torch.no_grad():
        share = reading.share(features[:, 2:3].clone(), 2)
        for whole, part, less in zip(reading.sums(features), share, reading.sums(without), strict=True):
            assert whole.shape == part.shape
            assert float(part.abs().max()) > 1e-3
            assert torch.allclose(whole - part, less, atol=1e-5)


@pytest.mark.parametrize("name", ["norm of columns", "norm on one way"])
def test_other_ways_are_not_plain(toy: object, name: str) -> None:
    assert callable(toy)
    assert reading_of(*toy(name)) is None
