"""What an experiment is: a TOML file, checked before anything runs. Every default is filled in and recorded."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from badnets.attacks.pgd import CleanLabelAttack
from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.plan import Mode, Part
from badnets.backdoors.rules import RULES, LabelRule
from badnets.backdoors.trigger import TRIGGERS, Trigger
from badnets.backdoors.triggers.jitter import Jitter
from badnets.backdoors.triggers.place import Place
from badnets.backdoors.triggers.warp import Warp, WarpNoise
from badnets.core.errors import BadInput, nearest
from badnets.core.limits import PICTURE
from badnets.core.text import VALUE, brief
from badnets.core.toml import DEEPEST, check_depth, read_toml, tomllib
from badnets.core.validation import explain
from badnets.networks.device import DeviceName
from badnets.records.model import JSON
from badnets.training.recipe import Recipe, recipe_for

M = TypeVar("M", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Side = Annotated[int, Field(ge=4)]
NO_SPECS = ("leaderboard",)
"""What lies among the specs of this package and is none."""
MOST_SEEDS = 10_000


class DataSpec(_Strict):
    """Which pictures: a named set or a path; ``data = "mnist"`` is short for ``data = { name = "mnist" }``."""

    name: str = Field(description="a named set (badnets list datasets) or a path")
    path: str | None = Field(None, description="where the named set lies, if not in the usual places")
    size: Side | tuple[Side, Side] | None = Field(None, description="resize pictures: a side, or [height, width]")
    grey: bool | None = Field(None, description="convert to one channel")
    test_share: float = Field(0.2, gt=0, lt=1, description="share of the test set where the data has no split")
    seed: int = Field(0, description="of the split, of drawn pictures, and of a draw by train_count")
    select: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="measure on this share of the training pictures, which training does not see",
    )
    train_count: int | None = Field(None, ge=1, description="train on so many pictures only, each class in its share")
    options: JSON = Field(default_factory=dict, description="options of the source, such as style")

    @model_serializer(mode="wrap")
    def _as_before_select(self, handler: SerializerFunctionWrapHandler) -> JSON:
        """Without a select set as it was before there was one, so that what is finished is found again."""
        told: JSON = handler(self)
        return {name: value for name, value in told.items() if name != "select" or value is not None}

    @field_validator("size")
    @classmethod
    def _within_the_budget(cls, value: int | tuple[int, int] | None) -> int | tuple[int, int] | None:
        if value is not None:
            PICTURE.check(value * value if isinstance(value, int) else math.prod(value), "the data's size")
        return value


class PoisonSpec(_Strict):
    """How much: a rate (share of the resulting training rows) or a count."""

    rate: float | None = Field(None, gt=0, le=1, description="share of the resulting training rows")
    count: int | None = Field(None, ge=1, description="number of poisoned rows")
    mode: Mode = Field("replace", description="replace rows, or add poisoned copies")
    cover: float | int = Field(0, ge=0, description="cover rows (share or number): with the trigger, true label")

    @model_validator(mode="before")
    @classmethod
    def _one_of(cls, value: Any) -> Any:
        given = isinstance(value, dict) and [name for name in ("rate", "count") if value.get(name) is not None]
        if given == ["rate", "count"]:
            raise ValueError("expected either a rate or a count, got both; give one")
        return {**value, "rate": 0.1} if given == [] else value


class BackdoorSpec(_Strict):
    """One backdoor: trigger, rule, how much; with ``perturb`` a clean-label attack."""

    trigger: Annotated[Trigger, TRIGGERS]
    rule: Annotated[LabelRule, RULES]
    poison: PoisonSpec = Field(default_factory=lambda: PoisonSpec.model_validate({}))
    perturb: CleanLabelAttack | None = Field(None, description="adversarial change before the trigger (clean label)")
    noise: float = Field(0.0, ge=0, lt=1, description="share of each batch in WaNet's noise mode (trigger warp)")

    @field_validator("trigger", "rule", mode="before")
    @classmethod
    def _kind_alone(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @property
    def backdoor(self) -> Backdoor:
        """Trigger and rule."""
        return Backdoor(self.trigger, self.rule)

    @model_validator(mode="after")
    def _noise_is_of_warps(self) -> BackdoorSpec:
        if self.noise and not isinstance(self.trigger, Warp):
            raise ValueError(f"expected noise only with the trigger warp, got {self.trigger.kind}")
        return self

    @property
    def hooks(self) -> tuple[WarpNoise, ...]:
        """What the attacker's training does to each batch."""
        return (self.trigger.noise_hook(self.noise),) if self.noise and isinstance(self.trigger, Warp) else ()

    @property
    def part(self) -> Part:
        """As a part of a plan."""
        poison = self.poison
        return Part(trigger=self.trigger, rule=self.rule, rate=poison.rate, count=poison.count, cover=poison.cover)


