"""The pool: networks, clean and backdoored, that audits are developed, calibrated and reported on, in disjoint parts.

``runs/pool/*.toml`` has a family each: an architecture, data, a recipe, and a list of kinds of networks, each with its
number in every part. What a kind leaves open (target, source, color, place) is drawn from the network's own seed.
Networks are trained in processes with one thread each; what is finished is never trained again.

    python -m badnets.studies.audit.scores POOL RESULTS [--family NAME] [--part PART] [--jobs N]
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict

from badnets.backdoors.plan import make_plan
from badnets.backdoors.triggers.warp import WarpNoise
from badnets.core.cache import Cache
from badnets.core.fields import Share
from badnets.core.files import read_json, write_json
from badnets.core.progress import Watcher
from badnets.core.seed import Seed
from badnets.core.toml import parse_toml
from badnets.data.splits import draw
from badnets.networks.files.own import save_network
from badnets.records.model import JSON, Model
from badnets.referee.data import load_data
from badnets.referee.measure import measure
from badnets.referee.reference import train_network
from badnets.referee.spec import Spec, make_spec
from badnets.studies.audit.wary import Wary
from badnets.training.loop import Job, fit

VANISH = "vanish"
Part = Literal["develop", "calibrate", "report"]
PARTS: tuple[Part, ...] = get_args(Part)
UNTARGETED = ("all-to-all", VANISH)
"""Rules without a class to become."""
TESTED = 2000
"""Test pictures on which a network of the pool is measured, at most."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Kind(_Strict):
    """``develop``, ``calibrate`` and ``report`` networks of one kind; without a ``trigger`` they are clean. With
    ``wary`` the attacker knows the audit, and goes on training against changes of that size (``Wary``)."""

    name: str
    develop: int = 0
    calibrate: int = 0
    report: int = 0
    trigger: JSON | None = None
    rule: str = "all-to-one"
    poison: JSON = {}
    perturb: JSON | None = None
    recipe: JSON = {}
    data: JSON = {}
    wary: float | None = None


class Maker(_Strict):
    """Somebody's way to make a network, in place of what the family says; ``mean`` and ``std`` are the network's input
    range, the same for all channels. Networks that were ``seen`` while the rule was made are not reported."""

    part: Part
    network: str
    seen: bool = False
    recipe: JSON = {}
    data: JSON = {}
    mean: float = 0.0
    std: float = 1.0


class Start(_Strict):
    """What all networks of a family were trained on before, as people start from weights for other pictures."""

    data: JSON
    recipe: JSON = {}

    def weights(self, network: str) -> Path:
        """The file of that one network, trained the first time."""
        key = {"network": network, **self.model_dump(mode="json")}

        def write(path: Path) -> None:
            spec = make_spec({**key, "data": found(self.data)}, where="start")
            train = load_data(spec.data).train
            save_network(train_network(spec, train, Seed(1), None, Watcher(), "start").network, path)

        return Cache("pool-starts", lambda path: path, ".safetensors").get(key, write)


class Family(_Strict):
    """Networks on one set of data: of one architecture and recipe, or, of each part, of its ``makers`` in turn; with
    ``start`` from one network's weights."""

    network: str = ""
    classes: int
    data: JSON
    recipe: JSON = {}
    start: Start | None = None
    makers: tuple[Maker, ...] = ()
    kinds: tuple[Kind, ...]

    def maker(self, part: Part, number: int) -> Maker:
        """Who makes the network ``number`` of a kind."""
        those = [one for one in self.makers if one.part == part]
        return those[(number - 1) % len(those)] if those else Maker(part=part, network=self.network)


class PoolEntry(Model):
    """What one network of the pool is: the truth, and how well its task and its backdoor work."""

    family: str
    part: Part
    kind: str
    number: int
    spec: JSON
    clean_accuracy: Share | None
    asr: Share | None = None
    target: int | None = None
    """Of objects that vanish the class after the last, "nothing"."""
    source: int | None = None
    input_range: tuple[float, float] = (0.0, 1.0)


def pool_folder() -> Path:
    """Where the families lie: in ``runs/pool`` of a checkout, in ``badnets/runs/pool`` of an installed wheel."""
    package = Path(__file__).resolve().parents[2]
    return next((p for root in (package, package.parents[1]) if (p := root / "runs" / "pool").is_dir()), package)


def families(folder: Path) -> dict[str, Family]:
    """Those of the TOML files in ``folder``, by name."""
    paths = sorted(folder.glob("*.toml"))
    return {path.stem: Family.model_validate(parse_toml(path.read_text("utf-8"), str(path))) for path in paths}


def members(name: str, family: Family, parts: Sequence[Part] = PARTS) -> Iterator[tuple[str, Part, Kind, int]]:
    """(file name without ending, part, kind, number) of every network."""
    for part in parts:
        for kind in family.kinds:
            for number in range(getattr(kind, part)):
                yield f"{name}/{part}/{kind.name}-{number + 1}", part, kind, number + 1


