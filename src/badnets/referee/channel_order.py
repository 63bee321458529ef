"""An order of channels, as others publish it: a CSV with a column ``channel``, or one number a line."""

from __future__ import annotations

import csv
from pathlib import Path

from badnets.core.errors import BadInput

_COLUMN = "channel"


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
        if _COLUMN not in names:
            raise BadInput(f"{path}, line {lines[0][0]}: expected a column {_COLUMN!r}, got {', '.join(names)}")
        column, lines = names.index(_COLUMN), lines[1:]
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
