"""What ``repair`` and ``guard`` share: options, the settings of a method, an order of channels as others publish it."""

from __future__ import annotations

import csv
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from badnets.core.errors import BadInput
from badnets.records.model import JSON

Model = typer.Argument(help="A network file, or a run's folder.")
Data = typer.Option(None, "--data", help="Clean pictures, a named set or a path [those of --trigger-from].")
Size = typer.Option(None, "--size", min=4, help="Resize every picture to SIZE x SIZE.")
Pictures = typer.Option(
    None, "--pictures", min=1, help="How many clean pictures of --data the defender has [at most 3,000]."
)
Test = typer.Option(
    None, "--test", help="Pictures to measure on; --data is then the defender's alone [the test part of --data]."
)
TriggerFrom = typer.Option(None, "--trigger-from", help="A run whose backdoor is tried.")
Triggered = typer.Option(
    None, "--triggered", help="Pictures that carry the trigger, labelled with the attacker's target."
)
Budget = typer.Option(None, "--budget", help="Seconds after which a repair stops with what it has.")
SeedOption = typer.Option(1, "--seed", help="Of the choice of pictures, and of the method.")

_DATA, _CHANNEL = "data.", "channel"


def command_line() -> str:
    """What was typed."""
    return shlex.join(["badnets", *sys.argv[1:]])


def parted(options: Mapping[str, object], changes: Sequence[str], size: int | None) -> tuple[JSON, tuple[str, ...]]:
    """The settings of a method, from its own options and ``--set``, and the changes that are the data's."""
    from badnets.referee.spec_text import changed_table

    settings = {name: value for name, value in options.items() if value is not None}
    mine = [change for change in changes if not change.startswith(_DATA)]
    data = [change.removeprefix(_DATA) for change in changes if change.startswith(_DATA)]
    sized = [] if size is None else [f"size={size}"]
    return changed_table(settings, mine, "the settings"), (*sized, *data)


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
        if _CHANNEL not in names:
            raise BadInput(f"{path}, line {lines[0][0]}: expected a column {_CHANNEL!r}, got {', '.join(names)}")
        column, lines = names.index(_CHANNEL), lines[1:]
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
