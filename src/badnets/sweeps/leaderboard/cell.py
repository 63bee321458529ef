"""One task of a leaderboard, in whatever process an engine gives it: a network is trained, or repaired and measured."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from badnets.core.errors import BadInput, CannotTell, first_line
from badnets.core.files import dumps, temporary_folder
from badnets.records.certificate import Defender
from badnets.records.leaderboard import RepairedCell
from badnets.records.model import JSON
from badnets.records.read import RECORD, network_file, read_run, write_record
from badnets.sweeps.leaderboard.plan import method_of
from badnets.sweeps.store import Store, Work
from badnets.sweeps.task import carry_out

if TYPE_CHECKING:
    from badnets.networks.network import ImageNetwork
    from badnets.records.run import RunRecord
    from badnets.referee.bench import Bench
    from badnets.referee.truth import Answers


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
    from badnets.referee.store import commit, environment

    met = _met(Path(store.place(spec["network"])), dumps(placed(spec["data"]), indent=None), spec["defender"])
    bench, network, before = met.bench, met.network, met.before
    number = met.run.seeds[0]
    cell = RepairedCell(
        attack=spec["attack"],
        rate=met.run.resolved["backdoor"]["poison"]["rate"],
        seed=number,
        repair=spec["repair"],
        method=spec["method"],
        network=spec["network"],
        network_file=met.run.files[met.run.network],
        architecture=met.run.resolved["network"],
        data=bench.defender.name,
        data_digest=bench.test.digest,
        defender=Defender(pictures=len(bench.defender), digest=bench.defender.digest, seed=number),
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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Met:
    """What every repair of a network meets: its ``run``, the ``network`` from its file, what it does ``before``."""

    run: RunRecord
    bench: Bench
    network: ImageNetwork
    before: Answers


@lru_cache(maxsize=1)
def _met(folder: Path, data: str, share: float) -> _Met:
    """Of the run in ``folder``: opened and measured once for all repairs that one process does in turn. ``data`` is the
    spec's, as JSON, ``share`` of its training pictures the defender's."""
    from badnets.core.seed import Seed
    from badnets.networks.files.own import open_network
    from badnets.referee.bench import Bench, defender_and_spare
    from badnets.referee.data import load_data
    from badnets.referee.spec import DataSpec, Spec
    from badnets.referee.truth import known_trigger

    run, splits = read_run(folder), load_data(DataSpec.model_validate(json.loads(data)))
    if splits.train.digest != run.data_digest:
        raise BadInput(f"expected the data that {folder} was made with, got other pictures in {splits.train.name!r}")
    seed = Seed(run.seeds[0])
    defender, spare = defender_and_spare(splits.train, round(share * len(splits.train)), seed)
    truth = known_trigger(Spec.model_validate(run.resolved), seed)
    bench = Bench(defender=defender, spare=spare, test=splits.test, truth=truth, seed=seed,
                  method_seed=seed.derive("defender"))  # fmt: skip
    network = open_network(network_file(folder))
    return _Met(run=run, bench=bench, network=network, before=bench.answers(network))


def placed(data: JSON) -> JSON:
    """A spec's data with its path as this machine has it: a relative one is looked for here, and in
    ``$BADNETS_DATA``."""
    path, home = data.get("path"), os.environ.get("BADNETS_DATA")
    if path is None or home is None or Path(path).expanduser().exists():
        return data
    there = Path(home).expanduser() / path
    return {**data, "path": str(there)} if there.exists() else data
