"""Clean networks of the same kind as one at hand: what an audit compares it with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from pydantic import TypeAdapter

from badnets.audits.teaching import fresh
from badnets.core.cache import cache_dir
from badnets.core.errors import BadInput, CannotTell
from badnets.core.files import digest, file_digest, read_json, write_json
from badnets.core.progress import Watcher
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.core.text import percent
from badnets.data.images import Boxes, ImageData
from badnets.engines.engine import Start
from badnets.engines.on import On
from badnets.engines.work import each, handed, received
from badnets.measures.classification import accuracy
from badnets.networks.device import find_device, own_stream
from badnets.networks.files.foreign import ForeignOptions, open_any, says_itself
from badnets.networks.files.own import save_network
from badnets.networks.inference import align_classes, predict_data
from badnets.networks.network import ImageNetwork
from badnets.networks.surgery.objects import as_classifier, as_labelled
from badnets.records.model import JSON
from badnets.referee.case import data_for
from badnets.referee.spec import changed_table, make_data
from badnets.training.loop import Job, fit
from badnets.training.recipe import Recipe, recipe_for

VERSION = 1
WORSE = 0.02
"""Accuracy that a reference may be below the network that it is like."""
ENDINGS = frozenset({".safetensors", ".pt", ".pth", ".h5", ".keras", ".onnx", ".th", ".ckpt", ".bin"})
LONGER = 2
"""How often the number of epochs is doubled where references are not accurate enough."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A finished reference: its file, accuracy on the test pictures, and whether it is as accurate as the network that
    it is like."""

    path: Path
    accuracy: Rate
    accurate: bool


@dataclass(frozen=True, kw_only=True)
class References:
    """Those in ``folder``: the accurate ones, and how many were refused; ``recipe`` is what they were trained by."""

    folder: Path
    made: tuple[Made, ...]
    refused: int
    recipe: Recipe
    like: Rate


@dataclass(frozen=True)
class _Task:
    """One reference; ``given`` is the file with the network that all are like, the data, the recipe and the seed."""

    number: int
    path: Path
    given: Path


def train_references(
    network: ImageNetwork,
    train: ImageData,
    test: ImageData,
    count: int,
    *,
    folder: Path | None = None,
    recipe: JSON | None = None,
    seed: int = 1,
    start: Start | None = None,
    watcher: Watcher | None = None,
) -> References:
    """``count`` networks like ``network``, with new weights, trained on ``train`` and measured on ``test``, by the
    engine that ``start`` gives (default: processes of this machine).

    The recipe is the one in the file's header, else the architecture's own, with the changes of ``recipe``. Where the
    first references are less accurate than the network by more than ``WORSE``, epochs are doubled, up to ``LONGER``
    times. Each is a file in ``folder`` (default: one in the cache, named after all that they depend on); those that are
    there are not trained again. Raises ``CannotTell`` where none becomes as accurate as the network, and ``BadInput``
    for a folder with references of another network, data, recipe or seed.
    """
    watch = watcher or Watcher()
    chosen = _recipe(network, recipe)
    test = as_labelled(test)
    like = _accuracy(network, test)
    bare = network.with_body(network.body, provenance={})
    kind = _kind(network, train, chosen, seed)
    for doubled in range(_doubled(folder, kind, chosen), LONGER + 1):
        now = replace(chosen, epochs=chosen.epochs * 2**doubled)
        place = folder or default_folder(network, train, now, seed)
        task = partial(_trained, bare, train, test, now, seed, kind, folder=place, start=start, watch=watch, like=like)
        first = task(min(2, count))
        if any(one.accurate for one in first) or doubled == LONGER:
            return _finished(task(count), place, now, like)
        best = max(first, key=lambda one: float(one.accuracy))
        watch.say(
            f"references reach {percent(best.accuracy.value)} %, the network has {percent(like.value)} %: training "
            f"twice as long ({2 * now.epochs} epochs)"
        )
    raise AssertionError("the last try returns")


def _doubled(folder: Path | None, kind: str, recipe: Recipe) -> int:
    """How often the epochs of the references in ``folder`` were doubled."""
    said = [] if folder is None else [_said(path) for path in folder.glob("reference-*.json")]
    others = [one for one in said if one.get("kind", kind) != kind]
    if others:
        raise BadInput(
            f"expected in {folder} references of this network, data, recipe and seed, got others; "
            "choose another folder (--out)"
        )
    epochs = max([int(one.get("epochs", recipe.epochs)) for one in said], default=recipe.epochs)
    return max(0, round(math.log2(epochs / recipe.epochs)))


def _finished(made: list[Made], folder: Path, recipe: Recipe, like: Rate) -> References:
    for one in made:
        told = one.path.with_suffix(".json")
        if (said := _said(told)).get("accurate", True) != one.accurate:
            write_json(told, {**said, "accurate": one.accurate})
    good = tuple(one for one in made if one.accurate)
    if not good:
        best = max(made, key=lambda one: float(one.accuracy))
        raise CannotTell(
            f"no reference is as accurate as the network ({percent(like.value)} %): the best has "
            f"{percent(best.accuracy.value)} %; change the recipe (--set recipe.epochs=20) or bring the data that the "
            "network was trained on"
        )
    return References(folder=folder, made=good, refused=len(made) - len(good), recipe=recipe, like=like)


def default_folder(network: ImageNetwork, train: ImageData, recipe: Recipe, seed: int) -> Path:
    """Where references of this kind are kept."""
    name = f"{network.architecture.split(':')[-1][:40]}-{_kind(network, train, recipe, seed)[:16]}"
    return cache_dir() / "clean-networks" / "".join(c if c.isalnum() or c in "-." else "-" for c in name)


def _kind(network: ImageNetwork, train: ImageData, recipe: Recipe, seed: int) -> str:
    """A digest of all that a reference depends on."""
    key = {
        "version": VERSION,
        "network": {k: v for k, v in network.description.items() if k != "provenance"},
        "shapes": {name: list(value.shape) for name, value in network.body.state_dict().items()},
        "data": train.digest,
        "recipe": TypeAdapter(Recipe).dump_python(recipe, mode="json"),
        "seed": seed,
    }
    return digest(key)


def _recipe(network: ImageNetwork, changes: JSON | None) -> Recipe:
    told = network.provenance.get("recipe")
    base = TypeAdapter(Recipe).validate_python(told) if isinstance(told, dict) else recipe_for(network.architecture)
    if not changes:
        return base
    from pydantic import ValidationError

    from badnets.core.validation import explain

    adapter = TypeAdapter(Recipe)
    try:
        return adapter.validate_python({**adapter.dump_python(base), **changes})
    except ValidationError as error:
        raise BadInput(f"the recipe: {explain(error, adapter.json_schema, changes)}") from None


def _trained(
    network: ImageNetwork,
    train: ImageData,
    test: ImageData,
    recipe: Recipe,
    seed: int,
    kind: str,
    count: int,
    *,
    folder: Path,
    start: Start | None,
    watch: Watcher,
    like: Rate,
) -> list[Made]:
    """The first ``count``, by number; what is there is read."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {number: folder / f"reference-{number:03d}.safetensors" for number in range(1, count + 1)}
    rates = {number: rate for number, path in paths.items() if (rate := _known(path, recipe)) is not None}
    watch.progress("training references", len(rates), count, None)
    if len(rates) < count:
        with handed(folder.resolve(), network.to("cpu"), train, test, recipe, Seed(seed), kind) as given:
            todo = [_Task(number, path.resolve(), given) for number, path in paths.items() if number not in rates]
            for task, rate in each(start or On(), _train, todo, folder=folder):
                rates[task.number] = rate
                watch.progress("training references", len(rates), count, rate.value)
    return [
        Made(path=path, accuracy=rates[number], accurate=_as_accurate(rates[number], like))
        for number, path in paths.items()
    ]


