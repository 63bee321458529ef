"""``badnets sweep``: many experiments from one file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer import Argument, Option

from badnets.cli.console import Ended, command
from badnets.cli.options import Engines, command_line
from badnets.core.errors import BadInput
from badnets.core.progress import Watcher


@command
def sweep_command(
    watcher: Watcher,
    sweep: Path = Argument(help="The sweep, a TOML file (docs/sweeps.md)."),
    store: str | None = Option(None, help="Where results lie: a folder, or a URL [badnets-sweeps/NAME]."),
    limit: float | None = Option(None, min=1, help="Seconds that a task may take."),
    tries: int = Option(2, min=1, help="How often a task is tried."),
    plan: bool = Option(False, "--plan", help="Say what would run and what is there, and run nothing."),
    status: bool = Option(False, "--status", help="Say how far it is, also while it runs elsewhere."),
    *,
    engines: Engines,
) -> Iterator[Any]:
    """Run every combination of a sweep's settings and seeds; what is finished is never run again."""
    from badnets.core.files import dumps
    from badnets.report.pages.sweep import axes_said, render_sweep, sweep_csv, sweep_table
    from badnets.sweeps.plan import read_sweep
    from badnets.sweeps.store import Store
    from badnets.sweeps.sweep import run_sweep
    from badnets.sweeps.sweep import status as how_far

    if plan and status:
        raise BadInput("expected --plan or --status, got both; leave one out")
    start, planned = engines.start(limit), read_sweep(sweep)
    place = Store(store or str(Path("badnets-sweeps") / planned.name))
    if plan or status:
        record = how_far(planned, place)
    else:
        record = run_sweep(planned, place, start, tries=tries, watcher=watcher)
    page = ""
    if not plan and (place.begun or not status):
        names = dict(zip(("page", "json", "csv"), place.names(planned.name), strict=True))
        try:
            place.write(names["json"], dumps(record.to_json()).encode())
            place.write(names["csv"], sweep_csv(record).encode())
            page = place.write(names["page"], render_sweep(record, command=command_line()).encode())
        except OSError:
            if not status:  # who only looks need not be able to write there
                raise
    missing = record.counts["done"] < len(record.tasks) and not (plan or status)
    yield Ended(record.to_json(), 2 if missing else 0)
    yield sweep_table(record)
    yield from (f"failed {axes_said(one.axes)}: {one.error}" for one in record.tasks if one.state == "failed")
    yield ", ".join(f"{count:,} {state}" for state, count in record.counts.items() if count)
    if record.seconds_left:
        yield f"about {record.seconds_left / 60:,.1f} min left for one process, by the finished ones"
    yield f"store  {place.place()}"
    if page:
        yield f"page   {page}"