class Spec(_Strict):
    """An experiment. Without a backdoor it trains and measures a clean network."""

    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$", description="of the run's folder")
    data: DataSpec
    network: str = Field(description="architecture, with arguments as in 'resnet9:width=32'")
    seeds: tuple[int, ...] = Field((1,), min_length=1, description="a number of seeds (1..n) or a list of them")
    recipe: Recipe = Field(description="how the network is trained; defaults to the architecture's own")
    backdoor: BackdoorSpec | None = Field(None, description="the backdoor that is measured")
    more_backdoors: tuple[BackdoorSpec, ...] = Field((), description="planted in the same set, measured as well")
    reference: bool = Field(True, description="also train the clean reference, by the same recipe and seed")
    jitter: Jitter | None = Field(None, description="also measure the attack with a physically varying trigger")
    jitter_table: bool = Field(False, description="also measure the attack under each physical disturbance")
    device: DeviceName = Field("auto", description="where to compute: auto (the best), cpu, cuda, cuda:1 or mps")
    devices: int = Field(1, ge=1, description="processes to train with (DDP)")

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        value = dict(value)
        if isinstance(value.get("data"), str):
            value["data"] = {"name": value["data"]}
        changes = value.get("recipe", {})
        if isinstance(value.get("network"), str) and isinstance(changes, dict):
            # The field itself checks the settings, so that an error is told with its place in the spec.
            defaults = TypeAdapter(Recipe).dump_python(recipe_for(value["network"].split(":")[0]))
            value["recipe"] = {**defaults, **changes}
        return value

    @field_validator("seeds", mode="before")
    @classmethod
    def _counted(cls, value: Any) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            return value
        if value < 1:
            raise ValueError(f"expected at least 1 seed, got {value}")
        if value > MOST_SEEDS:
            raise ValueError(f"expected at most {MOST_SEEDS:,} seeds, got {value}; a list names those that you mean")
        return tuple(range(1, value + 1))

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"expected different seeds, got {list(value)}")
        return value

    @property
    def backdoors(self) -> tuple[BackdoorSpec, ...]:
        """All of them; the first is the one that ``results.asr`` speaks of."""
        return () if self.backdoor is None else (self.backdoor, *self.more_backdoors)

    @property
    def mode(self) -> Mode:
        """The first backdoor's mode; all of one set share it."""
        return self.backdoor.poison.mode if self.backdoor else "replace"

    @model_validator(mode="after")
    def _one_mode(self) -> Spec:
        if len({b.poison.mode for b in self.backdoors}) > 1:
            raise ValueError("expected one poison mode for all backdoors of a set, got both replace and add")
        if self.more_backdoors and self.backdoor is None:
            raise ValueError("expected 'backdoor' before 'more_backdoors'")
        for b in self.backdoors:
            if b.perturb is not None and (b.rule.kind != "clean-label" or len(self.backdoors) > 1):
                raise ValueError("expected 'perturb' with a single clean-label rule")
            if b.perturb is not None and b.perturb.adversarial is not None and self.devices > 1:
                raise ValueError(f"expected one device to train an adversarial surrogate with, got {self.devices}")
            if b.perturb is not None and b.poison.mode != "replace":
                raise ValueError("expected poison mode 'replace' with 'perturb', got 'add'")
        return self

    def to_json(self) -> JSON:
        """Every default filled in."""
        return self.model_dump(mode="json")


class SpecFile(_Strict):
    """The path and table of a spec as the user gave it."""

    given: JSON
    spec: Spec


def read_spec(path: Path, changes: Sequence[str] | None = None) -> SpecFile:
    """Read a TOML spec and apply ``--set key=value`` changes; all errors are ``BadInput``."""
    table = read_toml(path, "a spec", "see runs/ for examples")
    return spec_file({"name": run_name(path.stem), **table}, changes, where=str(path))


def spec_file(given: JSON, changes: Sequence[str] | None = None, *, where: str = "the spec") -> SpecFile:
    """A spec with what was given for it, ``--set`` changes included."""
    table = changed_table(given, changes, where)
    return SpecFile(given=table, spec=make_spec(table, where=where))


