"""``badnets report RECORD...``: pages from records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from badnets.cli.console import Json, print_json
from badnets.core.errors import BadInput

if TYPE_CHECKING:
    from badnets.records.model import Model


def report_command(
    run: list[Path] = typer.Argument(
        help="Folders of a run or a study, or a repair's certificate (JSON); several runs make one page."
    ),
    out: Path | None = typer.Option(None, "--out", help="The page [report.html beside it, or badnets-compare.html]."),
    json: bool = Json,
) -> None:
    """Write the page of a run, a study or a repair, or one page for several runs."""
    from badnets.records.read import read_record

    records = [read_record(path) for path in run]
    page = _page(run[0], records[0], out) if len(run) == 1 else _comparison(run, records, out)
    if json:
        print_json({"format": "badnets/page/1", "page": str(page), "runs": [str(folder) for folder in run]})
        return
    typer.echo(f"page  {page}")


def _page(path: Path, record: Model, out: Path | None) -> Path:
    """The page of one record, as its type asks."""
    from badnets.core.files import write_text
    from badnets.records.certificate import Certificate
    from badnets.records.read import check_files
    from badnets.records.run import RunRecord
    from badnets.records.study import StudyRecord
    from badnets.report.pages.certificate_page import render_certificate
    from badnets.report.pages.page import write_page
    from badnets.report.pages.study import write_study
    from badnets.studies.registry import study_words

    folder = path if path.is_dir() else path.parent
    if isinstance(record, RunRecord):
        check_files(folder, record.files)
        return write_page(folder, out)
    if isinstance(record, StudyRecord):
        return write_study(record, out or folder / "report.html", **study_words(record.study))
    if not isinstance(record, Certificate):
        raise BadInput(
            f"expected a run, a study or a repair's certificate in {path}, got {_format(record)}; "
            "only these three have a page"
        )
    return write_text(out or path.with_suffix(".html"), render_certificate(record))


def _comparison(paths: Sequence[Path], records: Sequence[Model], out: Path | None) -> Path:
    """One page for several runs."""
    from badnets.core.files import write_text
    from badnets.records.run import RunRecord
    from badnets.report.pages.page import render_compare

    runs = [record for record in records if isinstance(record, RunRecord)]
    if len(runs) < len(records):
        path, record = next(pair for pair in zip(paths, records, strict=True) if pair[1] not in runs)
        raise BadInput(
            f"expected only runs to compare, got {_format(record)} at {path}; other records have pages of their own"
        )
    return write_text(out or Path("badnets-compare.html"), render_compare(runs))


def _format(record: Model) -> str:
    return str(type(record).model_fields["format"].default)
