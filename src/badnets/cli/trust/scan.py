"""``badnets scan``: what could run code or reach outside when a network file is opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Argument, Option

from badnets.cli.console import Ended, command
from badnets.core.text import brief

if TYPE_CHECKING:
    from badnets.records.scan import Scan, ScanFinding

EXITS = {"safe": 0, "unsafe": 1, "unknown": 1}
_MOST_LINES, _NAME = 50, 160


@command
def scan_command(
    place: Path = Argument(metavar="FILE|FOLDER", help="A file of any format, or a folder with networks in it."),
    sarif: Path | None = Option(
        None, metavar="FILE", help="Also write the findings as SARIF 2.1.0, for code scanning."
    ),
) -> Iterator[Any]:
    """What could run code, or reach outside, when this file is opened? Nothing in it is run. Exits with 0: safe, 1:
    something was found."""
    from badnets.networks.scan.scan import scan

    result = scan(place)
    if sarif is not None:
        from badnets.core.files import write_json
        from badnets.records.sarif import as_sarif

        write_json(sarif, as_sarif(result))
    yield Ended(result.to_json(), EXITS[result.verdict])
    for finding in result.findings[:_MOST_LINES]:
        yield finding_line(finding)
    if len(result.findings) > _MOST_LINES:
        yield f"and {len(result.findings) - _MOST_LINES:,} more (--json has them all)"
    yield scan_verdict(result)
    if sarif is not None:
        yield f"sarif    {sarif}"


def finding_line(found: ScanFinding) -> str:
    """``"unsafe   model.pt!archive/data.pkl at 64: calls os.system, which runs commands. Do not open it; ..."``."""
    why = f"{found.why[:1].upper()}{found.why[1:]}"
    return f"{found.severity:<8} {place_of(found)}: {found.what}. {why}; {found.do}"


def place_of(found: ScanFinding) -> str:
    """Where it stands: file, member, byte."""
    member = f"!{found.member}" if found.member else ""
    at = "" if found.offset is None else f" at {found.offset}"
    return f"{brief(found.file, _NAME)}{brief(member, _NAME)}{at}"


def scan_verdict(scan: Scan) -> str:
    """The sum in a sentence."""
    looked = f"{scan.files:,} file{'' if scan.files == 1 else 's'}"
    left = f" ({scan.skipped:,} in the folder are no networks)" if scan.skipped else ""
    if scan.verdict == "safe":
        what = "nothing found that runs code or reaches outside when it is opened" if scan.files else "no network found"
        return f"safe: {looked}{left}, {what}"
    bad = len({found.file for found in scan.findings})
    unsafe = sum(found.severity == "unsafe" for found in scan.findings)
    counts = f"{unsafe:,} unsafe and {len(scan.findings) - unsafe:,} unknown"
    return f"{scan.verdict}: {bad:,} of {looked}{left}: {counts} findings"
