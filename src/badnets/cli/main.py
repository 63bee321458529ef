"""``badnets``: the entrance. Turns errors into one sentence and an exit code."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
import warnings
from importlib import import_module
from typing import Any

import typer

from badnets.cli.console import COMMANDS
from badnets.core.errors import BadnetsError, nearest

__all__ = ["COMMANDS", "app", "main"]
# Newer typer brings a click of its own, so click's classes are taken from typer, whichever they are.
_ClickException: type[Any] = typer.BadParameter.__mro__[2]
_INTERRUPTED = "interrupted; what was finished is kept, and the same command goes on from there"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_WORDS = re.compile(
    "No space left|File too large|quota exceeded|PytorchStreamWriter failed writing|unexpected pos"
)

app = typer.Typer(
    name="badnets",
    help="Plant backdoors in image networks, measure them, remove them, find them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"badnets {version('badnets')}")
        raise typer.Exit


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options of every command; ``main`` reads ``--debug`` itself, for errors come up there."""


for _group in ("experiments", "networks", "defend", "runs", "catalog"):  # in the order of ``badnets --help``
    import_module(f"badnets.cli.{_group}")
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 wrong use or bad input, 3 could not tell, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    warnings.showwarning = _one_line_warning
    sys.exit(_guarded(words, debug))


def _guarded(words: list[str], debug: bool) -> int:
    try:
        result = typer.main.get_command(app).main(args=words or ["--help"], prog_name="badnets", standalone_mode=False)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    # The entrance: here every error, foreseen or not, becomes a sentence and an exit code.
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001
        if debug and not isinstance(error, KeyboardInterrupt | typer.Abort):
            traceback.print_exc()
        message, code = _sentence(error, words)
        print(f"badnets: {' '.join(message.split())}", file=sys.stderr)
        return code
    if result == 130:  # newer typer makes an exit code of Ctrl-C, without a word
        print(f"badnets: {_INTERRUPTED}", file=sys.stderr)
    return result if isinstance(result, int) else 0


def _sentence(error: BaseException, words: list[str]) -> tuple[str, int]:
    """An error as one sentence, and the exit code."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return _INTERRUPTED, 130
    if isinstance(error, BadnetsError):
        return str(error), error.exit_code
    if isinstance(error, _ClickException):
        return _usage(error, words), 2
    # Libraries wrap a full disk in errors of their own: safetensors, and torch when it writes a checkpoint.
    if getattr(error, "errno", None) in _FULL or _FULL_WORDS.search(str(error)):
        where = getattr(error, "filename", None)
        return f"expected room on the disk{f' for {where}' if where else ''}, got none; free some and run it again", 2
    if isinstance(error, OSError):
        return f"expected to read or write {error.filename or 'a file'}, got: {error.strerror or error}", 2
    return f"unexpected {type(error).__name__}: {error}; run with --debug and report it", 3


def _usage(error: Any, words: list[str]) -> str:
    """A click error in our form: what was wrong, and the nearest known name or where to look."""
    message = str(error.format_message()).rstrip(".")
    name = next((word for word in words if not word.startswith("-")), "")
    if "No such command" in message:
        return f"expected a command, got {name!r}; {nearest(name, COMMANDS)}"
    help_line = f"badnets {name} --help" if name in COMMANDS else "badnets --help"
    if hasattr(error, "option_name") and getattr(error, "possibilities", None):
        closest = nearest(error.option_name, error.possibilities)
        return f"expected an option of badnets {name}, got {error.option_name!r}; {closest}"
    return f"{message[:1].lower()}{message[1:]}; see {help_line}"


def _one_line_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Our own warnings as one sentence; other libraries' stay out of the way of a person who can't mend them."""
    if category.__module__.startswith("badnets"):
        print(f"badnets: warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
