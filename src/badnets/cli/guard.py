"""``badnets guard MODEL``: a network that refuses what is suspicious."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from badnets.cli.console import Json, print_json, show_table, watching
from badnets.cli.foreign import Arch, Classes, InputRange, InputSize, foreign_options
from badnets.core.errors import BadInput

if TYPE_CHECKING:
    from badnets.defenses.abstain import Abstainer

_DATA = "data."


def guard_command(
    model: Path = typer.Argument(help="A network file, or a run's folder."),
    data: str | None = typer.Option(
        None, "--data", help="Clean pictures, a named set or a path [those of --trigger-from]."
    ),
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
    size: int | None = typer.Option(None, "--size", min=4, help="Resize every picture to SIZE x SIZE."),
    pictures: int | None = typer.Option(
        None, "--pictures", min=1, help="How many clean pictures of --data the defender has [at most 3,000]."
    ),
    test: str | None = typer.Option(
        None, "--test", help="Pictures to measure on; --data is then the defender's alone [the test part of --data]."
    ),
    trigger_from: Path | None = typer.Option(None, "--trigger-from", help="A run whose trigger is tried."),
    triggered: str | None = typer.Option(
        None, "--triggered", help="Pictures that carry the trigger, labelled with the attacker's target."
    ),
    budget: float | None = typer.Option(None, "--budget", help="Seconds after which a repair stops with what it has."),
    seed: int = typer.Option(1, "--seed", help="Of the choice of pictures, and of the method."),
    arch: str | None = Arch,
    classes: int | None = Classes,
    input_size: str | None = InputSize,
    input_range: str | None = InputRange,
    json: bool = Json,
) -> None:
    """Make a network that refuses suspicious pictures, and measure what it refuses."""
    from badnets.referee.certify import RepairCase
    from badnets.referee.guard import guard

    chosen, data_settings = _method(method, {"repair": repair, "repaired": repaired}, set_)
    case = RepairCase(
        model=model,
        out=out,
        data=data,
        test=test,
        pictures=pictures,
        trigger_from=trigger_from,
        triggered=triggered,
        foreign=foreign_options(arch, classes, input_size, input_range),
        settings=(*([] if size is None else [f"size={size}"]), *data_settings),
        budget_s=budget,
        seed=seed,
        reactivation=False,
        command=shlex.join(["badnets", *sys.argv[1:]]),
    )
    with watching(quiet=json) as watcher:
        value = guard(case, chosen, refuse=refuse, watcher=watcher)
    if json:
        print_json(value)
        return
    _show(value)


def _method(name: str, own: dict[str, Any], changes: list[str]) -> tuple[Abstainer, list[str]]:
    """The abstainer with its settings, and the changes that are the data's."""
    from badnets.defenses.abstainers import make_abstainer
    from badnets.referee.spec import changed_table

    if own["repair"] is not None and own["repaired"] is not None:
        raise BadInput("expected either --repair or --repaired, got both; give one")
    settings = {key: str(value) for key, value in own.items() if value is not None}
    mine = [change for change in changes if not change.startswith(_DATA)]
    data = [change.removeprefix(_DATA) for change in changes if change.startswith(_DATA)]
    return make_abstainer(name, changed_table(settings, mine, "the settings")), data


def _show(value: dict[str, Any]) -> None:
    from badnets.core.old import format_rate
    from badnets.report.pages.certificate_table import certificate_table

    show_table(certificate_table(value))
    after = value["after"]
    if after["refused_or_right"] is not None:
        typer.echo(f"triggered pictures refused or read as what they are: {format_rate(after['refused_or_right'])}")
    if value["chosen"]:
        typer.echo(f"chosen   {value['chosen']}")
    if value["refuse"] is not None:
        typer.echo(f"refused of the pictures that the threshold was found on: {format_rate(value['calibration'])}")
    typer.echo(f"network  {value['network']}")
