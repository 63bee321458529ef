"""``badnets run SPEC``: an experiment from a TOML file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from badnets.cli.console import Json, print_json, show_table, watching

if TYPE_CHECKING:
    from badnets.referee.spec import SpecFile


def run_command(
    spec: Path = typer.Argument(help="The experiment, a TOML file (see runs/)."),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Change a setting: --set recipe.epochs=3."),
    out: Path | None = typer.Option(None, "--out", help="The run's folder [badnets-runs/NAME-DIGEST]."),
    force: bool = typer.Option(False, "--force", help="Run again even if this run is finished."),
    devices: int | None = typer.Option(None, "--devices", min=1, help="Processes to train with."),
    json: bool = Json,
) -> None:
    """Run an experiment: poison, train, measure, write the record and the page."""
    from badnets.referee.spec import read_spec

    changes = [*set_, *([f"devices={devices}"] if devices else [])]
    words = ["badnets", "run", str(spec), *(word for change in changes for word in ("--set", change))]
    carry_out(read_spec(spec, changes), out=out, force=force, command=shlex.join(words), json=json)


def carry_out(file: SpecFile, *, out: Path | None, force: bool, command: str, json: bool) -> None:
    """Run a spec and print its record with paths that the caller can open; or the table, the verdict, the page's
    path."""
    from badnets.referee.run import run

    with watching(quiet=json) as watcher:
        finished = run(file, out=out, force=force, command=command, watcher=watcher)
    record, folder = finished.record, _shown(finished.folder)
    if json:
        print_json({**record.to_json(), "network": str(folder / record.network), "folder": str(folder)})
        return
    from badnets.report.pages.table import terminal_table
    from badnets.report.words.verdict import verdict

    if finished.found:
        typer.echo("this run is finished already (--force runs it again)", err=True)
    show_table(terminal_table(record))
    typer.echo(verdict(record))
    typer.echo(f"page  {folder / 'report.html'}")


def _shown(folder: Path) -> Path:
    """Relative to where the user is, if it lies below."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
