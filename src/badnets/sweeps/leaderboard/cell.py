"""One task of a leaderboard, in whatever process an engine gives it: a network is trained, or repaired and measured."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from badnets.core.errors import BadInput, CannotTell, first_line
from badnets.core.files import dumps, file_digest, temporary_folder
from badnets.data.images import Splits
from badnets.records.certificate import Defender
from badnets.records.leaderboard import RepairedCell
from badnets.records.model import JSON
from badnets.records.read import RECORD, network_file, read_run, write_record
from badnets.sweeps.leaderboard.plan import method_of
from badnets.sweeps.store import Store
from badnets.sweeps.task import Work, carry_out


def carry_out_step(work: Work) -> str | None:
    """Do it: None, or why it failed."""
    if "method" not in work.spec:
        return carry_out(replace(work, spec={**work.spec, "data": placed(work.spec["data"])}))
    store = Store(work.store)
    store.begin(work.task)
    try:
        cell = repaired_cell(work.spec, store)
        with temporary_folder() as folder:
            write_record(folder / RECORD, cell)
            store.put(work.task, folder)
    except Exception as error:  # noqa: BLE001 (whatever a task raises is its own affair, and stops no other)
        told = first_line(error) or type(error).__name__
        store.fail(work.task, told)
        return told
    finally:
        store.end(work.task)
    return None


def repaired_cell(spec: JSON, store: Store) -> RepairedCell:
    """A repair of the network that a step's ``spec`` names, as its record. What the repair sees is the network's file
    and clean training pictures; what it leaves is written to a file, opened again, and measured on the test pictures,
    as the network was before.

    Raises ``BadInput`` where the network is not what it was, or its data.
    """
    from badnets.core.seed import Seed
    from badnets.networks.files.own import open_network
    from badnets.referee.bench import Bench, defender_and_spare
    from badnets.referee.spec import Spec
    from badnets.referee.store import commit, environment
    from badnets.referee.truth import known_trigger

    folder = Path(store.place(spec["network"]))
    run = read_run(folder)
    planted = Spec.model_validate(run.resolved)
    data, seed = _loaded(dumps(placed(spec["data"]), indent=None)), Seed(run.seeds[0])
    if data.train.digest != run.data_digest:
        raise BadInput(f"expected the data that {folder} was made with, got other pictures in {data.train.name!r}")
    defender, spare = defender_and_spare(data.train, round(spec["defender"] * len(data.train)), seed)
    network = open_network(network_file(folder))
    bench = Bench(defender=defender, spare=spare, test=data.test, truth=known_trigger(planted, seed), seed=seed,
                  method_seed=seed.derive("defender"))  # fmt: skip
    before = bench.answers(network)
    cell = RepairedCell(
        attack=spec["attack"],
        rate=run.resolved["backdoor"]["poison"]["rate"],
        seed=seed.root,
        repair=spec["repair"],
        method=spec["method"],
        network=spec["network"],
        network_file=file_digest(network_file(folder)),
        architecture=planted.network,
        data=data.train.name,
        data_digest=data.test.digest,
        defender=Defender(pictures=len(defender), digest=defender.digest, seed=seed.root),
        before=before.standing,
        environment=environment("fp32", network.device),
        commit=commit(),
    )
    try:
        done, mended = bench.repaired(method_of(spec), network)
    except (BadInput, CannotTell) as error:  # that a method does not fit is a result as well
        return cell.model_copy(update={"refused": first_line(error)})
    after = bench.answers(mended)
    told = {"chosen": done.chosen, "steps": len(done.trace), "seconds": round(done.seconds, 2)}
    measured = {"after": after.standing, "after_minus_before": after.minus(before)}
    return cell.model_copy(update={**told, **measured})


def placed(data: JSON) -> JSON:
    """A spec's data with its path as this machine has it: a relative one is looked for here, and in
    ``$BADNETS_DATA``."""
    path, home = data.get("path"), os.environ.get("BADNETS_DATA")
    if path is None or home is None or Path(path).expanduser().exists():
        return data
    there = Path(home).expanduser() / path
    return {**data, "path": str(there)} if there.exists() else data


@lru_cache(maxsize=1)
def _loaded(data: str) -> Splits:
    """The data of a spec, as JSON: one process repairs many networks on the same pictures."""
    import json

    from badnets.referee.run import load_data
    from badnets.referee.spec import DataSpec

    return load_data(DataSpec.model_validate(json.loads(data)))
