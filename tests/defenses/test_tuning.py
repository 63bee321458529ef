from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from badnets.core.errors import CannotTell
from badnets.core.rate import Rate
from badnets.data.images import ImageData
from badnets.defenses.repair import Work
from badnets.defenses.tuning import batches, epochs_of, sgd, standard_error, tune
from badnets.defenses.view import DefenderView


class Scripted(Work):
    """Accuracy by a script; each epoch adds one to a bias."""

    script: list[int]

    def accuracy(self, data: ImageData) -> Rate:
        return Rate(self.script.pop(0), 100)


def run(view: DefenderView, script: list[int], **settings: object) -> tuple[Work, int]:
    """The work, and the number of the epoch that was chosen (from 1)."""
    work = Scripted(view, view.network, "x", lambda *_: None)
    work.script = script
    bias: Tensor = work.network.body.get_submodule("fc2").bias  # type: ignore[assignment]
    start = float(bias[0].detach())

    def step(images: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            bias[0] += 1
        return torch.tensor(0.5)

    assert view.data is not None
    tune(work, step, view.data, view.data, epochs=len(script), batch=120, **settings)  # type: ignore[arg-type]
    return work, round(float(bias[0].detach()) - start)


def test_standard_error_of_a_count() -> None:
    assert standard_error(90, 100) == pytest.approx(3.0)
    assert standard_error(100, 100) == 0


def test_the_last_epoch_within_one_standard_error_of_the_best_is_chosen(view: DefenderView) -> None:
    assert run(view, [50, 90, 87, 86, 80])[1] == 3
    assert run(view, [90, 95, 92])[1] == 2  # 5 % of 100: the error is 2.18
    assert run(view, [100, 99, 100, 99])[1] == 3


def test_patience_counts_from_the_best_epoch(view: DefenderView) -> None:
    work, chosen = run(view, [50, 60, 59, 58, 99], patience=2)
    assert (len(work.trace), chosen) == (4, 4)
    assert [row["held_out_accuracy"]["hits"] for row in work.trace] == [50, 60, 59, 58]


def test_the_rate_falls_along_half_a_cosine(view: DefenderView) -> None:
    optimizer, rates = sgd(view.network, 0.8), []
    work = Work(view, view.network, "x", lambda *_: None)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        return torch.zeros(())

    assert view.data is not None
    tune(work, step, view.data, view.data, epochs=4, batch=120, anneal=optimizer)
    assert rates == pytest.approx([0.8, 0.4 * (1 + 0.5**0.5), 0.4, 0.4 * (1 - 0.5**0.5)])


def test_training_mode_within_an_epoch_only(view: DefenderView) -> None:
    modes = []
    work = Work(view, view.network, "x", lambda *_: modes.append(view.network.training))

    def step(images: Tensor, labels: Tensor) -> Tensor:
        modes.append(view.network.training)
        assert images.min() >= 0
        assert images.max() <= 1
        return torch.zeros(())

    assert view.data is not None
    tune(work, step, view.data, view.data, epochs=1, batch=120)
    assert modes == [True, False]


def test_a_loss_that_is_not_finite_ends_it(view: DefenderView) -> None:
    work = Work(view, view.network, "x", lambda *_: None)
    assert view.data is not None
    with pytest.raises(CannotTell, match="x: expected a finite loss, got nan in epoch 1; lower its rate"):
        tune(work, lambda *_: torch.tensor(np.nan), view.data, view.data, epochs=3, batch=60)


def test_no_batch_of_one_picture() -> None:
    assert [len(part) for part in batches(torch.arange(9), 4)] == [4, 5]
    assert [len(part) for part in batches(torch.arange(8), 3)] == [3, 3, 2]
    assert [len(part) for part in batches(torch.arange(1), 4)] == [1]


def test_whole_epochs_for_a_number_of_steps() -> None:
    assert epochs_of(300, 2700, 64) == 7  # 43 batches an epoch
    assert epochs_of(43, 2700, 64) == 1
    assert epochs_of(1, 10, 64) == 1
