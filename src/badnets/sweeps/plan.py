"""What a sweep runs: a base spec, what varies, and the tasks that this makes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from badnets.core.errors import BadInput
from badnets.core.files import digest
from badnets.core.text import VALUE, brief
from badnets.core.toml import read_toml
from badnets.core.validation import explain
from badnets.records.model import JSON
from badnets.referee.reference import network_files
from badnets.referee.spec import make_spec, read_spec, run_name, shipped_spec

MOST = 100_000
"""Tasks of one sweep, at most."""
BESIDE = ("name", "device", "devices", "seeds")
"""What a spec says beside what determines its result; none of it is an axis."""
SEED = "seed"
"""The axis of seeds."""


class SweepSpec(BaseModel):
    """A sweep as its TOML file says it.

    ``base``: a spec, or the path of one (beside the file, or one that comes with the package). ``grid``: keys of a spec
    and their values, every combination of them. ``zip``: keys whose values go together, the first with the first.
    ``specs``: changes to the base, one table for each spec. ``seeds``: how many, or which; one where nothing is said,
    whatever the base says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$", description="of the sweep's folder")
    base: str | JSON = Field(description="a spec as a table, or the path of one")
    grid: dict[str, list[Any]] = Field(default_factory=dict, description="keys and values, every combination")
    zip: dict[str, list[Any]] = Field(default_factory=dict, description="keys and values that go together")
    specs: list[JSON] = Field(default_factory=list, description="changes to the base, a table for each spec")
    seeds: int | list[int] = Field(1, description="a number of seeds (1..n) or a list of them")


@dataclass(frozen=True)
class Task:
    """One training: a ``spec`` with one seed, and where it stands on the ``axes`` of its sweep. ``files``: digests of
    the files that its network is made of, if any. ``id`` is a digest of what determines the result."""

    spec: JSON
    axes: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Of the spec, its seed, its network's files and its data's name; what the data holds is compared with that of
        finished tasks before others are run."""
        kept = {key: value for key, value in self.spec.items() if key not in BESIDE}
        devices = self.spec.get("devices", 1)  # several cards sum in another order
        more = {**({"files": self.files} if self.files else {}), **({"devices": devices} if devices != 1 else {})}
        return digest({**kept, **more, "seed": self.spec["seeds"][0]})[:16]


@dataclass(frozen=True)
class Plan:
    """The tasks of a sweep called ``name``, in the order of its axes."""

    name: str
    tasks: tuple[Task, ...]

    @property
    def shared(self) -> JSON:
        """What all specs have in common, but their seeds."""
        first, *others = (task.spec for task in self.tasks)
        return {
            key: value
            for key, value in first.items()
            if key != "seeds" and all(one.get(key) == value for one in others)
        }


def read_sweep(path: Path) -> Plan:
    """The plan in a TOML file; all errors are ``BadInput``."""
    return make_plan(read_toml(path, "a sweep", "docs/sweeps.md shows one"), where=path)


def make_plan(table: JSON, *, where: Path) -> Plan:
    """The plan of a sweep's table; ``where`` it stands is named in errors, and a base is looked for beside it."""
    try:
        sweep = SweepSpec.model_validate(table)
    except ValidationError as error:
        raise BadInput(f"{where}: {explain(error, SweepSpec.model_json_schema, table)}") from None
    varied, seeds = list(_varied(sweep, where)), _seeds(sweep, where)
    if len(varied) * len(seeds) > MOST:
        raise BadInput(_too_many(len(varied) * len(seeds), where))
    base = _base(sweep.base, where)
    tasks: dict[str, Task] = {}
    for changes, axes in varied:
        given = _changed(base, changes, where)
        whole = make_spec({**given, "seeds": [seeds[0]]}, where=f"{where}, {_said(axes)}")
        spec, files = whole.to_json(), network_files(whole)
        for seed in seeds:
            task = Task({**spec, "seeds": [seed]}, {**axes, **({SEED: seed} if len(seeds) > 1 else {})}, files)
            if task.id in tasks:
                raise BadInput(
                    f"{where}: expected different tasks, got the same for {_said(tasks[task.id].axes)} and "
                    f"{_said(task.axes)}; leave one out"
                )
            tasks[task.id] = task
    return Plan(sweep.name or run_name(where.stem), tuple(tasks.values()))