def make_spec(given: JSON, changes: Sequence[str] | None = None, *, where: str = "the spec") -> Spec:
    """A checked spec from a table and ``--set`` changes."""
    return _checked(Spec, changed_table(given, changes, where), where)


def recorded_spec(table: JSON, where: Path) -> Spec:
    """The spec of a run from its record, which may have been edited."""
    return _checked(Spec, table, f"the resolved spec in {where}")


def make_data(name: str, changes: Sequence[str] | None = None) -> DataSpec:
    """A checked data table from a name or path and ``--set`` changes."""
    return _checked(DataSpec, changed_table({"name": name}, changes, "the data"), "the data", below="data")


def make_trigger(kind: str, changes: Sequence[str] | None = None) -> Trigger:
    """A checked trigger from its kind and ``--set`` changes."""
    return TRIGGERS.from_json(changed_table({"kind": kind}, changes, "the trigger"))


def _checked(kind: type[M], table: JSON, where: str, *, below: str = "") -> M:
    """The value of ``table``, which stands at ``below`` in a whole spec."""
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        whole = {below: table} if below else table
        raise BadInput(f"{where}: {explain(error, Spec.model_json_schema, whole, below=below)}") from None


def shipped_spec(name: str) -> Path:
    """The TOML file of a spec that comes with the package: in ``runs/`` of a checkout, in ``badnets/runs`` of an
    installed wheel."""
    package = Path(__file__).resolve().parents[1]
    found = [path for folder in (package, package.parents[1]) for path in (folder / "runs").glob("*.toml")]
    paths = [path for path in found if path.stem not in NO_SPECS]
    for path in paths:
        if path.stem == name:
            return path
    raise BadInput(f"expected a spec of this package, got {name!r}; {nearest(name, [path.stem for path in paths])}")


DEMO = ("seeds=1", 'name="demo"', "recipe.epochs=3")
"""What ``badnets demo`` changes of the spec: it is to end in two minutes, on a processor without bfloat16 too."""


def demo_spec(*changes: str) -> SpecFile:
    """The experiment of ``badnets demo``."""
    return read_spec(shipped_spec("signs-sticker"), [*DEMO, *changes])


def run_name(text: str) -> str:
    """``text`` as the name of a run's folder: what a name can't hold becomes a hyphen."""
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    return kept[:80] or "run"


def changed_table(given: JSON, changes: Sequence[str] | None, where: str) -> JSON:
    """A copy of ``given`` with the changes made: ``dotted.key=value`` with TOML values (bare words are strings)."""
    try:
        check_depth(given, where)
        table: JSON = json.loads(json.dumps(given))
    except TypeError as error:  # TOML has dates and times
        raise BadInput(f"{where}: expected texts, numbers, lists and tables, got another value ({error})") from None
    for change in changes or ():
        _set(table, change)
    return table


def _set(table: JSON, change: str) -> None:
    key, separator, text = change.partition("=")
    if not separator or not key.strip():
        raise BadInput(f"expected --set key=value, got {brief(change, VALUE)!r}; for example --set recipe.epochs=3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # no TOML, a number of thousands of digits, brackets without end
        value = text
    check_depth(value, f"--set {brief(key, VALUE)}")
    *path, last = key.strip().split(".")
    if len(path) >= DEEPEST:
        raise BadInput(f"expected at most {DEEPEST} names in --set, got {len(path) + 1} in {brief(key, VALUE)}")
    place: Any = table
    for name in path:  # a table or list of that name is made where there is none
        at = _place_of(name, place, key)
        inside = place[at] if isinstance(place, list) else place.get(at)
        if isinstance(inside, str):  # a short form, as in trigger = "pattern": make room for a setting beside it
            inside = _long_form(name, inside)
        place[at] = inside if isinstance(inside, dict | list) else {}
        place = place[at]
    place[_place_of(last, place, key)] = value


def _place_of(name: str, place: JSON | list[Any], key: str) -> Any:
    """A key of a table as it is, of a list as a number."""
    if not isinstance(place, list):
        return name
    if not name.isdigit() or int(name) >= len(place):
        raise BadInput(f"expected --set {key} to name one of {len(place)} entries (0 is the first), got {name!r}")
    return int(name)


def _long_form(name: str, word: str) -> JSON:
    if name == "place":
        return dict(TypeAdapter(Place).dump_python(TypeAdapter(Place).validate_python(word)))
    return {"name" if name == "data" else "kind": word}
