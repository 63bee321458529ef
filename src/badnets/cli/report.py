"""``badnets report RUN...``: pages from records."""

from __future__ import annotations

from pathlib import Path

import typer

from badnets.cli.console import Json, print_json


def report_command(
    run: list[Path] = typer.Argument(help="Folders of finished runs; several make one page beside each other."),
    out: Path | None = typer.Option(None, "--out", help="The page [RUN/report.html, or badnets-compare.html]."),
    json: bool = Json,
) -> None:
    """Write the page of a run, or one page for several."""
    from badnets.core.files import whole_file
    from badnets.records.read import read_run
    from badnets.report.pages.compare import render_compare
    from badnets.report.pages.page import write_page

    records = [read_run(folder).to_json() for folder in run]
    if len(run) == 1:
        page = write_page(run[0], out)
    else:
        page = out or Path("badnets-compare.html")
        with whole_file(page) as partial:
            partial.write_text(render_compare(records), encoding="utf-8")
    if json:
        print_json({"format": "badnets/page/1", "page": str(page), "runs": [str(folder) for folder in run]})
        return
    typer.echo(f"page  {page}")