def _as_accurate(rate: Rate, like: Rate) -> bool:
    return float(rate) >= float(like) - WORSE or rate.ends[1] >= like.ends[0]


def _accuracy(network: ImageNetwork, test: ImageData) -> Rate:
    """Of a detector that of the classes that it gives to the objects cut out of the test pictures."""
    return accuracy(predict_data(as_classifier(network), test).labels, test.labels)


def _said(told: Path) -> JSON:
    """What is written beside a reference; nothing where that is missing or damaged."""
    try:
        value = read_json(told)
    except (BadInput, OSError):
        return {}
    return value if isinstance(value, dict) else {}


def _known(path: Path, recipe: Recipe) -> Rate | None:
    """The accuracy of a finished reference; None where it is missing, another file or trained for other epochs."""
    said = _said(path.with_suffix(".json"))
    try:
        same = said["sha256"] == file_digest(path) and said.get("epochs", recipe.epochs) == recipe.epochs
        return Rate.from_json(said["accuracy"]) if same else None
    except (OSError, KeyError, TypeError):
        return None


def _train(task: _Task) -> Rate:
    """One reference, in a process of its own; its file appears whole, what is said of it last."""
    like, train, test, recipe, all_of_them, kind = received(task.given)
    seed = all_of_them.derive("reference", task.number)
    generator = torch.Generator().manual_seed(seed.derive("fresh").integer)
    with own_stream(seed.derive("weights").integer, torch.device("cpu")):
        network = like.with_body(fresh(like.body, generator)).to(find_device())
    network.requires_grad_(requires_grad=True)
    fit(network, Job(data=train, recipe=recipe, seed=seed.derive("train")))
    rate = _accuracy(network, test)
    network.provenance = {"made_by": "badnets", "role": "clean reference", "data": train.name}
    save_network(network, task.path)
    said = {"accuracy": rate.to_json(), "sha256": file_digest(task.path), "kind": kind, "epochs": recipe.epochs}
    write_json(task.path.with_suffix(".json"), said)
    return rate


