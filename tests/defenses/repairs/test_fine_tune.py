from __future__ import annotations

import torch
from torch.nn import functional

from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.repair import repair
from badnets.defenses.repairs.fine_tune import FineTune
from badnets.defenses.view import DefenderView
from badnets.networks.network import ImageNetwork, to_float


def test_one_step_of_plain_gradient_descent(plain: ImageNetwork, digits: ImageData) -> None:
    method = FineTune(epochs=1, batch=300, augment=(), learning_rate=0.1, hold_out=0.2)
    view = DefenderView(network=plain, data=digits, seed=Seed(4))
    after = repair(view, method).network
    from badnets.defenses.repair import Work

    fit, _ = Work(view, plain, "fine-tune", print).split(0.2)
    loss = functional.cross_entropy(plain(to_float(torch.from_numpy(fit.images()))), torch.tensor(fit.labels))
    loss.backward()  # type: ignore[no-untyped-call]
    for own, new in zip(plain.parameters(), after.parameters(), strict=True):
        assert own.grad is not None
        expected = own - 0.1 * (own.grad + 5e-4 * own)
        assert torch.allclose(new, expected, atol=1e-5)


def test_it_learns_what_the_network_does_not_know(plain: ImageNetwork, digits: ImageData) -> None:
    with torch.no_grad():
        plain.body.get_submodule("fc2").weight.zero_()  # type: ignore[operator,union-attr]
    trace = repair(DefenderView(network=plain, data=digits, seed=Seed(4)), FineTune(epochs=15)).trace
    assert trace[-1]["loss"] < trace[0]["loss"] - 0.5
    assert trace[-1]["held_out_accuracy"]["value"] > 0.5
