"""What a leaderboard compares: a sweep's file that names repairs too. Each network is a task of the sweep, and each
repair of it another task, which needs that network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from badnets.core.errors import BadInput, nearest
from badnets.core.files import digest
from badnets.core.text import VALUE, brief
from badnets.core.toml import read_toml
from badnets.core.validation import explain
from badnets.defenses.repair import Repair
from badnets.defenses.repairs import REPAIRS, make_repair
from badnets.records.leaderboard import Form
from badnets.records.model import JSON
from badnets.sweeps.plan import SEED, SweepSpec, Task, make_plan

RATE = "backdoor.poison.rate"
TOLD = ("trigger", "finding", "classes")
"""Settings that tell a repair something of the attack: on a leaderboard nobody is told."""


class SmallForm(BaseModel):
    """What the small form of a leaderboard has in place of the full one: some keys of the ``base``, some of the
    ``specs`` by name, other values of the ``grid``, fewer ``seeds``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: JSON = Field(default_factory=dict, description="keys of the base, each in place of its own")
    specs: list[str] | None = Field(None, description="names of the attacks that it has")
    grid: dict[str, list[Any]] = Field(default_factory=dict, description="keys and values, every combination")
    seeds: int | list[int] = Field(1, description="a number of seeds (1..n) or a list of them")


class BoardSpec(SweepSpec):
    """A leaderboard as its TOML file says it: a sweep whose ``specs`` are named attacks, and the ``repairs`` that each
    network meets, by name or as tables with settings. ``defender`` is the share of the training pictures that a repair
    sees."""

    repairs: list[str | JSON] = Field(min_length=1, description="repairs, by name or as a table with settings")
    defender: float = Field(0.05, gt=0, lt=1, description="share of the training pictures that a repair sees")
    small: SmallForm | None = Field(None, description="what is other in the small form")


@dataclass(frozen=True)
class Step:
    """A task of a leaderboard: a network to train, or with ``needs`` a repair of the network of that task. ``spec`` is
    what an engine is given."""

    id: str
    spec: JSON
    what: str
    needs: str | None = None


@dataclass(frozen=True)
class Board:
    """A leaderboard's ``form``, and its tasks: each network, and then its repairs."""

    form: Form
    steps: tuple[Step, ...]


def read_board(path: Path, *, small: bool = False) -> Board:
    """The leaderboard in a TOML file, or its small form; all errors are ``BadInput``."""
    return make_board(read_toml(path, "a leaderboard", "runs/leaderboard.toml is one"), where=path, small=small)


def make_board(table: JSON, *, where: Path, small: bool = False) -> Board:
    """The leaderboard of a table; ``where`` it stands is named in errors, and a base is looked for beside it."""
    try:
        spec = BoardSpec.model_validate(table)
    except ValidationError as error:
        raise BadInput(f"{where}: {explain(error, BoardSpec.model_json_schema, table)}") from None
    methods = dict(_methods(spec, where))
    kept = {name: value for name, value in table.items() if name in SweepSpec.model_fields}
    plan = make_plan(_small(kept, spec, where) if small else kept, where=where)
    attacks: dict[str, JSON] = {}
    steps: list[Step] = []
    for task in plan.tasks:
        attack = _attack(task, where)
        attacks[attack] = {key: value for key, value in task.spec["backdoor"].items() if key != "poison"}
        said = f"{attack}, {100 * task.spec['backdoor']['poison']['rate']:g} %, seed {task.spec['seeds'][0]}"
        steps.append(Step(task.id, task.spec, said))
        for name, method in methods.items():
            work = {"network": task.id, "attack": attack, "repair": name, "method": method, "defender": spec.defender}
            key = digest({"network": task.id, "method": method, "defender": spec.defender})[:16]
            steps.append(Step(key, {**work, "data": task.spec["data"]}, f"{name} on {said}", needs=task.id))
    first = plan.tasks[0].spec
    for task in plan.tasks:
        for key in ("data", "network", "recipe"):
            if task.spec[key] != first[key]:
                raise BadInput(f"{where}: expected the same {key} under all attacks, got another one; leave it out")
    form = Form(
        name=plan.name,
        small=small,
        spec={key: first[key] for key in ("data", "network", "recipe")},
        attacks=attacks,
        rates=tuple(dict.fromkeys(task.spec["backdoor"]["poison"]["rate"] for task in plan.tasks)),
        repairs=methods,
        seeds=tuple(dict.fromkeys(task.spec["seeds"][0] for task in plan.tasks)),
        defender=spec.defender,
    )
    return Board(form, tuple(steps))


def _methods(spec: BoardSpec, where: Path) -> Iterator[tuple[str, JSON]]:
    """Each repair by its name in the table, with all its settings."""
    seen: set[str] = set()
    for given in spec.repairs:
        table: Mapping[str, Any] = {"kind": given} if isinstance(given, str) else given
        try:
            method = REPAIRS.to_json(REPAIRS.from_json(table))
        except BadInput as error:
            raise BadInput(f"{where}: {error}") from None
        if method["kind"] == "unlearn" or any(table.get(name) for name in TOLD):
            raise BadInput(
                f"{where}: expected repairs that nobody tells of the attack, got {method['kind']} with "
                f"{', '.join(name for name in TOLD if table.get(name)) or 'a trigger to be told'}; leave it out"
            )
        changed = [f"{name} {value}" for name, value in table.items() if name != "kind"]
        name = f"{method['kind']} ({', '.join(changed)})" if changed else method["kind"]
        if name in seen:
            raise BadInput(f"{where}: expected different repairs, got {brief(name, VALUE)} twice; leave one out")
        seen.add(name)
        yield name, method


def _attack(task: Task, where: Path) -> str:
    """The name of the attack that a network carries."""
    if others := set(task.axes) - {"spec", RATE, SEED}:
        raise BadInput(f"{where}: expected nothing but {RATE} in grid, got {min(others)}; make it another leaderboard")
    if task.spec["backdoor"] is None or not isinstance(task.axes.get("spec"), str):
        raise BadInput(f"{where}: expected named specs, each with a backdoor, got one without; name it")
    if task.spec["backdoor"]["poison"]["rate"] is None:
        raise BadInput(f"{where}: expected the poison of {task.axes['spec']} as a rate, got a count")
    return str(task.axes["spec"])


def _small(table: JSON, spec: BoardSpec, where: Path) -> JSON:
    """The table of the sweep in its small form."""
    small = spec.small
    if small is None:
        raise BadInput(f"{where}: expected a small form (a table [small]), got none; run the full one")
    named = {str(one.get("name")): one for one in spec.specs}
    for name in small.specs or ():
        if name not in named:
            got = f"got {brief(name, VALUE)!r}; {nearest(name, named)}"
            raise BadInput(f"{where}: expected an attack of this leaderboard in small.specs, {got}")
    if isinstance(spec.base, str):
        raise BadInput(f"{where}: expected the base as a table beside a small form, got the name of a spec")
    specs = spec.specs if small.specs is None else [named[name] for name in small.specs]
    return {
        **table,
        "base": {**spec.base, **small.base},
        "specs": specs,
        "grid": {**spec.grid, **small.grid},
        "seeds": small.seeds,
    }


def method_of(spec: JSON) -> Repair:
    """The repair of a step's ``spec``."""
    return make_repair(spec["method"]["kind"], spec["method"])
