"""``badnets repair MODEL``: undo a backdoor, and certify what that did."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from badnets.cli.console import Json, in_options, print_json, show_table, watching
from badnets.cli.options import Case, Foreign, with_options
from badnets.core.errors import BadInput

if TYPE_CHECKING:
    from badnets.records.certificate import Certificate


@with_options
def repair_command(
    case: Case,
    method: str = typer.Option(..., "--method", help="The repair (badnets list repairs)."),
    out: Path = typer.Option(
        ..., "--out", help="The repaired network, a .safetensors file; the certificate lies beside it (.json, .html)."
    ),
    set_: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="A setting of the method, or of the data: --set data.size=32."
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
    allowance: float = typer.Option(
        0.01, "--allowance", help='Clean accuracy that a cure may cost: with more lost the backdoor is not "gone".'
    ),
    reactivation: bool = typer.Option(
        True, "--reactivation/--no-reactivation", help="Also re-tune the repaired network on a few poisoned pictures."
    ),
    page: Path | None = typer.Option(None, "--page", help="The page [beside --out]."),
    *,
    foreign: Foreign,
    json: bool = Json,
) -> None:
    """Repair a network with clean pictures, and certify what that cured and what it cost."""
    from badnets.core.files import write_json, write_text
    from badnets.defenses.repairs import make_repair
    from badnets.referee.certify import certify
    from badnets.report.pages.certificate_page import render_certificate

    channel_order = None if order is None else read_order(order)
    own = {"layer": layer, "channels": channels, "order": channel_order, "max_drop": max_drop, "shrink": shrink}
    settings, of_data = case.parted(own, set_)
    repair = make_repair(method, settings)
    with in_options(repair_command), watching(quiet=json) as watcher:
        opened = case.opened(
            out,
            of_data,
            foreign=foreign.foreign,
            clean_network=clean_network,
            allowance=allowance,
            reactivation=reactivation,
        )
        certificate = certify(opened, repair, watcher=watcher)
    write_json(out.with_suffix(".json"), certificate.to_json())
    place = write_text(page or out.with_suffix(".html"), render_certificate(certificate))
    if json:
        print_json(certificate.to_json())
        return
    _show(certificate, place)


def _show(certificate: Certificate, page: Path) -> None:
    from badnets.report.pages.table import certificate_table
    from badnets.report.words.certificate_words import certificate_verdict

    show_table(certificate_table(certificate))
    typer.echo(certificate_verdict(certificate))
    for note in certificate.notes:
        typer.echo(note)
    typer.echo(f"chosen   {certificate.chosen}")
    typer.echo(f"network  {certificate.network}")
    typer.echo(f"page     {page}")


def read_order(path: Path) -> tuple[int, ...]:
    """The channels of a file, first to be pruned first: whole numbers from 0, each once.

    Raises ``BadInput`` that names the line.
    """
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except FileNotFoundError:
        raise BadInput(f"expected a list of channels at {path}, got nothing; check the path (--order)") from None
    except (IsADirectoryError, UnicodeDecodeError, csv.Error):
        raise BadInput(f"expected a CSV or one channel a line in {path}, got something else (--order)") from None
    lines = [(number, [cell.strip() for cell in row]) for number, row in enumerate(rows, 1) if any(row)]
    if not lines:
        raise BadInput(f"expected a list of channels in {path}, got an empty file (--order)")
    column = 0
    if not _is_number(lines[0][1][0]):
        names = [cell.lower() for cell in lines[0][1]]
        if "channel" not in names:
            raise BadInput(f"{path}, line {lines[0][0]}: expected a column 'channel', got {', '.join(names)}")
        column, lines = names.index("channel"), lines[1:]
    elif len(lines[0][1]) > 1:
        raise BadInput(f"{path}, line {lines[0][0]}: expected one number, got {len(lines[0][1])}; add a header line")
    found: dict[int, int] = {}
    for number, cells in lines:
        text = cells[column] if column < len(cells) else ""
        if not _is_number(text):
            raise BadInput(f"{path}, line {number}: expected a channel's number from 0, got {text!r}")
        if int(text) in found:
            raise BadInput(
                f"{path}, line {number}: expected each channel once, got {text} as in line {found[int(text)]}"
            )
        found[int(text)] = number
    return tuple(found)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
