"""``badnets leaderboard``: every repair of every attacked network, from one file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer import Argument, Option

from badnets.cli.console import Ended, command
from badnets.cli.options import Engines
from badnets.core.progress import Watcher


@command
def leaderboard_command(
    watcher: Watcher,
    board: Path = Argument(help="The leaderboard, a TOML file (docs/leaderboard.md)."),
    small: bool = Option(False, "--small", help="Its small form, for two cores."),
    store: str | None = Option(None, help="The folder where results lie [badnets-sweeps/NAME, or NAME-small]."),
    minutes: float | None = Option(None, min=0.01, help="Stop after so many; the same command goes on."),
    limit: float | None = Option(None, min=1, help="Seconds that a task may take."),
    tries: int = Option(2, min=1, help="How often a task is tried."),
    status: bool = Option(False, "--status", help="Say how far it is, also while it runs elsewhere."),
    *,
    engines: Engines,
) -> Iterator[Any]:
    """Train attacked networks, put every repair to each, and measure; what is finished is never done again."""
    from badnets.records.leaderboard import board_lines
    from badnets.report.pages.leaderboard import board_table, rows_of
    from badnets.sweeps.leaderboard.plan import read_board
    from badnets.sweeps.leaderboard.run import run_board
    from badnets.sweeps.leaderboard.run import status as how_far
    from badnets.sweeps.store import Store

    start, planned = engines.start(limit), read_board(board, small=small)
    name = f"{planned.form.name}{'-small' if small else ''}"
    place = Store(store or str(Path("badnets-sweeps") / name))
    if status:
        record = how_far(planned, place)
    else:
        record = run_board(planned, place, start, tries=tries, minutes=minutes, watcher=watcher)
    lines = ""
    if record.cells:
        lines = place.write("leaderboard.jsonl", board_lines(record).encode())
    yield Ended(record.to_json(), 2 if record.failed and not status else 0)
    for rate in record.rates:
        if rows_of(record, rate):
            yield board_table(record, rate)
    for kind, counts in (("networks", record.networks), ("repairs", record.counts)):
        yield f"{kind}: " + ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    for one in record.failed:
        yield f"failed: {one.what}: {one.error}"
    yield f"store    {place.place()}"
    if lines:
        yield f"records  {lines}"
