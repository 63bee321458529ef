"""``badnets repair MODEL``: undo a backdoor, and certify what that did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from badnets.cli import case as options
from badnets.cli.console import Json, in_options, print_json, show_table, watching
from badnets.cli.foreign import Arch, Classes, InputRange, InputSize, foreign_options

if TYPE_CHECKING:
    from badnets.records.certificate import Certificate


def repair_command(
    model: Path = options.Model,
    data: str | None = options.Data,
    method: str = typer.Option(..., "--method", help="The repair (badnets list repairs)."),
    out: Path = typer.Option(
        ..., "--out", help="The repaired network, a .safetensors file; the certificate lies beside it (.json, .html)."
    ),
    set_: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="A setting of the method, or of the data: --set data.size=32."
    ),
    size: int | None = options.Size,
    pictures: int | None = options.Pictures,
    test: str | None = options.Test,
    trigger_from: Path | None = options.TriggerFrom,
    triggered: str | None = options.Triggered,
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
    budget: float | None = options.Budget,
    seed: int = options.SeedOption,
    allowance: float = typer.Option(
        0.01, "--allowance", help='Clean accuracy that a cure may cost: with more lost the backdoor is not "gone".'
    ),
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
    from badnets.defenses.repairs import make_repair
    from badnets.referee.certify import RepairCase, certify
    from badnets.report.pages.certificate_page import render_certificate

    channel_order = None if order is None else options.read_order(order)
    own = {"layer": layer, "channels": channels, "order": channel_order, "max_drop": max_drop, "shrink": shrink}
    settings, data_settings = options.parted(own, set_, size)
    repair = make_repair(method, settings)
    with in_options(repair_command), watching(quiet=json) as watcher:
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
            settings=data_settings,
            budget_s=budget,
            seed=seed,
            allowance=allowance,
            reactivation=reactivation,
            command=options.command_line(),
        )
        certificate = certify(case, repair, watcher=watcher)
    write_json(out.with_suffix(".json"), certificate.to_json())
    place = page or out.with_suffix(".html")
    with whole_file(place) as partial:
        partial.write_text(render_certificate(certificate), encoding="utf-8")
    if json:
        print_json(certificate.to_json())
        return
    _show(certificate, place)


def _show(certificate: Certificate, page: Path) -> None:
    from badnets.report.pages.certificate_table import certificate_table
    from badnets.report.words.certificate_words import certificate_verdict

    show_table(certificate_table(certificate))
    typer.echo(certificate_verdict(certificate))
    for note in certificate.notes:
        typer.echo(note)
    typer.echo(f"chosen   {certificate.chosen}")
    typer.echo(f"network  {certificate.network}")
    typer.echo(f"page     {page}")
