"""``badnets compare``, ``export``, ``report`` and ``reproduce``: what is made of finished runs, and studies of many."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Argument, Option

from badnets.cli.console import command
from badnets.cli.options import Engines
from badnets.core.errors import BadInput
from badnets.core.progress import Watcher

if TYPE_CHECKING:
    from badnets.records.model import Record


@command
def compare_command(
    first: Path = Argument(help="The folder of a finished run."),
    second: Path = Argument(help="The folder of another run on the same test pictures."),
) -> Iterator[Any]:
    """Compare two runs, paired picture by picture and seed by seed."""
    from badnets.referee.evaluate import compare
    from badnets.report.pages.table import compare_table

    comparison = compare(first, second)
    yield comparison.to_json()
    yield compare_table(comparison)


@command
def export_command(
    watcher: Watcher,
    run: Path = Argument(help="The folder of a finished run."),
    out: Path = Option(..., help="A new folder for <class>/<row>.png and manifest.json."),
    seed: int | None = Option(None, help="Which seed's set [the run's first]."),
    only_changed: bool = Option(False, "--only-changed", help="Leave out the pictures that were not changed."),
) -> Iterator[Any]:
    """Write what a run's network was trained on as PNG files, with a list of what was changed."""
    from badnets.backdoors.export import MANIFEST, export_pngs
    from badnets.referee.run import poisoned_of

    def progress(what: str, done: int, total: int) -> None:
        watcher.progress(what, done, total, None)

    poisoned = poisoned_of(run, seed=seed, watcher=watcher)
    manifest = export_pngs(poisoned, out, only_changed=only_changed, progress=progress)
    changed = len(manifest["changed"])
    facts = {name: manifest[name] for name in ("format", "pictures", "mode", "only_changed")}
    yield {**facts, "changed": changed, "folder": str(out), "manifest": str(out / MANIFEST)}
    yield f"pictures  {out}  ({manifest['pictures']:,}, of which {changed:,} changed)"


@command
def report_command(
    run: list[Path] = Argument(
        help="Folders of a run, a study or an audit, or a certificate or finding (JSON); several runs make one page."
    ),
    out: Path | None = Option(None, help="The page [report.html beside it, or badnets-compare.html]."),
) -> Iterator[Any]:
    """Write the page of a run, a study, a repair or an audit, or one page for several runs."""
    from badnets.records.read import parts_that_fit, read_verified

    records = [read_verified(path) for path in run]
    with parts_that_fit(", ".join(map(str, run))):
        page = _page(run, records, out)
    yield {"format": "badnets/page/1", "page": str(page), "runs": [str(folder) for folder in run]}
    yield f"page  {page}"


def _page(run: list[Path], records: list[Record], out: Path | None) -> Path:
    """Write the page of the ``records`` at ``run``."""
    from badnets.core.files import write_text
    from badnets.records.certificate import Certificate
    from badnets.records.finding import Finding
    from badnets.records.read import FINDING
    from badnets.records.run import RunRecord
    from badnets.records.study import StudyRecord
    from badnets.report.cards.beside import seals_beside
    from badnets.report.pages.certificate_page import render_certificate
    from badnets.report.pages.finding_page import render_finding
    from badnets.report.pages.page import render_compare, write_page
    from badnets.report.pages.study import write_study
    from badnets.studies.registry import study_words

    formats = [type(record).model_fields["format"].default for record in records]
    path, record = run[0], records[0]
    folder = path if path.is_dir() else path.parent
    if len(run) > 1:
        runs = [record for record in records if isinstance(record, RunRecord)]
        for path, record, kind in zip(run, records, formats, strict=True):
            if not isinstance(record, RunRecord):
                raise BadInput(
                    f"expected only runs to compare, got {kind} at {path}; other records have pages of their own"
                )
        return write_text(out or Path("badnets-compare.html"), render_compare(runs))
    if isinstance(record, RunRecord):
        return write_page(folder, out)
    if isinstance(record, StudyRecord):
        return write_study(record, out or folder / "report.html", **study_words(record.study))
    if isinstance(record, Certificate):
        return write_text(out or path.with_suffix(".html"), render_certificate(record, seals_beside(folder, record)))
    if isinstance(record, Finding):
        beside = folder / "report.html" if path.is_dir() or path.name == FINDING else path.with_suffix(".html")
        return write_text(out or beside, render_finding(record, seals_beside(folder, record)))
    raise BadInput(
        f"expected a run, a study, a repair's certificate or a finding in {path}, got {formats[0]}; only these have a "
        "page"
    )


@command
def reproduce_command(
    watcher: Watcher,
    study: str = Argument(help="The study (badnets list studies)."),
    quick: bool = Option(False, "--quick", help="A small form that shows the same in minutes."),
    seeds: int | None = Option(None, min=1, help="How many seeds [the study's own]."),
    data: str | None = Option(None, help="Where the study's data lies, if not in the usual places."),
    out: Path | None = Option(None, help="The study's folder [badnets-runs/STUDY or STUDY-quick]."),
    force: bool = Option(False, "--force", help="Start anew instead of going on."),
    so_far: bool = Option(False, "--so-far", help="Run nothing: the record and page of what is finished."),
    *,
    engines: Engines,
) -> Iterator[Any]:
    """Repeat a published study and set our figures beside the published ones."""
    from badnets.studies.ledger import study_table
    from badnets.studies.registry import reproduce, reproduce_so_far

    if so_far:
        folder, record = reproduce_so_far(study, quick=quick, seeds=seeds, data=data, out=out)
    else:
        start = engines.start()
        folder, record = reproduce(
            study, quick=quick, seeds=seeds, data=data, out=out, force=force, start=start, watcher=watcher
        )
    yield {**record.to_json(), "folder": str(folder)}
    yield study_table(record)
    yield f"page  {folder}/report.html"
