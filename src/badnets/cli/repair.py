"""``badnets repair MODEL``: undo a backdoor, and certify what that did."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from badnets.cli.console import Json, print_json, show_table, watching
from badnets.cli.foreign import Arch, Classes, InputRange, InputSize, foreign_options

if TYPE_CHECKING:
    from badnets.defenses.repair import Repair

_DATA = "data."


def repair_command(
    model: Path = typer.Argument(help="A network file, or a run's folder."),
    data: str | None = typer.Option(
        None, "--data", help="Clean pictures, a named set or a path [those of --trigger-from]."
    ),
    method: str = typer.Option(..., "--method", help="The repair (badnets list repairs)."),
    out: Path = typer.Option(
        ..., "--out", help="The repaired network, a .safetensors file; the certificate lies beside it (.json, .html)."
    ),
    set_: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="A setting of the method, or of the data: --set data.size=32."
    ),
    size: int | None = typer.Option(None, "--size", min=4, help="Resize every picture to SIZE x SIZE."),
    pictures: int | None = typer.Option(
        None, "--pictures", min=1, help="How many clean pictures of --data the defender has [at most 3,000]."
    ),
    test: str | None = typer.Option(
        None, "--test", help="Pictures to measure on; --data is then the defender's alone [the test part of --data]."
    ),
    trigger_from: Path | None = typer.Option(None, "--trigger-from", help="A run whose backdoor is to be gone."),
    triggered: str | None = typer.Option(
        None, "--triggered", help="Pictures that carry the trigger, labelled with the attacker's target."
    ),
    clean_network: Path | None = typer.Option(
        None, "--clean-network", help="A clean network to put through the same [the clean reference of --trigger-from]."
    ),
    layer: str | None = typer.Option(None, "--layer", help="prune: the convolution [the last]."),
    channels: int | None = typer.Option(None, "--channels", min=0, help="prune: how many channels."),
    order: Path | None = typer.Option(
        None, "--order", help="prune: a CSV with a column 'channel', or one number a line [by activation]."
    ),
    max_drop: float | None = typer.Option(
        None, "--max-drop", help="prune: accuracy that may be lost, 0.04 for 4 points."
    ),
    shrink: bool | None = typer.Option(None, "--shrink/--no-shrink", help="prune: take the channels out for real."),
    budget: float | None = typer.Option(
        None, "--budget", help="Seconds after which the repair stops with what it has."
    ),
    seed: int = typer.Option(1, "--seed", help="Of the choice of pictures, and of the repair."),
    reactivation: bool = typer.Option(
        True, "--reactivation/--no-reactivation", help="Also re-tune the repaired network on a few poisoned pictures."
    ),
    page: Path | None = typer.Option(None, "--page", help="The page [beside --out]."),
    arch: str | None = Arch,
    classes: int | None = Classes,
    input_size: str | None = InputSize,
    input_range: str | None = InputRange,
    json: bool = Json,
) -> None:
    """Repair a network with clean pictures, and certify what that cured and what it cost."""
    from badnets.core.files import whole_file, write_json
    from badnets.referee.certify import RepairCase, certify
    from badnets.report.pages.certificate_page import render_certificate

    own = {"layer": layer, "channels": channels, "order": order, "max_drop": max_drop, "shrink": shrink}
    chosen, data_settings = _method(method, own, set_)
    case = RepairCase(
        model=model,
        out=out,
        data=data,
        test=test,
        pictures=pictures,
        trigger_from=trigger_from,
        triggered=triggered,
        clean_network=clean_network,
        foreign=foreign_options(arch, classes, input_size, input_range),
        settings=(*([] if size is None else [f"size={size}"]), *data_settings),
        budget_s=budget,
        seed=seed,
        reactivation=reactivation,
        command=shlex.join(["badnets", *sys.argv[1:]]),
    )
    with watching(quiet=json) as watcher:
        value = certify(case, chosen, watcher=watcher)
    write_json(out.with_suffix(".json"), value)
    place = page or out.with_suffix(".html")
    with whole_file(place) as partial:
        partial.write_text(render_certificate(value), encoding="utf-8")
    _show(value, place, json=json)


def _method(name: str, own: dict[str, Any], changes: list[str]) -> tuple[Repair, list[str]]:
    """The repair with its settings, and the changes that are the data's."""
    from badnets.defenses.repairs import make_repair
    from badnets.referee.channel_order import read_order
    from badnets.referee.spec import changed_table

    settings = {key: value for key, value in own.items() if value is not None}
    if "order" in settings:
        settings["order"] = read_order(settings["order"])
    mine = [change for change in changes if not change.startswith(_DATA)]
    data = [change.removeprefix(_DATA) for change in changes if change.startswith(_DATA)]
    return make_repair(name, changed_table(settings, mine, "the settings")), data


def _show(value: dict[str, Any], page: Path, *, json: bool) -> None:
    if json:
        print_json(value)
        return
    from badnets.report.pages.certificate_table import certificate_table
    from badnets.report.words.certificate_words import certificate_verdict

    show_table(certificate_table(value))
    typer.echo(certificate_verdict(value))
    for note in value["notes"]:
        typer.echo(note)
    typer.echo(f"chosen   {value['chosen']}")
    typer.echo(f"network  {value['network']}")
    typer.echo(f"page     {page}")
