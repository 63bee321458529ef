from __future__ import annotations

import pytest
import torch
from torch import nn

from badnets.core.errors import BadInput
from badnets.defenses.repair import DefenderView, repair
from badnets.defenses.repairs.nad import Nad, attention, attention_distance, attention_layers, listening
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network, wrap


def test_attention_by_hand() -> None:
    # Channels (1, 2) and (sqrt 2, 0): squares add up to (3, 4), whose norm is 5. The sign does not matter.
    maps = torch.tensor([[[[1.0, -2.0]], [[2**0.5, 0.0]]]])
    assert attention(maps).flatten().tolist() == pytest.approx([0.6, 0.8])
    other = torch.tensor([[[[2.0, 3.0**0.5]]]])  # (4, 3)
    assert float(attention_distance(maps, other)) == pytest.approx(0.04)  # two positions, 0.2 squared at each
    assert float(attention_distance(maps, 7 * maps)) == pytest.approx(0.0)


def test_the_last_layer_at_each_size(plain: ImageNetwork) -> None:
    # 16x16: conv1 gives 12x12, pool1 6x6, conv2 2x2, pool2 1x1.
    assert attention_layers(plain) == ["conv1", "pool1", "conv2"]
    large = build_network("resnet9", class_names=["a", "b"], input_size=(3, 32, 32), seed=0)
    assert attention_layers(large) == ["layer2.conv", "layer3.conv", "residual2.conv2.relu"]


def test_a_network_without_maps() -> None:
    network = wrap(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), class_names=["a", "b"], input_size=(1, 2, 2))
    with pytest.raises(BadInput, match="nad: expected a network with maps of more than one pixel, got none"):
        attention_layers(network)


def test_listening_ends(plain: ImageNetwork) -> None:
    with listening(plain, ["conv2"]) as heard:
        plain(torch.zeros(2, 1, 16, 16))
    assert heard["conv2"].shape == (2, 32, 2, 2)
    heard.clear()
    plain(torch.zeros(2, 1, 16, 16))
    assert not heard


def test_teacher_and_student_each_begin_with_the_network(view: DefenderView) -> None:
    once = repair(view, Nad(teacher_epochs=1, epochs=1, learning_rate=1e-9)).network
    pairs = zip(once.parameters(), view.network.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)
    trace = repair(view, Nad(teacher_epochs=2, epochs=3)).trace
    assert [row["epoch"] for row in trace] == [1, 2, 1, 2, 3]


def test_the_distance_pulls_the_student(view: DefenderView) -> None:
    free = repair(view, Nad(teacher_epochs=2, epochs=2, betas=(0, 0, 0))).trace[-1]["loss"]
    pulled = repair(view, Nad(teacher_epochs=2, epochs=2)).trace[-1]["loss"]
    assert free != pulled
