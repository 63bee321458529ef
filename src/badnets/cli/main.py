"""``badnets``: the entrance. Turns errors into one sentence and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from importlib import import_module
from typing import Any

import click
import typer

from badnets.core.errors import BadnetsError, nearest

COMMANDS = ("demo", "attack", "run", "evaluate", "predict", "compare", "report", "reproduce", "list", "show", "preview")

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


for _name in COMMANDS:
    app.command(_name)(getattr(import_module(f"badnets.cli.{_name}"), f"{_name}_command"))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 wrong use or bad input, 3 could not tell, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    warnings.showwarning = _one_line_warning
    sys.exit(_guarded(words, debug))


def _guarded(words: list[str], debug: bool) -> int:
    try:
        result = typer.main.get_command(app).main(args=words, prog_name="badnets", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted; what was finished is kept, and the same command goes on from there", 130, debug)
    except BadnetsError as error:
        return _fail(str(error), error.exit_code, debug)
    except click.ClickException as error:
        return _fail(_usage(error, words), 2, debug)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            where = f" ({error.filename})" if error.filename else ""
            return _fail(f"expected room on the disk, got none{where}; free some and run the same command again", 2, debug)
        return _fail(f"expected to read or write {error.filename or 'a file'}, got: {error.strerror or error}", 2, debug)
    except Exception as error:  # the last resort: libraries wrap a full disk in errors of their own
        if "No space left" in str(error):
            return _fail("expected room on the disk, got none; free some and run the same command again", 2, debug)
        if debug:
            raise
        return _fail(f"unexpected {type(error).__name__}: {error}; run with --debug and report it", 3, debug)


def _usage(error: click.ClickException, words: list[str]) -> str:
    if isinstance(error, click.NoSuchOption):
        return f"{error.format_message().rstrip('.')}; see badnets {words[0] if words else ''} --help"
    if isinstance(error, click.UsageError) and words and "No such command" in error.format_message():
        name = next((word for word in words if not word.startswith("-")), "")
        return f"expected a command, got {name!r}; {nearest(name, COMMANDS)}"
    return f"{error.format_message().rstrip('.')}; see --help"


def _fail(message: str, code: int, debug: bool) -> int:
    if debug and code != 130:
        import traceback

        traceback.print_exc()
    print(f"badnets: {' '.join(message.split())}", file=sys.stderr)
    return code


def _one_line_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Our own warnings as one sentence; other libraries' stay out of the way of a person who can't mend them."""
    if category.__module__.startswith("badnets"):
        print(f"badnets: warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
