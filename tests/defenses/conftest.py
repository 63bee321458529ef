"""Small networks that know handwritten digits of 16x16, and what a defender sees of them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.data.load import load
from badnets.defenses.repair import DefenderView
from badnets.networks.network import ImageNetwork, to_float
from badnets.networks.registry import build_network, parse_network


@pytest.fixture(scope="session")
def digits() -> ImageData:
    """300 handwritten digits."""
    return load("digits", size=16).train.take(np.arange(300))


def learned(name: str, data: ImageData) -> ImageNetwork:
    """A network after 60 steps on all of ``data``."""
    kind, arguments = parse_network(name)
    h, w, c = data.shape
    network = build_network(kind, class_names=data.class_names, input_size=(c, h, w), seed=1, arguments=arguments)
    images, labels = to_float(torch.from_numpy(data.images())), torch.from_numpy(np.array(data.labels))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    network.train()
    for _ in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()


@pytest.fixture(scope="session")
def _plain(digits: ImageData) -> ImageNetwork:
    return learned("g1-cnn", digits)


@pytest.fixture(scope="session")
def _normed(digits: ImageData) -> ImageNetwork:
    return learned("resnet9:width=4", digits)


@pytest.fixture
def plain(_plain: ImageNetwork) -> ImageNetwork:
    """Without batch norm."""
    return copy.deepcopy(_plain)


@pytest.fixture
def normed(_normed: ImageNetwork) -> ImageNetwork:
    """With batch norm."""
    return copy.deepcopy(_normed)


@pytest.fixture
def view(plain: ImageNetwork, digits: ImageData) -> DefenderView:
    return DefenderView(network=plain, data=digits.take(np.arange(120)), seed=Seed(3))
