"""``badnets guard MODEL``: a network that refuses what is suspicious."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from badnets.cli.console import Json, in_options, print_json, show_table, watching
from badnets.cli.options import Case, Foreign, with_options
from badnets.core.errors import BadInput

if TYPE_CHECKING:
    from badnets.records.certificate import GuardRecord


@with_options
def guard_command(
    case: Case,
    method: str = typer.Option("agreement", "--method", help="The abstainer (badnets list abstainers)."),
    out: Path = typer.Option(..., "--out", help="The guarded network, a .safetensors file."),
    refuse: float = typer.Option(0.01, "--refuse", help="Share of clean pictures that may be refused."),
    repair: str | None = typer.Option(
        None, "--repair", help="agreement: the repair that makes the second network (badnets list repairs)."
    ),
    repaired: Path | None = typer.Option(None, "--repaired", help="agreement: the second network, a file."),
    set_: list[str] = typer.Option(
        [],
        "--set",
        metavar="KEY=VALUE",
        help="A setting of the method, of its repair (settings.epochs=5), or of the data (data.size=32).",
    ),
    *,
    foreign: Foreign,
    json: bool = Json,
) -> None:
    """Make a network that refuses suspicious pictures, and measure what it refuses."""
    from badnets.defenses.abstainers import make_abstainer
    from badnets.referee.guard import guard

    if repair is not None and repaired is not None:
        raise BadInput("expected either --repair or --repaired, got both; give one")
    second = None if repaired is None else str(repaired)
    settings, of_data = case.parted({"repair": repair, "repaired": second}, set_)
    abstainer = make_abstainer(method, settings)
    with in_options(guard_command), watching(quiet=json) as watcher:
        record = guard(case.opened(out, of_data, foreign=foreign.foreign), abstainer, refuse=refuse, watcher=watcher)
    if json:
        print_json(record.to_json())
        return
    _show(record)


def _show(record: GuardRecord) -> None:
    from badnets.report.pages.table import certificate_table

    show_table(certificate_table(record))
    if record.after.refused_or_right is not None:
        typer.echo(f"triggered pictures refused or read as what they are: {record.after.refused_or_right}")
    if record.chosen:
        typer.echo(f"chosen   {record.chosen}")
    if record.refuse is not None:
        typer.echo(f"refused of the pictures that the threshold was found on: {record.calibration}")
    typer.echo(f"network  {record.network}")
