from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from badnets.defenses.masks import clamp, neuron_layers
from badnets.defenses.repair import DefenderView, repair
from badnets.defenses.repairs.nft import Nft, distance, mix_up


def test_mix_up_by_hand() -> None:
    images = torch.tensor([1.0, 2.0, 4.0]).view(3, 1, 1, 1)
    mixed, other = mix_up(images, torch.tensor([7, 8, 9]), 0.75, torch.tensor([1, 2, 0]))
    assert mixed.flatten().tolist() == [1.25, 2.5, 3.25]
    assert other.tolist() == [8, 9, 7]


def test_the_regularizer_and_the_bounds_by_hand() -> None:
    masks = [torch.tensor([1.0, 0.7]), torch.tensor([0.2, 1.3])]
    assert float(distance(masks)) == pytest.approx(0.3 + 0.8 + 0.3)
    clamp(masks, 0.8, 0.5)
    assert masks[0].tolist() == pytest.approx([1.0, 0.7])
    assert masks[1].tolist() == pytest.approx([0.8 * math.exp(-1), 1.0])


def test_channels_are_scaled_within_the_bounds_and_nothing_else(view: DefenderView) -> None:
    done = repair(view, Nft(steps=60))
    layers = list(neuron_layers(view.network).items())
    factors = []
    for depth, (name, before) in enumerate(layers, start=1):
        after = neuron_layers(done.network)[name]
        ratio = (after.weight / before.weight).detach().flatten(1)
        assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), atol=1e-4)
        assert 0.8 * math.exp(-0.5 * depth) - 1e-4 <= float(ratio.min())
        assert float(ratio.max()) <= 1 + 1e-4
        assert torch.allclose(after.bias, before.bias * ratio[:, 0], atol=1e-4)
        factors.append(float(ratio.min()))
    assert min(factors) < 0.9
    old, new = (network.body.get_submodule("fc2").weight for network in (view.network, done.network))
    assert torch.equal(old, new)
    assert np.diff([row["held_out_accuracy"]["total"] for row in done.trace]).any() == np.False_
