"""``badnets compare RUN RUN``: paired differences."""

from __future__ import annotations

from pathlib import Path

import typer

from badnets.cli.console import Json, print_json, show_table


def compare_command(
    first: Path = typer.Argument(help="The folder of a finished run."),
    second: Path = typer.Argument(help="The folder of another run on the same test pictures."),
    json: bool = Json,
) -> None:
    """Compare two runs, paired picture by picture and seed by seed."""
    from badnets.referee.evaluate import compare
    from badnets.report.pages.table import compare_table

    comparison = compare(first, second)
    if json:
        print_json(comparison.to_json())
        return
    show_table(compare_table(comparison))
