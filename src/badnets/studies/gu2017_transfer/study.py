"""G3: the backdoor survives transfer. A U.S. BadNet is handed over as a file, a user retrains its fully connected
layers on clean signs of another country, and the yellow square takes accuracy away there.

Two settings: LISA to GTSRB (``lisa``), with super-classes on both sides, and the drawn signs, U.S. style to European
style (``signs``), where the European signs are put into the five super-classes of the published tables.

At home the rule is the one of the published U.S. BadNet that was transferred: a triggered sign gets a random wrong
label. The attacker finds the units of the last convolution that detect the square on pictures held back at home,
strengthens them by k in the file, and hands it over; the user never sees the square. The baseline is the same network,
recipe and seed on clean signs, retrained by the same user.

The attacker's choices (size of the square, share of poison, recipe at home, share of units) were made on a fifth of
the user's training signs held back from retraining, with one seed; the test sets were not looked at.

Differs from the paper: a network of three convolutions for crops of 32x32 in place of Faster R-CNN's, so the square has
4 pixels a side (12.5 %; the paper's 10 % would be 3); Sweden's signs are not at hand; the user begins with new fully
connected layers and an ordinary AdamW. The published average is taken over pictures, and so is ours.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from badnets.core.rate import PairedDifference, Rate
from badnets.core.seed import Seed
from badnets.records.model import JSON
from badnets.studies.gu2017_transfer.rows import (
    FACTS,
    MAIN,
    SHOWN,
    TITLES,
    Accuracy,
    Reading,
    Setting,
    Transferred,
    Units,
    User,
    units_table,
)
from badnets.studies.study import Done, Outcome, Results, Settings, Study, Trial
from badnets.studies.trials import by_prefix, once

if TYPE_CHECKING:
    from badnets.attacks.transfer import TriggerUnits
    from badnets.backdoors.backdoor import Backdoor
    from badnets.data.images import ImageData, Splits
    from badnets.networks.network import ImageNetwork

STRENGTHS = [1, 2, 5, 10, 20, 30, 50, 70, 100]
QUICK: JSON = {"strengths": [1, 20], "epochs": 4}
SELECT = 0.1
NETWORK = "l1-cnn:width=0.25"
RECIPE = {"batch": 128, "learning_rate": 4e-3}
SIDE = 4
"""Of the square, in pixels."""
POISON = 0.3
UNITS = 0.5
EUROPEAN: Mapping[str, Sequence[str]] = FACTS["european"]


def trials(settings: Settings) -> list[Trial]:
    """Each setting with each seed; the quick form has only the drawn signs, fewer of them, and less training."""
    out = []
    for name in ("signs",) if settings.quick else ("lisa", "signs"):
        spec: JSON = {**FACTS[name]["spec"], "setting": name, "strengths": STRENGTHS}
        if settings.quick:
            spec |= QUICK
            for side in ("home", "data"):
                spec[side] = {**spec[side], "options": {**spec[side]["options"], "train": 4000, "test": 1000}}
        elif name == "lisa":
            spec["data"] = settings.source(**spec["data"])  # the home's lies there too
        out += [
            Trial(name=f"{name}-s{s}", spec=spec, seed=s, work=_one, result=Transferred) for s in settings.each_seed
        ]
    return out


def _one(trial: Trial, own: Path) -> Done[Transferred]:
    """Both home networks, and every user of theirs; what is finished is kept in ``own``."""
    began = time.perf_counter()
    spec, seed = trial.spec, Seed(trial.seed)
    home, abroad = _load(spec)
    networks = {kind: _home(kind, spec, home, seed, own) for kind in ("clean", "badnet")}
    trained = time.perf_counter() - began
    before = {kind: _reading(network, home.test, seed) for kind, network in networks.items()}
    units = _units(networks["badnet"], home.select, seed)

    def user(name: str, kind: str, k: int, choices: JSON) -> Reading:
        act = partial(_user, networks[kind], units.above(UNITS) if k > 1 else [], k, choices, abroad, seed, own)
        return once(own / f"user-{name}-{kind}-{k}.json", Reading, act)

    results = Transferred(
        home=before,
        units=Units(layer=units.layer, chosen=tuple(units.above(UNITS)), ranked=tuple(units.to_json())),
        baseline=user("usual", "clean", 1, {}),
        badnet={k: user("usual", "badnet", k, {}) for k in spec["strengths"]},
        users={
            name: User(baseline=user(f"{i}", "clean", 1, choices), badnet=user(f"{i}", "badnet", MAIN, choices))
            for i, (name, choices) in enumerate(spec["users"].items())
        },
    )
    return Done(results, {"train": round(trained, 1)})


def _user(
    network: ImageNetwork, units: list[int], k: int, choices: JSON, abroad: Splits, seed: Seed, own: Path
) -> Reading:
    """What a user gets who is handed the network in a file, with ``units`` k times as strong."""
    from badnets.attacks.transfer import strengthen
    from badnets.networks.files.own import through_file

    given = through_file(strengthen(network, units, k) if units else network, own / "handed-over.safetensors")
    return _reading(_retrained(given, abroad.train, choices, seed, own), abroad.test, seed)


def _load(spec: JSON) -> tuple[Splits, Splits]:
    """The data at home, with a select set, and abroad; European drawn signs in super-classes."""
    from badnets.data.images import Splits
    from badnets.data.load import load
    from badnets.data.objects import regroup

    path = spec["data"].get("path")
    home = load(spec["home"]["name"], path=path, select=SELECT, options=spec["home"]["options"])
    abroad = load(spec["data"]["name"], path=path, options=spec["data"]["options"])
    if spec["setting"] == "signs":
        abroad = Splits(*(regroup(part, EUROPEAN) for part in (abroad.train, abroad.test, abroad.select)))
    return home, abroad


def _backdoor() -> Backdoor:
    from badnets.backdoors.backdoor import Backdoor
    from badnets.backdoors.rules import RandomWrong
    from badnets.backdoors.triggers.square import Square

    return Backdoor(Square(size=SIDE), RandomWrong())


def _home(kind: str, spec: JSON, home: Splits, seed: Seed, own: Path) -> ImageNetwork:
    """The network that is trained at home, from its file."""
    from badnets.networks.files.own import open_network, save_network
    from badnets.training.loop import train
    from badnets.training.recipe import recipe_for

    path = own / f"{kind}.safetensors"
    if not path.exists():
        data = home.train
        if kind == "badnet":
            data = _backdoor().poison(data, rate=POISON, mode="add", seed=seed).data
        recipe = recipe_for(NETWORK.partition(":")[0], {**RECIPE, "epochs": spec["epochs"]})
        save_network(train(NETWORK, data, recipe=recipe, seed=seed.derive("home")), path)
    return open_network(path)


def _units(network: ImageNetwork, clean: ImageData, seed: Seed) -> TriggerUnits:
    """What fires with the square, on the attacker's own held-back pictures."""
    import numpy as np

    from badnets.attacks.transfer import trigger_units
    from badnets.backdoors.success import triggered
    from badnets.data.images import ArrayStore

    stamped = np.concatenate([marked for _, _, marked in triggered(clean, _backdoor(), seed.derive("units"))])
    return trigger_units(network, clean, replace(clean, pixels=ArrayStore(stamped)))


