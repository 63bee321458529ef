from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from badnets.defenses.repair import DefenderView, repair
from badnets.defenses.repairs.ft_sam import FtSam, sharpness_aware_step


def ones() -> nn.Linear:
    network = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(1)
    return network


def stepped(rho: float, scale: float) -> tuple[float, list[float]]:
    """Loss and weights after one step of rate 1 on ``scale`` (w1 + 2 w2)^2 / 2 from (1, 1)."""
    network, picture = ones(), torch.tensor([1.0, 2.0])
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    loss = sharpness_aware_step(network, optimizer, lambda: scale * network(picture).square().sum() / 2, rho)
    return float(loss), network.weight.flatten().tolist()


def test_one_step_by_hand() -> None:
    # The gradient is 0.05 (3, 6), norm(w g) is 0.05 sqrt(45). With rho = sqrt(45) / 3 the weights move to
    # (1 + 1, 1 + 2), where the gradient is 0.05 * 8 (1, 2). SGD follows it from (1, 1).
    loss, weights = stepped(45**0.5 / 3, 0.05)
    assert loss == pytest.approx(0.05 * 4.5)
    assert weights == pytest.approx([1 - 0.4, 1 - 0.8])


def test_without_rho_it_is_sgd() -> None:
    assert stepped(0, 0.05)[1] == pytest.approx([1 - 0.15, 1 - 0.3])


def test_a_gradient_longer_than_one_is_shortened() -> None:
    assert stepped(0, 1.0)[1] == pytest.approx([1 - 1 / 5**0.5, 1 - 2 / 5**0.5], abs=1e-5)


def test_running_statistics_are_those_of_the_first_pass() -> None:
    network = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    with torch.no_grad():
        network[0].weight.fill_(1)
        network[0].bias.zero_()
    pictures = torch.tensor([[0.0], [2.0]])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    calls: list[Tensor] = []

    def loss() -> Tensor:
        calls.append(network(pictures))
        return (calls[-1] * torch.tensor([[1.0], [3.0]])).sum()

    sharpness_aware_step(network, optimizer, loss, rho=1)
    norm = network[1]
    assert len(calls) == 2
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None
    assert float(norm.running_mean[0]) == pytest.approx(0.1)  # 0.1 times the mean of 0 and 2, once
    assert norm.momentum == 0.1


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (4, 1), (5, 2), (9, 3)])
def test_whole_epochs_for_a_number_of_steps(view: DefenderView, steps: int, epochs: int) -> None:
    done = repair(view, FtSam(steps=steps, batch=32))  # 110 of 120 pictures: 4 batches an epoch
    assert done.held_out == 10
    assert len(done.trace) == epochs
