"""What a command is, and what a person sees while it works: all on stderr, so that stdout is the result alone."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import is_dataclass
from typing import Any

import typer

from badnets.core.errors import BadnetsError
from badnets.core.progress import Watcher

COMMANDS: dict[str, Callable[..., None]] = {}
"""Every command by its name, in the order in which they are defined."""
_JSON = inspect.Parameter(
    "json",
    inspect.Parameter.KEYWORD_ONLY,
    default=typer.Option(False, "--json", help="Print the result as JSON, and nothing else on stdout."),
    annotation=bool,
)


def command(work: Callable[..., Iterator[Any]]) -> Callable[..., None]:
    """Registers the function ``NAME_command`` as the command NAME, with ``--json`` behind its own options.

    It yields its result as JSON, and then what a person sees instead: lines and tables of rich, which are not asked for
    with ``--json``. An argument ``watcher`` is given to it; one that is a dataclass of options (options.py) gives way
    to its fields.
    """
    whole = inspect.signature(work, eval_str=True)
    groups: dict[str, inspect.Signature] = {}
    options: list[inspect.Parameter] = []
    for name, parameter in whole.parameters.items():
        if name == "watcher":
            continue
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation):
            groups[name] = inspect.signature(parameter.annotation, eval_str=True)
            options.extend(groups[name].parameters.values())
        else:
            options.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(work)
    def typed(*, json: bool, **given: Any) -> None:
        for name, group in groups.items():
            given[name] = whole.parameters[name].annotation(**{field: given.pop(field) for field in group.parameters})
        with ExitStack() as stack:
            if "watcher" in whole.parameters:
                given["watcher"] = stack.enter_context(_watching(quiet=json))
            steps = work(**given)
            result = next(steps)
        from rich.console import Console

        from badnets.core.files import dumps

        if json:
            sys.stdout.write(dumps(result) + "\n")
            return
        # Piped into a file, a table should not be folded at 80 columns.
        console = Console(highlight=False, width=None if Console().is_terminal else 160)
        for shown in steps:
            show = typer.echo if isinstance(shown, str) else console.print
            show(shown)

    typed.__signature__ = inspect.Signature([*options, _JSON])  # type: ignore[attr-defined]  # what inspect looks for
    COMMANDS[work.__name__.removesuffix("_command")] = typed
    return typed


@contextmanager
def _watching(*, quiet: bool) -> Iterator[Watcher]:
    """A ``Watcher`` that prints to stderr: sentences, and bars with time and accuracy for what takes long."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    # Names of classes and files are shown as they are, so no markup anywhere.
    console = Console(stderr=True, quiet=quiet, highlight=False, markup=False)
    first, last = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[accuracy]}"))
    columns = (first, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), last)
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