def network_files(folder: Path) -> list[Path]:
    """All network files in a folder, by name, but references that were refused."""
    files = (path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and not path.name.startswith("."))
    return sorted(path for path in files if _said(path.with_suffix(".json")).get("accurate") is not False)


def references_like(
    like: Path,
    data: str,
    count: int,
    *,
    folder: Path | None = None,
    recipe: Sequence[str] = (),
    settings: Sequence[str] = (),
    foreign: ForeignOptions | None = None,
    start: Start | None = None,
    seed: int = 1,
    watcher: Watcher | None = None,
) -> References:
    """``count`` clean networks of the kind of the network in the file ``like``, trained on the training part of
    ``data`` and measured on its test part; see ``train_references``."""
    watch = watcher or Watcher()
    ours = open_any(like, foreign) if says_itself(like) else None
    _, splits = data_for(ours, make_data(data, tuple(settings)), watch)
    network = ours or open_any(like, foreign, clean=splits.train)
    check_task(network, splits.test)
    train, test = (align_classes(part, network) for part in (splits.train, splits.test))
    changes = changed_table({}, list(recipe), "the recipe")
    return train_references(
        network, train, test, count, folder=folder, recipe=changes, seed=seed, start=start, watcher=watch
    )


def check_task(network: ImageNetwork, data: ImageData) -> None:
    """Refuse pictures with boxes for a classifier, and pictures without for a detector."""
    boxed = isinstance(data.targets, Boxes)
    if boxed and network.task != "detect":
        raise BadInput(f"expected pictures with a class each for {network.architecture}, got pictures with boxes")
    if not boxed and network.task == "detect":
        raise BadInput(f"expected pictures with boxes for the detector {network.architecture}, got a class for each")
