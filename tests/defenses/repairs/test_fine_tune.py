from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.repair import DefenderView, repair
from badnets.defenses.repairs.fine_tune import FinePrune, FineTune
from badnets.networks.network import ImageNetwork, to_float
from badnets.networks.surgery.channels import pruned_channels


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


@pytest.mark.parametrize(("name", "layer"), [("plain", "conv2"), ("normed", "layer2.conv")])
def test_pruned_channels_stay_pruned_and_the_others_learn(
    name: str, layer: str, digits: ImageData, request: pytest.FixtureRequest
) -> None:
    network: ImageNetwork = request.getfixturevalue(name)
    data = digits.take(np.arange(150))
    result = repair(
        DefenderView(network=network, data=data, seed=Seed(2)), FinePrune(layer=layer, max_drop=0.2, epochs=3)
    )
    steps = [row for row in result.trace if "channel" in row]
    gone = {row["channel"] for row in steps if row["kept"]} - {None}
    assert gone
    assert gone == set(pruned_channels(result.network, layer))
    before: Any = network.body.get_submodule(layer).weight
    after: Any = result.network.body.get_submodule(layer).weight
    left = sorted(set(range(len(before))) - gone)
    assert left
    assert not torch.equal(before[left], after[left])
    assert not after[sorted(gone)].any()


def test_pruning_and_tuning_are_judged_by_held_out_pictures(view: DefenderView) -> None:
    result = repair(view, FinePrune(max_drop=0.1, epochs=2, hold_out=0.25))
    sweep = [row for row in result.trace if "channel" in row]
    tuning = [row for row in result.trace if "epoch" in row]
    assert len(sweep) == 33  # none, and then one after the other
    assert len(tuning) == 2
    totals = {row["clean_accuracy"]["total"] for row in sweep} | {row["held_out_accuracy"]["total"] for row in tuning}
    assert len(totals) == 1
    assert 24 <= totals.pop() <= 36
    kept = [row["clean_accuracy"]["hits"] for row in sweep if row["kept"]]
    refused = next(row["clean_accuracy"]["hits"] for row in sweep if not row["kept"])
    allowance = 0.1 * sweep[0]["clean_accuracy"]["total"]
    assert kept[0] - min(kept) <= allowance < kept[0] - refused


def test_without_a_step_that_fits_it_is_fine_tuning(view: DefenderView) -> None:
    order: dict[str, Any] = {"max_drop": 0.0, "epochs": 1, "layer": "conv1"}
    result = repair(view, FinePrune(**order))
    assert "channels of conv1 and the epoch" in result.chosen
    assert result.trace[-1]["epoch"] == 1