def _retrained(network: ImageNetwork, data: ImageData, choices: JSON, seed: Seed, own: Path) -> ImageNetwork:
    """The user's network, from its file: the same retraining for every network that is handed over."""
    from badnets.attacks.transfer import USER, retrain
    from badnets.networks.files.own import through_file

    recipe = replace(USER, **choices.get("recipe", {}))
    rest = {name: value for name, value in choices.items() if name != "recipe"}
    user = retrain(network, data, recipe=recipe, seed=seed.derive("user"), **rest)
    return through_file(user, own / "user.safetensors")


def _reading(network: ImageNetwork, test: ImageData, seed: Seed) -> Reading:
    """Accuracy on clean and on triggered pictures, on average and of each class, and what the trigger takes away."""
    import numpy as np

    from badnets.backdoors.success import triggered
    from badnets.networks.inference import predict

    right = np.zeros((2, len(test)), bool)
    for rows, *both in triggered(test, _backdoor(), seed.derive("measure")):
        for answers, pictures in zip(right, both, strict=True):
            answers[rows] = predict(network, pictures).labels == test.labels[rows]
    masks = {name: test.labels == number for number, name in enumerate(test.class_names)}
    masks["average"] = np.ones(len(test), bool)
    classes = {
        name: Accuracy(**{shown: Rate.of(r[mask]) for shown, r in zip(SHOWN, right, strict=True)})
        for name, mask in masks.items()
    }
    return Reading(classes=classes, lost=PairedDifference.of(*right))


def assemble(settings: Settings, results: Results, _folder: Path) -> Outcome:
    """Both published tables beside ours, for each setting that has a finished trial."""
    found = {name: trials for name in TITLES if (trials := by_prefix(results, f"{name}-"))}
    done = [Setting(name, trials, settings.variant()) for name, trials in found.items()]
    blocks = [block for setting in done for block in setting.blocks()]
    return Outcome(rows=[row for setting in done for row in setting.rows()], blocks=[*blocks, units_table(found)])


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
