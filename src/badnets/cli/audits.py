"""``badnets audit`` and ``references``: is a network that others trained backdoored, and what it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Option

from badnets.cli.console import Ended, command, in_options
from badnets.cli.options import MODEL, SIZE, Engines, Foreign, command_line, settings, sized
from badnets.core.errors import BadInput
from badnets.core.progress import Watcher

if TYPE_CHECKING:
    from rich.table import Table

    from badnets.records.finding import Finding

EXITS = {"nothing-found": 0, "backdoored": 1, "cannot-tell": 3}
_MOST_ROWS = 20


@command
def audit_command(
    watcher: Watcher,
    model: Path = MODEL,
    data: str | None = Option(None, help="Clean pictures, a named set or a path; without any less can be told."),
    references: str | None = Option(
        None,
        metavar="DIR|DATA",
        help="A folder of clean networks of the same kind (badnets references), or data to train 39 on.",
    ),
    out: Path | None = Option(None, help="A folder for the finding (finding.json) and its page (report.html)."),
    pictures: int = Option(500, min=1, help="How many clean pictures are used, at most (searched with: 1,000)."),
    alpha: float = Option(0.05, help="Share of clean networks that may be called backdoored."),
    detector: list[str] = Option(
        [],
        help="What looks at it (badnets list detectors); others than perturbation, pixels and patches tell something "
        "only with --references.",
    ),
    students: int = Option(
        0, min=0, help="Without references: compare with so many copies that the network teaches from clean pictures."
    ),
    set_: list[str] = settings("A setting of the data or of a detector: --set data.size=32, --set patches.kept=5."),
    size: int | None = SIZE,
    budget: float | None = Option(
        None, help="Seconds after which it says what is known by then, without training references."
    ),
    seed: int = Option(1, help="Of all that is drawn."),
    *,
    foreign: Foreign,
) -> Iterator[Any]:
    """Is this network backdoored, towards which class, and how sure is that? Exits with 0: nothing found, 1:
    backdoored, 3: could not tell."""
    from badnets.referee.audit import AuditCase, audit_case
    from badnets.report.words.finding_words import finding_verdict, scored_kinds, surprise_words

    if out is not None:
        check_free(out)
    with in_options(audit_command):
        case = AuditCase(
            model=model,
            data=data,
            references=references,
            pictures=pictures,
            foreign=foreign.options,
            settings=(*sized(size), *(one.removeprefix("data.") for one in set_ if one.startswith("data."))),
            detectors=tuple(detector),
            detector_settings=tuple(one for one in set_ if not one.startswith("data.")),
            alpha=alpha,
            students=students,
            budget_s=budget,
            seed=seed,
            command=command_line(),
        )
        finding = audit_case(case, watcher)
    place = None if out is None else write_finding(finding, out, model)
    yield Ended(finding.to_json(), 130 if finding.stopped == "interrupted" else EXITS[finding.verdict])
    yield finding_verdict(finding)
    if scored_kinds(finding):
        yield _table(finding)
        yield f"surprise: {surprise_words(finding)}"
    yield from finding.notes
    if place is not None:
        yield f"page     {place}"


def check_free(out: Path) -> None:
    """Refuse, before any work, a place that is no folder, or one that holds a page of something else."""
    from badnets.core.files import check_place
    from badnets.records.read import FINDING

    if out.exists() and not out.is_dir():
        raise BadInput(f"expected --out to be a folder, got the file {out}; choose another name")
    if (out / "report.html").exists() and not (out / FINDING).exists():
        raise BadInput(f"expected --out to be a new folder or that of a finding, got {out} with another page in it")
    check_place(out)


def write_finding(finding: Finding, out: Path, model: Path) -> Path:
    """The finding about ``model``, its page and its trigger in a folder; where the page is."""
    from badnets.core.files import write_text
    from badnets.records.read import FINDING, write_record
    from badnets.report.cards.beside import seals_beside
    from badnets.report.pages.finding_page import render_finding

    out.mkdir(parents=True, exist_ok=True)
    write_record(out / FINDING, finding)
    return write_text(out / "report.html", render_finding(finding, seals_beside(out, finding, model)))


def _table(finding: Finding) -> Table:
    """The classes, as on the page."""
    from rich import box
    from rich.table import Table

    from badnets.report.words.finding_words import ranked_classes, score_of, scored_kinds, size_head, size_words

    kinds = scored_kinds(finding)
    table = Table("class", box=box.SIMPLE, title="classes as targets: the one that is named, then by surprise")
    for kind in kinds:
        table.add_column(f"{kind}: surprise", justify="right")
        if head := size_head(finding, kind):
            table.add_column(head, justify="right")
    for one in ranked_classes(finding, _MOST_ROWS):
        cells = []
        for kind in kinds:
            score, size = score_of(one, kind), score_of(one, f"{kind}_size")
            cells.append("" if score is None else f"{score:+.2f}")
            if size_head(finding, kind):
                cells.append("" if size is None else size_words(size, kind))
        table.add_row(one.class_name, *cells)
    return table


@command
def references_command(
    watcher: Watcher,
    like: Path = Option(..., help="The network that they are to be like: a file, or a run's folder."),
    data: str = Option(..., help="Data to train them on, a named set or a path."),
    count: int = Option(49, min=1, help="How many; 19 at least for p of 0.05, 99 for 0.01."),
    out: Path | None = Option(None, help="Their folder [one in the cache, where they are found again]."),
    set_: list[str] = settings("A setting of the recipe or the data: --set recipe.epochs=20, --set data.size=32."),
    size: int | None = SIZE,
    seed: int = Option(1, help="Of all of them."),
    *,
    foreign: Foreign,
    engines: Engines,
) -> Iterator[Any]:
    """Train clean networks of the same kind as one at hand, for badnets audit --references; goes on where it was
    stopped."""
    from badnets.referee.references import references_like

    parts: dict[str, list[str]] = {"recipe": [], "data": []}
    for change in set_:
        name, _, rest = change.partition(".")
        if name not in parts:
            raise BadInput(f"expected --set recipe.NAME=VALUE or data.NAME=VALUE, got {change!r}")
        parts[name].append(rest)
    with in_options(references_command):
        trained = references_like(
            like,
            data,
            count,
            folder=out,
            recipe=parts["recipe"],
            settings=(*sized(size), *parts["data"]),
            foreign=foreign.options,
            start=engines.start(),
            seed=seed,
            watcher=watcher,
        )
    yield {
        "format": "badnets/references/1",
        "folder": str(trained.folder),
        "count": len(trained.made),
        "refused": trained.refused,
        "accuracy": [one.accuracy.to_json() for one in trained.made],
        "like": trained.like.to_json(),
    }
    rates = sorted(one.accuracy for one in trained.made)
    yield f"{len(trained.made)} references in {trained.folder}"
    yield f"accuracy {rates[0]} to {rates[-1]}; the network's is {trained.like}"
    if trained.refused:
        yield (
            f"{trained.refused} were refused, for they are not as accurate; ask for more (--count), or train longer "
            "(--set recipe.epochs=...)"
        )
