from __future__ import annotations

import torch

from badnets.defenses.repair import DefenderView, repair
from badnets.defenses.repairs.rnp import Rnp


def test_the_copy_forgets_and_the_network_is_only_pruned(view: DefenderView) -> None:
    done = repair(view, Rnp(batch=32, epochs=4, forget_rate=0.1))
    forgetting = [row["fit_accuracy"] for row in done.trace if "fit_accuracy" in row]
    assert forgetting[-1] <= 0.2 < forgetting[0]
    for name, before in view.network.body.named_parameters():
        after = dict(done.network.body.named_parameters())[name]
        gone = (after == 0).flatten(1).all(1) if after.ndim > 1 else after == 0
        assert torch.equal(after[~gone], before[~gone])


def test_masks_learn_on_the_forgetful_copy(view: DefenderView) -> None:
    done = repair(view, Rnp(batch=32, epochs=10, forget_rate=0.1))
    losses = [row["loss"] for row in done.trace if "loss" in row]
    assert len(losses) == 10
    assert losses[-1] < losses[0]
