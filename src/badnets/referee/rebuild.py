"""The poisoned set of a finished run again, from its plan and its data."""

from __future__ import annotations

from pathlib import Path

from badnets.backdoors.plan import Plan, Poisoned
from badnets.core.errors import BadInput
from badnets.core.progress import Watcher
from badnets.referee.run import load_data
from badnets.referee.spec import DataSpec
from badnets.referee.store import read_record


def poisoned_of(run: Path, *, seed: int | None = None, watcher: Watcher | None = None) -> Poisoned:
    """What the network of ``run`` was trained on, bit for bit; ``seed`` is one of the run's (default: its first).

    Raises ``BadInput`` for a run without a backdoor, an unknown seed, and data that is no longer what it was.
    """
    record = read_record(run)
    number = record.seeds[0] if seed is None else seed
    if number not in record.seeds:
        raise BadInput(f"expected a seed of {run} ({', '.join(map(str, record.seeds))}), got {number}")
    name = "plan.npz" if number == record.seeds[0] else f"plan-seed-{number}.npz"
    if record.poisoned is None:
        raise BadInput(f"expected a run with a backdoor at {run}, got one without")
    plan = Plan.load(run / name)
    train = load_data(DataSpec.model_validate(record.resolved["data"]), watcher).train
    if train.digest != record.data_digest:
        raise BadInput(f"expected the data that {run} was made with, got other pictures or labels in {train.name!r}")
    return plan.apply(train)
