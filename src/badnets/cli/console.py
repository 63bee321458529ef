"""What a person sees while a command works: sentences and progress on stderr, so that stdout is the result alone."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from badnets.core.errors import BadnetsError

if TYPE_CHECKING:
    from badnets.core.progress import Watcher

Json = typer.Option(False, "--json", help="Print the result as JSON, and nothing else on stdout.")


def print_json(value: Any) -> None:
    """``value`` as JSON on stdout."""
    from badnets.core.files import dumps

    sys.stdout.write(dumps(value) + "\n")


@contextmanager
def watching(*, quiet: bool = False) -> Iterator[Watcher]:
    """A ``Watcher`` that prints to stderr: sentences, and bars with time and accuracy for what takes long."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from badnets.core.progress import Watcher

    # Names of classes and files are shown as they are, so no markup anywhere.
    console = Console(stderr=True, quiet=quiet, highlight=False, markup=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[accuracy]}", markup=False),
    )
    bars = Progress(*columns, console=console, refresh_per_second=4)
    tasks: dict[str, Any] = {}

    def progress(what: str, done: int, total: int, accuracy: float | None) -> None:
        if what not in tasks:
            bars.start()  # at the first bar, for bars without any leave an empty line
            tasks[what] = bars.add_task(what, total=total, accuracy="")
        shown = "" if accuracy is None else f"{100 * accuracy:.1f} %"
        bars.update(tasks[what], completed=done, total=total, accuracy=shown)

    try:
        yield Watcher(say=lambda sentence: console.print(sentence, soft_wrap=True), progress=progress)
    finally:
        if tasks:
            bars.stop()


def show_table(renderable: Any) -> None:
    """A rich table or text on stdout."""
    from rich.console import Console

    console = Console(highlight=False)
    # Piped into a file, a table should not be folded at 80 columns.
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    console.print(renderable)


@contextmanager
def in_options(command: Callable[..., None]) -> Iterator[None]:
    """Errors from below name fields, in quotes; here those that are options of ``command`` become its options."""
    names = inspect.signature(command).parameters

    def option(field: re.Match[str]) -> str:
        return f"--{field[1].replace('_', '-')}" if field[1] in names else field[0]

    try:
        yield
    except BadnetsError as error:
        error.args = (re.sub(r"(?<!got )(?<!mean )'([a-z_]+)'", option, str(error)),)
        raise
