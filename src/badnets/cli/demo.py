"""``badnets demo``: a backdoor in two minutes."""

from __future__ import annotations

from pathlib import Path

import typer

from badnets.cli.console import Json
from badnets.cli.run import carry_out


def demo_command(
    out: Path | None = typer.Option(None, "--out", help="The run's folder [badnets-runs/demo-DIGEST]."),
    force: bool = typer.Option(False, "--force", help="Run again even if it is finished."),
    json: bool = Json,
) -> None:
    """A stop sign, a yellow sticker, and a network that reads a speed limit: poison, train, measure, in two minutes."""
    from badnets.referee.spec import read_spec, shipped_spec

    file = read_spec(shipped_spec("signs-sticker"), ["seeds=1", 'name="demo"'])
    carry_out(file, out=out, force=force, command="badnets demo", json=json)
