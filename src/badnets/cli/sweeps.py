"""``badnets sweep``: many experiments from one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Argument, Option

from badnets.cli.console import Ended, command
from badnets.core.errors import BadInput, nearest
from badnets.core.progress import Watcher

if TYPE_CHECKING:
    from badnets.sweeps.engines.engine import Engine
    from badnets.sweeps.store import Store

ENGINES = ("local", "ray", "slurm")


@dataclass(frozen=True)
class _Asked:
    jobs: int | None
    limit_s: float | None
    address: str | None
    cpus: float
    gpus: float


def _engine(on: str, store: Store, asked: _Asked) -> Callable[[], Engine]:
    """What starts the engine called ``on``, if there is anything to do."""

    def local() -> Engine:
        from badnets.sweeps.engines.local import Local

        return Local(asked.jobs, asked.limit_s)

    def ray() -> Engine:
        from badnets.sweeps.engines.ray import Ray

        return Ray(asked.address, asked.jobs, asked.limit_s, asked.cpus, asked.gpus)

    def slurm() -> Engine:
        from badnets.sweeps.engines.slurm import Slurm

        if not store.local:
            raise BadInput(f"expected a folder that all nodes see for --on slurm, got {store.url}")
        return Slurm(Path(store.place("slurm")), asked.jobs, asked.limit_s, asked.cpus, asked.gpus)

    return {"local": local, "ray": ray, "slurm": slurm}[on]


@command
def sweep_command(
    watcher: Watcher,
    sweep: Path = Argument(help="The sweep, a TOML file (docs/sweeps.md)."),
    on: str = Option("local", "--on", help="Who does it: local (processes of this machine), ray or slurm."),
    store: str | None = Option(None, help="Where results lie: a folder, or a URL [badnets-sweeps/NAME]."),
    jobs: int | None = Option(None, min=1, help="Tasks at once [one for each core, at most 8]."),
    address: str | None = Option(None, help="Of a Ray cluster [Ray on this machine]."),
    cpus: float = Option(1.0, min=0.01, help="Processors of a task (ray, slurm)."),
    gpus: float = Option(0.0, min=0.0, help="Cards of a task; of ray also a share, such as 0.25."),
    limit: float | None = Option(None, min=1, help="Seconds that a task may take."),
    tries: int = Option(2, min=1, help="How often a task is tried."),
    plan: bool = Option(False, "--plan", help="Say what would run and what is there, and run nothing."),
    status: bool = Option(False, "--status", help="Say how far it is, also while it runs elsewhere."),
) -> Iterator[Any]:
    """Run every combination of a sweep's settings and seeds; what is finished is never run again."""
    from badnets.core.files import dumps
    from badnets.report.pages.sweep import render_sweep, sweep_csv, sweep_table
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
        start = _engine(on, place, _Asked(jobs, limit, address, cpus, gpus))
        record = run_sweep(planned, place, start, tries=tries, watcher=watcher)
    page = ""
    if not plan:
        place.write("sweep.json", dumps(record.to_json()).encode())
        place.write("sweep.csv", sweep_csv(record).encode())
        page = place.write("report.html", render_sweep(record, command=f"badnets sweep {sweep}").encode())
    failed = bool(record.counts["failed"]) and not (plan or status)
    yield Ended(record.to_json(), 2 if failed else 0)
    yield sweep_table(record)
    yield ", ".join(f"{count:,} {state}" for state, count in record.counts.items() if count)
    if record.seconds_left:
        yield f"about {record.seconds_left / 60:,.1f} min left for one process, by the finished ones"
    yield f"store  {place.place()}"
    if page:
        yield f"page   {page}"
