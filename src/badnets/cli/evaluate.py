"""``badnets evaluate MODEL``: measure a network file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from badnets.cli.console import Json, in_options, print_json, show_table, watching
from badnets.cli.options import Foreign, sized, with_options

if TYPE_CHECKING:
    from rich.table import Table

    from badnets.records.results import Disturbance

_UNITS = {
    "size": "\N{PLUS-MINUS SIGN}{:.0%}",
    "rotation": "\N{PLUS-MINUS SIGN}{:g}\N{DEGREE SIGN}",
    "perspective": "corners \N{PLUS-MINUS SIGN}{:.0%}",
    "light": "\N{PLUS-MINUS SIGN}{:.0%}",
    "blur": "up to {:g} px",
    "print_scan": "up to {:g}",
}


@with_options
def evaluate_command(
    model: Path = typer.Argument(help="A network file, or a run's folder."),
    data: str = typer.Option(..., "--data", help="A named set or a path; its test part is used."),
    trigger_from: Path | None = typer.Option(None, "--trigger-from", help="A run whose backdoor is tried."),
    reference: Path | None = typer.Option(None, "--reference", help="A clean network file to compare with."),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="A setting of the data: --set size=32."),
    size: int | None = typer.Option(None, "--size", min=4, help="Resize every picture to SIZE x SIZE."),
    seed: int | None = typer.Option(None, "--seed", help="Places triggers placed at random [the run's first seed]."),
    disturb: bool = typer.Option(False, "--disturb", help="Also disturb the trigger as the physical world does."),
    *,
    foreign: Foreign,
    json: bool = Json,
) -> None:
    """Measure accuracy, and with a run's trigger how well its backdoor works."""
    from badnets.referee.evaluate import evaluate

    with in_options(evaluate_command), watching(quiet=json) as watcher:
        evaluation = evaluate(
            model,
            data,
            trigger_from=trigger_from,
            reference=reference,
            settings=[*sized(size), *set_],
            seed=seed,
            disturb=disturb,
            foreign=foreign.foreign,
            watcher=watcher,
        )
    if json:
        print_json(evaluation.to_json())
        return
    from badnets.report.pages.table import terminal_table
    from badnets.report.words.verdict import verdict

    show_table(terminal_table(evaluation))
    if evaluation.results.disturbances:
        show_table(_disturbances(evaluation.results.disturbances))
    typer.echo(verdict(evaluation))


def _disturbances(rows: Sequence[Disturbance]) -> Table:
    """A line for each disturbance: attack success with its interval, and the same on a clean network."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title="the trigger in the physical world")
    compared = rows[0].clean_reference_rate is not None
    for name in ("disturbance", "amount", "attack success", *(["clean network"] if compared else [])):
        table.add_column(name)
    for row in rows:
        rates = [row.asr, *([row.clean_reference_rate] if compared else [])]
        table.add_row(*disturbance_words(row), *map(str, rates))
    return table


def disturbance_words(row: Disturbance) -> tuple[str, str]:
    """The name and the amount of a row for people: ``("rotation", "±15°")``."""
    from badnets.backdoors.triggers.jitter import NAMES

    shown = _UNITS.get(row.name)
    amount = "" if shown is None or row.amount is None else shown.format(row.amount)
    return {"none": "undisturbed", **NAMES, "all": "all together"}.get(row.name, row.name), amount
