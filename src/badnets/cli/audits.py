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
    pictures: int = Option(500, min=1, help="How many clean pictures are used, at most."),
    alpha: float = Option(0.05, help="Share of clean networks that may be called backdoored."),
    detector: list[str] = Option([], help="What looks at it (badnets list detectors) [perturbation, pixels, patches]."),
    students: int = Option(
        0, min=0, help="Without references: compare with so many copies that the network teaches from clean pictures."
    ),
    set_: list[str] = settings("A setting of the data: --set data.size=32."),
    size: int | None = SIZE,
    budget: float | None = Option(None, help="Seconds after which it says what is known by then."),
    seed: int = Option(1, help="Of all that is drawn."),
    *,
    foreign: Foreign,
) -> Iterator[Any]:
    """Is this network backdoored, towards which class, and how sure is that? Exits with 0: nothing found, 1:
    backdoored, 3: could not tell."""
    from badnets.referee.audit import AuditCase, audit_case
    from badnets.report.words.finding_words import finding_verdict

    other = [change for change in set_ if not change.startswith("data.")]
    if other:
        raise BadInput(f"expected --set data.NAME=VALUE, got {other[0]!r}")
    if out is not None:
        check_free(out)
    with in_options(audit_command):
        case = AuditCase(
            model=model,
            data=data,
            references=references,
            pictures=pictures,
            foreign=foreign.options,
            settings=(*sized(size), *(change.removeprefix("data.") for change in set_)),
            detectors=tuple(detector),
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
    yield _table(finding)
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
    """The classes, the most suspicious first."""
    from rich import box
    from rich.table import Table

    names = [str(one["kind"]) for one in finding.detectors]
    sized = {name for name in names if any(f"{name}_size" in one.scores for one in finding.classes)}
    table = Table("class", box=box.SIMPLE, title="classes as targets, most suspicious first")
    for name in names:
        table.add_column(f"{name}: surprise", justify="right")
        if name in sized:
            table.add_column("smallest trigger", justify="right")
    first = names[0] if names else ""
    rows = sorted(finding.classes, key=lambda one: -(one.scores.get(first) or -1e9))
    for one in rows[:_MOST_ROWS]:
        cells = []
        for name in names:
            score, trigger = one.scores.get(name), one.scores.get(f"{name}_size")
            cells.append("" if score is None else f"{score:+.2f}")
            if name in sized:
                cells.append("" if trigger is None else f"{trigger:.4f}")
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
        yield f"{trained.refused} were refused, for they are not as accurate"
