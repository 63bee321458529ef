"""What a command is, and what a person sees while it works: all on stderr, so that stdout is the result alone."""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any

import typer

from badnets.cli.options import DEVICE
from badnets.core.errors import BadnetsError
from badnets.core.progress import Lines, Watcher, ticking
from badnets.core.text import CELL, LINE, SENTENCE, escaped, neutral

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


@dataclass(frozen=True)
class Ended:
    """A command's result that comes with an exit code of its own."""

    result: dict[str, Any]
    exit_code: int


@dataclass(frozen=True)
class Serving(Ended):
    """A result that is told at once, and what goes on after it until Ctrl-C."""

    serve: Callable[[], None]


COMMANDS: dict[str, Callable[..., None]] = {}
"""Every command by its name, in the order in which they are defined; that of one in a group has two words."""
GROUPS: dict[str, str] = {}
"""The groups of commands, and what they are for."""
_JSON = inspect.Parameter(
    "json",
    inspect.Parameter.KEYWORD_ONLY,
    default=typer.Option(False, "--json", help="Print the result as JSON, and nothing else on stdout."),
    annotation=bool,
)
_UNVERIFIED = inspect.Parameter(
    "unverified",
    inspect.Parameter.KEYWORD_ONLY,
    default=typer.Option(
        False, "--unverified", help="Go on where a record or a file of a run was changed; every output then says so."
    ),
    annotation=bool,
)
_DEVICE = inspect.Parameter("device", inspect.Parameter.KEYWORD_ONLY, default=DEVICE, annotation=str)
_COMPUTE = frozenset(
    {"audit", "convert", "cure", "evaluate", "guard", "leaderboard", "play", "predict", "references", "reproduce"}
    | {"repair", "sweep"}
)
"""The commands that compute with networks, but for those that have the option themselves, for their spec."""
_READERS = frozenset(
    {"audit", "bom", "card", "compare", "cure", "evaluate", "export", "guard", "play", "predict", "references"}
    | {"repair", "report", "show"}
)
"""The commands that read finished runs and certificates."""


def command(work: Callable[..., Iterator[Any]]) -> Callable[..., None]:
    """Registers the function ``NAME_command`` as the command NAME (``GROUP_NAME_command`` as GROUP NAME), with
    ``--json`` (where it computes with networks ``--device``, where finished runs are read ``--unverified``) behind its
    own options.

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
    called = work.__name__.removesuffix("_command").replace("_", " ")
    options += [_DEVICE] * (called in _COMPUTE) + [_UNVERIFIED] * (called in _READERS)

    @functools.wraps(work)
    def typed(*, json: bool, unverified: bool = False, **given: Any) -> None:
        from badnets.networks.device import working_on
        from badnets.records.verified import doubts
        from badnets.records.verified import unverified as doubting

        _keep_to_the_cache()
        for name, group in groups.items():
            given[name] = whole.parameters[name].annotation(**{field: given.pop(field) for field in group.parameters})
        with ExitStack() as stack:
            # Where a spec says it, that counts; commands without the option only look at networks.
            stack.enter_context(working_on("auto" if "device" in whole.parameters else given.pop("device", "cpu")))
            told = stack.enter_context(_told())
            if "watcher" in whole.parameters:
                given["watcher"] = stack.enter_context(_watching(quiet=json))
            if unverified:
                stack.enter_context(doubting())
            steps = work(**given)
            ended = next(steps)
            result = ended.result if isinstance(ended, Ended) else ended
            if doubts():
                result = {**result, "verified": False}
            if told:
                result = {**result, "warnings": told}
        _print(result if json else None, steps)
        _go_on(ended)

    typed.__signature__ = inspect.Signature([*options, _JSON])  # type: ignore[attr-defined]  # what inspect looks for
    COMMANDS[called] = typed
    return typed


def _go_on(ended: Any) -> None:
    """What comes after a result was told: serving, or an exit code."""
    if isinstance(ended, Serving):
        sys.stdout.flush()  # whoever reads the address from a pipe is waiting for it
        ended.serve()
    if isinstance(ended, Ended) and ended.exit_code:
        raise typer.Exit(ended.exit_code)


@contextmanager
def _told() -> Iterator[list[str]]:
    """What is warned of inside: data that was left out, above all. It is shown on stderr as well."""
    from badnets.core.cache import DataWarning

    told: list[str] = []
    show = warnings.showwarning

    def shown(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, DataWarning):
            told.append(neutral(str(message), SENTENCE))
        show(message, category, *place, **more)

    warnings.showwarning = shown
    try:
        yield told
    finally:
        warnings.showwarning = show


def _keep_to_the_cache() -> None:
    """A folder that torch makes when its compiler is imported: in our cache, not in the temporary files of all."""
    from badnets.core.cache import cache_dir

    place = cache_dir() / "torchinductor"
    if os.access(next(folder for folder in place.parents if folder.exists()), os.W_OK):
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(place))


def _print(result: Any, steps: Iterator[Any]) -> None:
    """The ``result`` as JSON, or without one what a person sees."""
    if result is not None:
        from badnets.core.files import dumps

        print(escaped(dumps(result), sys.stdout.encoding or "utf-8"))
        return
    terminal = _console()
    # Piped into a file, a table should not be folded at 80 columns.
    console = terminal if terminal.is_terminal else _console(width=160)
    for shown in steps:
        if isinstance(shown, str):
            print(neutral(shown, LINE))
        else:
            console.print(shown)


def _console(**settings: Any) -> Console:
    """A console of rich that shows words as they are: no markup, nothing that moves the cursor, no endless cell."""
    from rich.console import Console
    from rich.text import Text

    class Plain(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(neutral(text, CELL), **options)

        def render(self, renderable: Any, options: Any = None) -> Any:
            if isinstance(renderable, Text):
                renderable = renderable.copy()
                renderable.plain = neutral(renderable.plain, LINE, keep="\n")
            return super().render(renderable, options)

    return Plain(highlight=False, markup=False, emoji=False, **settings)


@contextmanager
def _watching(*, quiet: bool) -> Iterator[Watcher]:
    """A ``Watcher`` that prints to stderr: sentences, and bars with time and accuracy for what takes long; lines
    instead where stderr is no terminal (a file, a pipe, nohup). A ``quiet`` one breaks a long silence only."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = _console(stderr=True, quiet=quiet)
    if not console.is_terminal:

        def write(line: str) -> None:
            with suppress(OSError, ValueError):  # nobody reads it any more: no reason to stop
                print(neutral(line, SENTENCE), file=sys.stderr, flush=True)

        lines = Lines(write, sparing=quiet)
        with ticking(lines):
            yield Watcher(say=lines.say, progress=lines.progress, mark=lines.mark)
        return
    first, last = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[accuracy]}"))
    columns = (first, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), last)
    bars = Progress(*columns, console=console, refresh_per_second=4)
    tasks: dict[str, Any] = {}

    def progress(what: str, done: int, total: int, accuracy: float | None) -> None:
        if what not in tasks:
            bars.start()  # at the first bar, for bars without any leave an empty line
            tasks[what] = bars.add_task(neutral(what, CELL), total=total, accuracy="")
        shown = "" if accuracy is None else f"{100 * accuracy:.1f} %"
        bars.update(tasks[what], completed=done, total=total, accuracy=shown)

    def say(sentence: str) -> None:
        console.print(neutral(sentence, SENTENCE), soft_wrap=True)

    try:
        yield Watcher(say=say, progress=progress)
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
