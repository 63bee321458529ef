from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from badnets.core.errors import BadInput
from badnets.defenses.repair import DefenderView, repair
from badnets.defenses.repairs.fst import Fst, draw_anew, keep_norm, last_layer, shifting_loss
from badnets.defenses.tuning import descend
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network, wrap


def test_one_step_by_hand() -> None:
    # Weights 0 give probabilities 1/2; picture (1, 0) of class 0: the cross entropy has gradient ((-1/2, 0), (1/2, 0)),
    # the inner product with the old weights, the identity, adds the identity. A step of 1 gives
    # ((-1/2, 0), (-1/2, -1)), of norm sqrt(3/2), which is scaled to sqrt(2).
    network = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        network.weight.zero_()
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    old, picture, label = torch.eye(2), torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    keep_norm(optimizer, network, old)
    loss = descend(optimizer, shifting_loss(network, network, old, 1.0)(picture, label), math.inf)
    assert float(loss) == pytest.approx(0.6931, abs=1e-4)
    factor = (2 / 1.5) ** 0.5
    expected = [-0.5 * factor, 0, -0.5 * factor, -factor]
    assert network.weight.detach().flatten().tolist() == pytest.approx(expected)


def test_the_last_layer_keeps_its_norm_and_turns_away(view: DefenderView) -> None:
    old = last_layer(view.network).weight.detach()
    new = last_layer(repair(view, Fst(epochs=2, alpha=0.2, max_drop=1)).network).weight.detach()
    free = last_layer(repair(view, Fst(epochs=2, alpha=0, max_drop=1)).network).weight.detach()
    assert float(new.norm()) == pytest.approx(float(old.norm()), rel=1e-5)
    assert float((new * old).sum()) < float((free * old).sum())


def test_new_weights_lie_within_one_over_the_root_of_the_inputs() -> None:
    layer = nn.Linear(100, 50)
    draw_anew(layer, torch.Generator().manual_seed(0))
    first = layer.weight.detach().clone()
    assert 0.095 < float(first.abs().max()) <= 0.1
    assert float(layer.bias.detach().abs().max()) <= 0.1
    draw_anew(layer, torch.Generator().manual_seed(0))
    assert torch.equal(first, layer.weight)


def test_which_layer_is_the_last(plain: ImageNetwork) -> None:
    assert last_layer(plain) is plain.body.get_submodule("fc2")
    squeeze = build_network("squeezenet1_1", class_names=["a", "b"], input_size=(3, 32, 32), seed=0)
    assert last_layer(squeeze) is squeeze.body.get_submodule("classifier.1")
    bare = wrap(nn.Flatten(), class_names=list("abcd"), input_size=(1, 2, 2))
    with pytest.raises(BadInput, match="fst: expected a network with a dense layer or a convolution"):
        last_layer(bare)
