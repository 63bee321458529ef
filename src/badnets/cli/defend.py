"""``badnets repair`` and ``guard``: undo a backdoor, or refuse what is suspicious, and measure what that did."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Option

from badnets.cli.console import command, in_options
from badnets.cli.options import Case, Foreign, settings
from badnets.core.errors import BadInput
from badnets.core.progress import Watcher
from badnets.core.text import listed

if TYPE_CHECKING:
    from badnets.records.certificate import Certificate
    from badnets.referee.case import RepairCase

FINDING = Option(
    [],
    metavar="FILE|DIR",
    help="What badnets audit --out found of this network, for methods that take it; may be given several times.",
)
_NUMBER = re.compile("[0-9]{1,9}")


@command
def repair_command(
    watcher: Watcher,
    case: Case,
    method: str = Option(..., help="The repair (badnets list repairs)."),
    out: Path = Option(
        ..., help="The repaired network, a .safetensors file; the certificate lies beside it (.json, .html)."
    ),
    set_: list[str] = settings("A setting of the method, or of the data: --set data.size=32."),
    finding: list[str] = FINDING,
    clean_network: Path | None = Option(
        None, help="A clean network to put through the same [the clean reference of --trigger-from]."
    ),
    layer: str | None = Option(None, help="prune: the convolution [the last]."),
    channels: int | None = Option(None, min=0, help="prune: how many channels."),
    order: Path | None = Option(
        None, help="prune: a CSV with a column 'channel', or one number a line [by activation]."
    ),
    max_drop: float | None = Option(None, help="prune: accuracy that may be lost, 0.04 for 4 points."),
    shrink: bool | None = Option(None, help="prune: take the channels out for real."),
    allowance: float = Option(
        0.01, help='Clean accuracy that a cure may cost: with more lost the backdoor is not "gone".'
    ),
    reactivation: bool = Option(True, help="Also re-tune the repaired network on a few poisoned pictures."),
    page: Path | None = Option(None, help="The page [beside --out]."),
    force: bool = Option(False, "--force", help="Replace --out, its certificate and its page."),
    *,
    foreign: Foreign,
) -> Iterator[Any]:
    """Repair a network with clean pictures, and certify what that cured and what it cost."""
    from badnets.core.files import write_text
    from badnets.defenses.repairs import make_repair
    from badnets.records.read import write_record
    from badnets.referee.certify import certify
    from badnets.report.cards.beside import seals_beside
    from badnets.report.pages.certificate_page import render_certificate

    first = order and read_order(order)
    given = {"layer": layer, "channels": channels, "order": first, "max_drop": max_drop, "shrink": shrink}
    of_method, of_data = case.parted({**given, "finding": finding or None}, set_)
    repair = make_repair(method, of_method)
    judged: dict[str, Any] = {"clean_network": clean_network, "allowance": allowance, "reactivation": reactivation}
    with in_options(repair_command):
        opened = case.opened(out, of_data, foreign=foreign.options, **judged)
        place = page or out.with_suffix(".html")
        with written(opened, place, out.with_suffix(".json"), force=force) as (own, files):
            certificate = certify(own, repair, watcher=watcher)
            write_text(files[1], render_certificate(certificate, seals_beside(out.parent, certificate, files[0])))
            write_record(files[2], certificate)
    yield certificate.to_json()
    yield from told(certificate, place)


def told(certificate: Certificate, page: Path) -> Iterator[Any]:
    """What a person sees of a certificate."""
    from badnets.report.pages.table import certificate_table
    from badnets.report.words.certificate_words import certificate_verdict

    yield certificate_table(certificate)
    yield certificate_verdict(certificate)
    yield from certificate.notes
    yield f"chosen   {certificate.chosen}"
    yield f"network  {certificate.network}"
    yield f"page     {page}"


@contextmanager
def written(case: RepairCase, *describing: Path, force: bool) -> Iterator[tuple[RepairCase, list[Path]]]:
    """``case`` with a network that gets its name together with what describes it, which is written to the paths given;
    what there is of an interrupted one gets its name too."""
    from badnets.referee.case import Interrupted
    from badnets.referee.store import whole_set

    stopped = None
    with whole_set(case.out, *describing, force=force) as files:
        try:
            yield replace(case, written=files[0]), files
        except Interrupted as error:
            stopped = error
    if stopped is not None:
        raise stopped


def read_order(path: Path) -> tuple[int, ...]:
    """The channels of a file, first to be pruned first: whole numbers from 0, each once.

    Raises ``BadInput`` that names the line.
    """
    from badnets.core.files import read_bytes
    from badnets.core.limits import TEXT

    other = f"expected a CSV or one channel a line in {path}, got something else (--order)"
    if path.is_dir():
        raise BadInput(other)
    try:
        text = read_bytes(path, TEXT, "a list of channels (--order)").decode("utf-8-sig")
        rows = list(csv.reader(text.replace("\r\n", "\n").split("\n")))
    except FileNotFoundError:
        raise BadInput(f"expected a list of channels at {path}, got nothing; check the path (--order)") from None
    except (UnicodeDecodeError, csv.Error):
        raise BadInput(other) from None
    return _channels(path, rows)


def _channels(path: Path, rows: list[list[str]]) -> tuple[int, ...]:
    lines = [(number, [cell.strip() for cell in row]) for number, row in enumerate(rows, 1) if any(row)]
    if not lines:
        raise BadInput(f"expected a list of channels in {path}, got an empty file (--order)")
    number, first = lines[0]
    column = 0
    if not _NUMBER.fullmatch(first[0]):
        names = [cell.lower() for cell in first]
        if "channel" not in names:
            raise BadInput(f"{path}, line {number}: expected a column 'channel', got {listed(names)}")
        column, lines = names.index("channel"), lines[1:]
    elif len(first) > 1:
        raise BadInput(f"{path}, line {number}: expected one number, got {len(first)}; add a header line")
    line_of: dict[int, int] = {}
    for number, cells in lines:
        text = cells[column] if column < len(cells) else ""
        if not _NUMBER.fullmatch(text):
            raise BadInput(f"{path}, line {number}: expected a channel's number from 0, got {text!r}")
        earlier = line_of.setdefault(int(text), number)
        if earlier != number:
            raise BadInput(f"{path}, line {number}: expected each channel once, got {text} as in line {earlier}")
    return tuple(line_of)


@command
def guard_command(
    watcher: Watcher,
    case: Case,
    method: str = Option("agreement", help="The abstainer (badnets list abstainers)."),
    out: Path = Option(..., help="The guarded network, a .safetensors file."),
    refuse: float = Option(0.01, help="Share of clean pictures that may be refused."),
    repair: str | None = Option(
        None, help="agreement: the repair that makes the second network (badnets list repairs)."
    ),
    repaired: Path | None = Option(None, help="agreement: the second network, a file."),
    set_: list[str] = settings(
        "A setting of the method, of its repair (settings.epochs=5), or of the data (data.size=32)."
    ),
    finding: list[str] = FINDING,
    force: bool = Option(False, "--force", help="Replace --out; a certificate of what it was is removed."),
    *,
    foreign: Foreign,
) -> Iterator[Any]:
    """Make a network that refuses suspicious pictures, and measure what it refuses."""
    from badnets.defenses.abstainers import make_abstainer
    from badnets.referee.guard import guard
    from badnets.report.pages.table import certificate_table

    if repair is not None and repaired is not None:
        raise BadInput("expected either --repair or --repaired, got both; give one")
    of_method, of_data = case.parted(
        {"repair": repair, "repaired": repaired and str(repaired), "finding": finding or None}, set_
    )
    abstainer = make_abstainer(method, of_method)
    with in_options(guard_command):
        opened = case.opened(out, of_data, foreign=foreign.options)
    with in_options(guard_command), written(opened, force=force) as (own, _):
        record = guard(own, abstainer, refuse=refuse, watcher=watcher)
    yield record.to_json()
    yield certificate_table(record)
    if record.after.refused_or_right is not None:
        yield f"triggered pictures refused or read as what they are: {record.after.refused_or_right}"
    if record.chosen:
        yield f"chosen   {record.chosen}"
    if record.refuse is not None:
        yield f"refused of the pictures that the threshold was found on: {record.calibration}"
    yield f"network  {record.network}"