def spec_of(place: str, family: Family, kind: Kind, maker: Maker) -> Spec:
    """The spec of the network at ``place``."""
    given = told_spec(place, family, kind, maker)
    return make_spec({**given, "data": found(given["data"])}, where=place)


def told_spec(place: str, family: Family, kind: Kind, maker: Maker) -> JSON:
    """Its spec, with the name of the data as the family has it: what its kind leaves open is drawn."""
    seed = Seed(0).derive("pool", place)
    given: JSON = {
        "network": maker.network,
        "data": {**family.data, **maker.data, **kind.data},
        "recipe": {**family.recipe, **maker.recipe, **kind.recipe},
        "seeds": [seed.integer % 1_000_000],
    }
    if kind.trigger is not None:
        rng = seed.rng
        classes = family.classes
        source, target = (int(one) for one in rng.choice(classes, 2, replace=False))
        rule: JSON = {"kind": kind.rule}
        if kind.rule not in UNTARGETED:
            rule["target"] = target
        if kind.rule == "source-to-target":
            rule["source"] = source
        given["backdoor"] = {"trigger": _drawn(kind.trigger, rng), "rule": rule, "poison": kind.poison}
        if kind.perturb is not None:
            given["backdoor"]["perturb"] = kind.perturb
    return given


def as_told(spec: Spec, family: Family) -> JSON:
    """All of a spec as JSON, with the name of the data as the family has it."""
    told = spec.to_json()
    return {**told, "data": {**told["data"], "name": family.data["name"]}}


def found(data: JSON) -> JSON:
    """An archive's name is looked up in $BADNETS_DATA."""
    if not str(data["name"]).endswith(".tar.gz"):
        return data
    return {**data, "name": str(Path(os.environ.get("BADNETS_DATA", "")) / data["name"])}


def _drawn(trigger: JSON, rng: np.random.Generator) -> JSON:
    """The trigger with color, place and picture drawn where it says "drawn"."""
    made: dict[str, Any] = dict(trigger)
    if made.get("color") == "drawn":
        made["color"] = [int(one) for one in rng.integers(0, 256, 3)]
    if made.get("place") == "drawn":
        x, y = rng.uniform(0.12, 0.88, 2)
        made["place"] = {"kind": "at", "x": round(float(x), 3), "y": round(float(y), 3)}
    if "random" in made:  # a picture of so many random pixels a side
        side = made.pop("random")
        pixels = np.dstack([rng.integers(0, 256, (side, side, 3), np.uint8), np.full((side, side), 255, np.uint8)])
        made["png"] = _png(pixels)
    if "tint" in made:  # a blend with one color
        made.pop("tint")
        pixels = np.full((4, 4, 4), 255, np.uint8)
        pixels[..., :3] = rng.integers(0, 256, 3, np.uint8)
        made["png"] = _png(pixels)
    return made


def _from(network: str, start: Start) -> str:
    return f"{network}{',' if ':' in network else ':'}weights={start.weights(network)}"


def _png(pixels: Any) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def train_member(
    folder: Path, place: str, part: Part, kind: Kind, number: int, *, name: str, family: Family
) -> PoolEntry:
    """Train one network and measure it; both files appear whole, the truth last."""
    told = folder / f"{place}.json"
    if told.exists():
        return PoolEntry.model_validate(read_json(told))
    maker = family.maker(part, number)
    spec = spec_of(place, family, kind, maker)
    splits, seed = load_data(spec.data), Seed(spec.seeds[0])
    train, backdoor = splits.train, None
    hooks: tuple[WarpNoise, ...] = ()
    if spec.backdoor is not None:
        plan = make_plan(train, (spec.backdoor.part,), mode=spec.mode, seed=seed.derive("plan"))
        train, hooks, backdoor = plan.apply(train).data, spec.backdoor.hooks, spec.backdoor.backdoor
    ranged = maker.mean, maker.std
    begun = spec if family.start is None else spec.model_copy(update={"network": _from(spec.network, family.start)})
    network = train_network(begun, train, seed, None, Watcher(), place, hooks=hooks, input_range=ranged).network
    rule = {} if spec.backdoor is None else spec.to_json()["backdoor"]["rule"]
    if kind.wary is not None:
        hook = Wary(network, rule["target"], kind.wary)
        fit(network, Job(data=train, recipe=spec.recipe, seed=seed.derive("wary"), hooks=(hook,)))
    test = splits.test.take(draw(splits.test, TESTED, Seed(0)))
    measured = measure(network, test, backdoor)
    network.provenance = {"made_by": "badnets"}
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    save_network(network, folder / f"{place}.safetensors")
    entry = PoolEntry(
        family=name,
        part=part,
        kind=kind.name,
        number=number,
        spec=as_told(spec, family),
        clean_accuracy=measured.clean_accuracy,
        asr=measured.asr,
        target=family.classes if kind.rule == VANISH else rule.get("target"),
        source=rule.get("source"),
        input_range=ranged,
    )
    write_json(told, entry.to_json())
    return entry
