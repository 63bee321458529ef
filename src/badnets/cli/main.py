"""``badnets``: the entrance. Turns errors into one sentence and an exit code."""

from __future__ import annotations

import errno
import re
import sys
import traceback
import warnings
from importlib import import_module
from typing import Any

import typer

from badnets.cli import streams
from badnets.cli.console import COMMANDS, GROUPS
from badnets.core import VERSION
from badnets.core.errors import BadnetsError, first_line, nearest
from badnets.core.secrets import secrets_apart
from badnets.core.text import SENTENCE, VALUE, brief, neutral

__all__ = ["COMMANDS", "GROUPS", "app", "main"]
# Newer typer brings a click of its own, so click's classes are taken from typer, whichever they are.
_ClickException: type[Any] = typer.BadParameter.__mro__[2]
_FAULT = 70
"""The exit code of what nobody foresaw: EX_SOFTWARE of sysexits.h, so that a fault is no verdict."""
_INTERRUPTED = "interrupted; what was finished is kept, and the same command goes on from there"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_MEMORY = re.compile("can't allocate memory|not enough memory|out of memory|bad_alloc", re.IGNORECASE)
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
        print(f"badnets {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options of every command; ``main`` reads ``--debug`` itself, for errors come up there."""


# In the order of ``badnets --help``.
_MODULES = """
    experiments play networks trust.cards trust.scan trust.signing audits defend cure runs sweeps leaderboard
    trust.catalogue listing
"""
for _module in _MODULES.split():
    import_module(f"badnets.cli.{_module}")
_apps = {"": app, **{name: typer.Typer(help=help_, rich_markup_mode=None) for name, help_ in GROUPS.items()}}
for _name, _command in COMMANDS.items():
    _group, _, _word = _name.rpartition(" ")
    _apps[_group].command(_word)(_command)
for _name in GROUPS:
    app.add_typer(_apps[_name], name=_name)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 found, 2 wrong use or bad input, 3 could not tell, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    warnings.showwarning = _one_line_warning
    streams.last()
    sys.exit(_guarded(words, debug))


def _guarded(words: list[str], debug: bool) -> int:
    try:
        asked = [*words, "--help"] if not words or (words[0] in GROUPS and not words[1:]) else words
        with secrets_apart():
            result = typer.main.get_command(app).main(args=asked, prog_name="badnets", standalone_mode=False)
        sys.stdout.flush()  # a full disk is told here, not when python closes down
    # The entrance: here every error, foreseen or not, becomes a sentence and an exit code.
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001
        if debug and not isinstance(error, KeyboardInterrupt | typer.Abort):
            sys.stderr.write(neutral(traceback.format_exc(), keep="\n"))
        message, code = _sentence(error, words)
        _say(message)
        return code
    if result == 130:  # newer typer makes an exit code of Ctrl-C, without a word
        _say(_INTERRUPTED)
    return result if isinstance(result, int) else 0


def _say(sentence: str) -> None:
    print(f"badnets: {neutral(' '.join(sentence.split()), SENTENCE)}", file=sys.stderr)


def _sentence(error: BaseException, words: list[str]) -> tuple[str, int]:
    """An error as one sentence, and the exit code."""
    if isinstance(error, BadnetsError):
        return str(error), error.exit_code
    if isinstance(error, typer.Abort) or _was_interrupted(error):
        return _INTERRUPTED, 130
    if isinstance(error, _ClickException):
        return _usage(error, words), 2
    # Libraries wrap a full disk in errors of their own: safetensors, and torch when it writes a checkpoint.
    if getattr(error, "errno", None) in _FULL or _FULL_WORDS.search(str(error)):
        where = getattr(error, "filename", None)
        return f"expected room on the disk{f' for {where}' if where else ''}, got none; free some and run it again", 2
    if isinstance(error, OSError):
        return f"expected to read or write {error.filename or 'a file'}, got: {error.strerror or error}", 2
    return _beyond(error, f"badnets {next(iter(words), '')}") or (
        f"unexpected {type(error).__name__}: {error}; run with --debug and report it",
        _FAULT,
    )


def _beyond(error: BaseException, what: str) -> tuple[str, int] | None:
    """Inputs beyond what a machine or a system can hold, wherever that comes up: bad input, no fault of ours."""
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        got = brief(first_line(error), VALUE)
        return f"expected what {what} reads to fit into memory, got more ({got}); use less, or a larger machine", 2
    if isinstance(error, RecursionError):
        return f"expected what {what} reads to be nested a few levels deep, got far more; it may be damaged", 2
    if isinstance(error, UnicodeEncodeError):
        return f"expected names and texts of Unicode, got {brief(repr(error.object), VALUE)}; rename it", 2
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return f"expected paths without zero bytes for {what}, got one with; check the paths in it", 2
    if isinstance(error, ValueError) and "integer string conversion" in str(error):
        return f"expected numbers of fewer digits for {what}, got one of thousands; check what was given", 2
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return f"expected a path of a known user for {what}, got a name behind ~ that nobody has; write the path out", 2
    return None


def _was_interrupted(error: BaseException | None) -> bool:
    """Ctrl-C, or what a library made of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _usage(error: Any, words: list[str]) -> str:
    """A click error in our form: what was wrong, and the nearest known name or where to look."""
    message = str(error.format_message()).rstrip(".")
    plain = [word for word in words if not word.startswith("-")]
    group = plain[0] if plain and plain[0] in GROUPS else ""
    name = " ".join(plain[: 2 if group else 1])
    if "No such command" in message:
        known = [one for one in COMMANDS if one.startswith(group)]
        return f"expected a command, got {name!r}; {nearest(name, known)}"
    help_line = f"badnets {name} --help" if name in COMMANDS else "badnets --help"
    if hasattr(error, "option_name") and getattr(error, "possibilities", None):
        closest = nearest(error.option_name, error.possibilities)
        return f"expected an option of badnets {name}, got {error.option_name!r}; {closest}"
    return f"{message[:1].lower()}{message[1:]}; see {help_line}"


def _one_line_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Our own warnings as one sentence; other libraries' stay out of the way of a person who can't mend them."""
    if category.__module__.startswith("badnets"):
        _say(f"warning: {message}")


if __name__ == "__main__":
    main()
