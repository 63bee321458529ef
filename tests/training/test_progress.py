"""What a person sees of a training, and that nobody else sees anything."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from badnets.data.images import ImageData
from badnets.training.bar import shown
from badnets.training.loop import train
from badnets.training.recipe import Recipe

ONE = Recipe(epochs=1, batch=10, precision="fp32")


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100)


def text(of: Console) -> str:
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


def test_a_bar_in_a_terminal() -> None:
    seen = console(terminal=True)
    with shown("training g1-cnn", 2, progress=None, console=seen) as on_step:
        assert on_step is not None
        on_step(0, 5, 10, 0.5)
        on_step(1, 10, 10, None)
    assert "training g1-cnn" in text(seen)
    assert "epoch 2 of 2" in text(seen)


@pytest.mark.parametrize(("terminal", "progress"), [(False, None), (True, False), (False, False)])
def test_nothing_in_a_pipe_or_where_it_is_not_wanted(terminal: bool, progress: bool | None) -> None:
    seen = console(terminal=terminal)
    with shown("training", 1, progress=progress, console=seen) as on_step:
        assert on_step is None
    assert text(seen) == ""


def test_a_line_for_each_epoch_in_a_pipe_where_it_is_wanted() -> None:
    seen = console(terminal=False)
    with shown("training", 2, progress=True, console=seen) as on_step:
        assert on_step is not None
        for epoch in range(2):
            on_step(epoch, 5, 10, 0.5)
            assert len(text(seen).splitlines()) == epoch
            on_step(epoch, 10, 10, 0.75 if epoch else None)
    assert text(seen) == "training: epoch 1 of 2\ntraining: epoch 2 of 2, 75.0 % right\n"


def test_a_training_shows_it(few: ImageData, capfd: pytest.CaptureFixture[str]) -> None:
    data = few.take(np.arange(20))
    quiet = train("g1-cnn", data, recipe=ONE, seed=1)
    assert capfd.readouterr() == ("", "")
    loud = train("g1-cnn", data, recipe=ONE, seed=1, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "training g1-cnn" in err
    assert all((a == b).all() for a, b in zip(quiet.parameters(), loud.parameters(), strict=True))


def test_whoever_listens_sees_no_bar(few: ImageData, capfd: pytest.CaptureFixture[str]) -> None:
    steps: list[int] = []
    data = few.take(np.arange(20))
    train("g1-cnn", data, recipe=ONE, seed=1, progress=True, on_step=lambda _epoch, step, *_: steps.append(step))
    assert steps == [2]
    assert capfd.readouterr() == ("", "")