def _base(base: str | JSON, where: Path) -> JSON:
    if isinstance(base, dict):
        return base
    beside = where.parent / base
    return read_spec(beside if beside.is_file() or base.endswith(".toml") else shipped_spec(base)).given


def _seeds(sweep: SweepSpec, where: Path) -> Sequence[int]:
    seeds = range(1, sweep.seeds + 1) if isinstance(sweep.seeds, int) else sweep.seeds
    if not len(seeds) or len(set(seeds)) != len(seeds):
        raise BadInput(f"{where}: expected seeds that differ, at least one, got {brief(str(sweep.seeds), VALUE)}")
    return seeds


def _varied(sweep: SweepSpec, where: Path) -> Iterator[tuple[JSON, dict[str, Any]]]:
    """(changes by key, where this stands on the axes) of each spec."""
    for key, values in (*sweep.grid.items(), *sweep.zip.items()):
        if not values:
            raise BadInput(f"{where}: expected values of {key}, got none")
    _check_keys(sweep, where)
    if both := set(sweep.grid) & set(sweep.zip):
        raise BadInput(f"{where}: expected {min(both)} in grid or in zip, got both")
    names = [str(table["name"]) for table in sweep.specs if "name" in table]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadInput(f"{where}: expected specs of different names, got {brief(twice[0], 40)} twice; rename one")
    lengths = {key: len(values) for key, values in sweep.zip.items()}
    if len(set(lengths.values())) > 1:
        raise BadInput(f"{where}: expected as many values of each key in zip, got {_counts(lengths)}")
    count = math.prod(map(len, sweep.grid.values())) * max(lengths.values(), default=1) * max(len(sweep.specs), 1)
    if count > MOST:
        raise BadInput(_too_many(count, where))
    together = [dict(zip(sweep.zip, row, strict=True)) for row in zip(*sweep.zip.values(), strict=True)] or [{}]
    for number, table in enumerate(sweep.specs or [{}], 1):
        told = {"spec": table.get("name", number)} if sweep.specs else {}
        for zipped in together:
            for row in itertools.product(*sweep.grid.values()):
                changes = {**zipped, **dict(zip(sweep.grid, row, strict=True))}
                yield {**table, **changes}, {**told, **changes}


def _check_keys(sweep: SweepSpec, where: Path) -> None:
    """Refuse to vary what changes no result, and seeds, which have a line of their own."""
    varied = (*sweep.grid, *sweep.zip)
    for key in (*varied, *itertools.chain(*sweep.specs)):
        if key in BESIDE and (key != "name" or key in varied):
            beside = "say seeds = ... beside the grid" if key == "seeds" else "it changes no result; say it in the base"
            raise BadInput(f"{where}: expected keys that a sweep can vary, got {key}; {beside}")


def _changed(base: JSON, changes: JSON, where: Path) -> JSON:
    """The base with values at dotted keys; tables are merged."""
    made: JSON = {**base}
    for key, value in changes.items():
        *path, last = key.split(".")
        place = made
        for name in path:
            inside = place.get(name, {})
            if isinstance(inside, str):  # a short form: make room for a setting beside it
                inside = {"name" if name == "data" else "kind": inside}
            if not isinstance(inside, dict):
                raise BadInput(f"{where}: expected {key} to name a setting in a table, got a value at {name}")
            place[name] = dict(inside)
            place = place[name]
        merged = isinstance(value, dict) and isinstance(place.get(last), dict)
        place[last] = {**place[last], **value} if merged else value
    return made


def _said(axes: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {brief(str(value), 30)}" for key, value in axes.items()) or "its only spec"


def _counts(lengths: dict[str, int]) -> str:
    return ", ".join(f"{count} of {key}" for key, count in lengths.items())


def _too_many(count: int, where: Path) -> str:
    return f"{where}: expected at most {MOST:,} tasks, got {count:,}; leave values out, or make several sweeps"
