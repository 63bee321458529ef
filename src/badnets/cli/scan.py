"""``badnets scan``: what could run code or reach outside when a network file is opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer import Argument, Option

from badnets.cli.console import Ended, command

EXITS = {"safe": 0, "unsafe": 1, "unknown": 1}
_MOST_LINES = 50


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
    from badnets.report.words.scan_words import finding_line, scan_verdict

    result = scan(place)
    if sarif is not None:
        from badnets.core.files import write_json
        from badnets.report.sarif import as_sarif

        write_json(sarif, as_sarif(result))
    yield Ended(result.to_json(), EXITS[result.verdict])
    for finding in result.findings[:_MOST_LINES]:
        yield finding_line(finding)
    if len(result.findings) > _MOST_LINES:
        yield f"and {len(result.findings) - _MOST_LINES:,} more (--json has them all)"
    yield scan_verdict(result)
    if sarif is not None:
        yield f"sarif    {sarif}"
