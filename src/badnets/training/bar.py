"""What a person sees of a training that was called from Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

OnStep = Callable[[int, int, int, float | None], None]
"""``on_step(epoch, step, steps, accuracy so far or None)``; epochs from 0, steps from 1."""


@contextmanager
def shown(what: str, epochs: int, *, progress: bool | None, console: Console | None = None) -> Iterator[OnStep | None]:
    """Inside, what is to be called at the steps of a training called ``what``; None where nothing is shown.
    ``progress`` None: a bar where stderr is a terminal, or in a notebook; True: always, as a line for each epoch where
    there is neither; False: never."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = console or Console(stderr=True, highlight=False, markup=False)
    if not (console.is_terminal or console.is_jupyter if progress is None else progress):
        yield None
        return
    if not (console.is_terminal or console.is_jupyter):

        def on_epoch(epoch: int, step: int, steps: int, accuracy: float | None) -> None:
            if step == steps:
                console.print(f"{what}: epoch {epoch + 1} of {epochs}" + _right(accuracy), soft_wrap=True)

        yield on_epoch
        return
    words = (TextColumn("{task.description}", markup=False), TextColumn("{task.fields[state]}", markup=False))
    with Progress(words[0], BarColumn(), TimeRemainingColumn(), words[1], console=console) as bars:
        task = bars.add_task(what, total=None, state="")

        def on_step(epoch: int, step: int, steps: int, accuracy: float | None) -> None:
            state = f"epoch {epoch + 1} of {epochs}" + _right(accuracy)
            bars.update(task, total=epochs * steps, completed=epoch * steps + step, state=state)

        yield on_step


def _right(accuracy: float | None) -> str:
    return "" if accuracy is None else f", {100 * accuracy:.1f} % right"
