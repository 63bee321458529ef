from __future__ import annotations

import pytest
import torch
from torch import nn

from badnets.defenses.masks import Masks
from badnets.defenses.repair import DefenderView, repair
from badnets.defenses.repairs.anp import Anp, worst_noise
from badnets.networks.network import ImageNetwork


def two_neurons() -> ImageNetwork:
    """Two hidden neurons, (x + 1/2, 2x + 1/2) for one pixel x; their sum is the logit of class 1, class 0 has none."""
    first, second = nn.Linear(1, 2), nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0], [2.0]]))
        first.bias.fill_(0.5)
        second.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    body = nn.Sequential(nn.Flatten(), first, second)
    return ImageNetwork(body, architecture="two", arguments={}, class_names=("a", "b"), input_size=(1, 1, 1))


def test_disturbed_logits_by_hand() -> None:
    masks = Masks(two_neurons())
    masks.values = [torch.tensor([1.0, 0.5])]
    # x = 1: (1 + 0.1) 1 + (1 + 0.2) 0.5 + (0.5 - 0.1) 2 + (0.5 + 0) 0.5 = 1.7 + 1.05 = 2.75.
    logits = masks(torch.ones(1, 1, 1, 1), [torch.tensor([0.1, -0.1]), torch.tensor([0.2, 0.0])])
    assert logits.detach().flatten().tolist() == pytest.approx([0, 2.75])


@pytest.mark.parametrize(("label", "sign"), [(1, -1), (0, 1)])
def test_one_inner_step_by_hand(label: int, sign: int) -> None:
    # All weights, biases and the picture are positive: the loss of class 1 rises where every neuron gets weaker.
    network = two_neurons()
    images, labels = torch.ones(1, 1, 1, 1), torch.tensor([label])
    start = torch.Generator().manual_seed(5)
    drawn = [(torch.rand(2, generator=start) * 2 - 1) * 0.4 for _ in range(2)]
    again = torch.Generator().manual_seed(5)
    weights, biases = worst_noise(Masks(network), images, labels, eps=0.4, generator=again)
    assert torch.allclose(weights, drawn[0] + sign * 0.4)
    assert torch.allclose(biases, drawn[1] + sign * 0.4)
    assert all(p.grad is None for p in network.parameters())


def test_only_whole_neurons_change_and_accuracy_stays(view: DefenderView) -> None:
    done = repair(view, Anp(steps=60, allowance=0.02))
    for name, before in view.network.body.named_parameters():
        after = dict(done.network.body.named_parameters())[name]
        flat, old = (
            after.flatten(1) if after.ndim > 1 else after[:, None],
            before.flatten(1) if before.ndim > 1 else before[:, None],
        )
        gone = (flat == 0).all(1)
        assert torch.equal(flat[~gone], old[~gone])
    losses = [row for row in done.trace if "disturbed_loss" in row]
    assert losses
    assert "held-out clean pictures" in done.chosen
