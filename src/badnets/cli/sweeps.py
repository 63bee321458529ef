"""``badnets sweep``: many experiments from one file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer import Argument, Option

from badnets.cli.console import Ended, command
from badnets.core.errors import BadInput, nearest
from badnets.core.progress import Watcher

ENGINES = ("local",)


@command
def sweep_command(
    watcher: Watcher,
    sweep: Path = Argument(help="The sweep, a TOML file (docs/sweeps.md)."),
    on: str = Option("local", "--on", help="Who does it: local (processes of this machine)."),
    store: str | None = Option(None, help="Where results lie: a folder, or a URL [badnets-sweeps/NAME]."),
    jobs: int | None = Option(None, min=1, help="Tasks at once [one for each core, at most 8]."),
    limit: float | None = Option(None, min=1, help="Seconds that a task may take."),
    tries: int = Option(2, min=1, help="How often a task is tried."),
    plan: bool = Option(False, "--plan", help="Say what would run and what is there, and run nothing."),
    status: bool = Option(False, "--status", help="Say how far it is, also while it runs elsewhere."),
) -> Iterator[Any]:
    """Run every combination of a sweep's settings and seeds; what is finished is never run again."""
    from badnets.report.pages.sweep import sweep_table
    from badnets.sweeps.plan import read_sweep
    from badnets.sweeps.store import Store
    from badnets.sweeps.sweep import run_sweep
    from badnets.sweeps.sweep import status as how_far

    if on not in ENGINES:
        raise BadInput(f"expected --on as one of the engines, got {on!r}; {nearest(on, ENGINES)}")
    planned = read_sweep(sweep)
    place = Store(store or str(Path("badnets-sweeps") / planned.name))
    if plan or status:
        record = how_far(planned, place)
    else:
        from badnets.sweeps.engines.local import Local

        record = run_sweep(planned, place, lambda: Local(jobs, limit), tries=tries, watcher=watcher)
    failed = bool(record.counts["failed"]) and not (plan or status)
    yield Ended(record.to_json(), 2 if failed else 0)
    yield sweep_table(record)
    yield ", ".join(f"{count:,} {state}" for state, count in record.counts.items() if count)
    if record.seconds_left:
        yield f"about {record.seconds_left / 60:,.1f} min left for one process, by the finished ones"
    yield f"store  {place.place()}"
