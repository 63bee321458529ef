"""Dense layers alone."""

from __future__ import annotations

import pytest
from torch import nn

from badnets.networks.registry import build_network


@pytest.mark.parametrize(("depth", "shapes"), [(0, [(3, 12)]), (1, [(5, 12), (3, 5)]), (2, [(5, 12), (5, 5), (3, 5)])])
def test_its_layers(depth: int, shapes: list[tuple[int, int]]) -> None:
    network = build_network(
        "perceptron",
        class_names=["a", "b", "c"],
        input_size=(3, 2, 2),
        seed=1,
        arguments={"width": 5, "depth": depth},
        device="cpu",
    )
    dense = [tuple(layer.weight.shape) for layer in network.body.modules() if isinstance(layer, nn.Linear)]
    assert dense == shapes
