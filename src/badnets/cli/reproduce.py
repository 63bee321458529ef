"""``badnets reproduce STUDY``: repeat a published study."""

from __future__ import annotations

from pathlib import Path

import typer

from badnets.cli.console import Json, print_json, show_table, watching


def reproduce_command(
    study: str = typer.Argument(help="The study (badnets list studies)."),
    quick: bool = typer.Option(False, "--quick", help="A small form that shows the same in minutes."),
    seeds: int | None = typer.Option(None, "--seeds", min=1, help="How many seeds [the study's own]."),
    data: str | None = typer.Option(None, "--data", help="Where the study's data lies, if not in the usual places."),
    out: Path | None = typer.Option(None, "--out", help="The study's folder [badnets-runs/STUDY or STUDY-quick]."),
    force: bool = typer.Option(False, "--force", help="Start anew instead of going on."),
    so_far: bool = typer.Option(False, "--so-far", help="Run nothing: the record and page of what is finished."),
    json: bool = Json,
) -> None:
    """Repeat a published study and set our figures beside the published ones."""
    from badnets.studies.ledger import study_table
    from badnets.studies.registry import reproduce, reproduce_so_far

    with watching(quiet=json) as watcher:
        if so_far:
            folder, record = reproduce_so_far(study, quick=quick, seeds=seeds, data=data, out=out)
        else:
            folder, record = reproduce(
                study, quick=quick, seeds=seeds, data=data, out=out, force=force, watcher=watcher
            )
    if json:
        print_json({**record.to_json(), "folder": str(folder)})
        return
    show_table(study_table(record))
    typer.echo(f"page  {folder}/report.html")
