from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.defenses.masks import Masks, apply_masks, neuron_layers, prune_by_masks
from badnets.defenses.repair import DefenderView, Work
from badnets.networks.network import ImageNetwork


def ones(network: ImageNetwork) -> list[torch.Tensor]:
    return [mask.detach() for mask in Masks(network).values]


def test_neurons_are_batch_norm_channels_or_else_hidden_outputs(plain: ImageNetwork, normed: ImageNetwork) -> None:
    assert list(neuron_layers(plain)) == ["body.conv1", "body.conv2", "body.fc1"]
    assert [len(mask) for mask in ones(plain)] == [16, 32, 512]
    layers = neuron_layers(normed)
    assert all(isinstance(layer, nn.BatchNorm2d) for layer in layers.values())
    assert next(iter(layers)) == "body.prep.bn"


def test_a_network_without_neurons_is_refused() -> None:
    body = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    network = ImageNetwork(body, architecture="line", arguments={}, class_names=("a", "b"), input_size=(1, 2, 2))
    with pytest.raises(BadInput, match="hidden dense layers, got line"):
        neuron_layers(network)


@pytest.mark.parametrize("name", ["plain", "normed"])
def test_masks_do_the_same_before_and_after_they_are_applied(name: str, request: pytest.FixtureRequest) -> None:
    network: ImageNetwork = request.getfixturevalue(name)
    masks, generator = Masks(network), torch.Generator().manual_seed(0)
    masks.values = [torch.rand(len(mask), generator=generator) for mask in masks.values]
    images = torch.rand(4, 1, 16, 16, generator=generator)
    before = network(images)
    masked = masks(images)
    assert torch.equal(network(images), before)
    apply_masks(masks.layers, masks.values)
    assert torch.allclose(network(images), masked, atol=1e-6)
    assert not torch.allclose(masked, before, atol=1e-3)


def test_a_masked_neuron_is_zero_for_every_picture(normed: ImageNetwork) -> None:
    layers = neuron_layers(normed)
    masks = ones(normed)
    masks[0][2] = 0
    apply_masks(layers, masks)
    seen = []
    layers["body.prep.bn"].register_forward_hook(lambda module, given, result: seen.append(result))
    normed(torch.rand(3, 1, 16, 16))
    assert seen[0][:, 2].abs().max() == 0
    assert seen[0][:, 1].abs().max() > 0


def test_pruning_stops_before_the_threshold_that_costs_too_much(view: DefenderView, digits: ImageData) -> None:
    work = Work(view, view.network, "test", lambda *_: None)
    held_out = digits.take(np.arange(120, 220))
    masks = ones(work.network)
    masks[1][:] = 0.32  # the whole second convolution, which nothing can do without; its best channel stays
    masks[2][0] = 0.0
    before = work.accuracy(held_out)
    chosen = prune_by_masks(work, masks, held_out, allowance=0.02)
    assert chosen.startswith("the threshold 0.95 (1 of ")  # equal masks are all the best
    masks[1][5] = 0.33
    chosen = prune_by_masks(work, masks, held_out, allowance=0.02)
    assert chosen.startswith("the threshold 0.3 (1 of ")
    assert before.hits - work.accuracy(held_out).hits <= 2
    weights: Any = work.network.body.get_submodule("fc1").weight
    assert weights[0].abs().max() == 0
    assert weights[1].abs().max() > 0


def test_pruning_that_costs_too_much_at_once_prunes_nothing(view: DefenderView, digits: ImageData) -> None:
    work = Work(view, view.network, "test", lambda *_: None)
    state = {name: value.clone() for name, value in view.network.state_dict().items()}
    masks = [torch.zeros_like(mask) for mask in ones(work.network)]
    for mask in masks:
        mask[0] = 1
    assert prune_by_masks(work, masks, digits, allowance=0.0).startswith("the threshold 0 (0 of ")
    assert all(torch.equal(value, state[name]) for name, value in work.network.state_dict().items())
