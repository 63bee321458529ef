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

import numpy as np

from badnets.attacks.transfer import USER, TriggerUnits, retrain, strengthen, trigger_units
from badnets.backdoors.backdoor import Backdoor, triggered
from badnets.backdoors.rules import RandomWrong
from badnets.backdoors.triggers.square import Square
from badnets.core.fields import Difference, Share
from badnets.core.rate import Contrast, Interval, Number, PairedDifference, Rate
from badnets.core.seed import Seed
from badnets.data.images import ArrayStore, ImageData, Splits
from badnets.data.load import load
from badnets.data.objects import regroup
from badnets.networks.files.own import open_network, save_network, through_file
from badnets.networks.inference import predict
from badnets.networks.network import ImageNetwork
from badnets.records.blocks import Curve, Line, Series, Table
from badnets.records.model import JSON, Model
from badnets.records.study import StudyRow, Variant
from badnets.studies.figures import Bound, figure_table, row, seed_mean, value_at
from badnets.studies.study import Done, Outcome, Results, Settings, Study, Trial, Trials, by_prefix, facts
from badnets.studies.trials import once
from badnets.training.loop import train
from badnets.training.recipe import recipe_for

FACTS = facts(__package__)
PAPER: str = FACTS["paper"]
MAIN = 20
"""The strength that is judged; fixed beforehand, or the best of several would be chosen on the test set."""
BASELINE: Mapping[str, Sequence[float]] = FACTS["baseline"]
BADNET: Mapping[str, Sequence[float]] = FACTS["badnet"]
"""The first published table: accuracy on clean and on triggered signs."""
STRENGTHENED: Mapping[int, Sequence[float]] = {int(k): both for k, both in FACTS["strengthened"].items()}
"""The second: the average for each strength k."""
DROPS = {k: clean - triggered for k, (clean, triggered) in STRENGTHENED.items()}
BASE_DROP = BASELINE["average"][0] - BASELINE["average"][1]
"""What the square takes away, as published."""
STRENGTHS = [1, 2, 5, 10, 20, 30, 50, 70, 100]
QUICK: JSON = {"strengths": [1, 20], "epochs": 4}
SELECT = 0.1
NETWORK = "l1-cnn:width=0.25"
RECIPE = {"batch": 128, "learning_rate": 4e-3}
POISON = 0.3
UNITS = 0.5
EUROPEAN: Mapping[str, Sequence[str]] = FACTS["european"]
BACKDOOR = Backdoor(Square(size=4), RandomWrong())
SHOWN = ("clean", "triggered")
CLEAN, FIRST = "clean home network", "BadNet, k = 1"
FIRST_TABLE = {CLEAN: (BASELINE, "baseline"), FIRST: (BADNET, "badnet.1")}
"""The networks of the first published table: what was published, and where ours is in a trial's results."""


class Accuracy(Model):
    """Of one class, or on average."""

    clean: Share
    triggered: Share


class Reading(Model):
    """How well a network reads the signs of each class and on ``average``, and what the square takes away."""

    classes: dict[str, Accuracy]
    lost: Difference


class Units(Model):
    """Which units of ``layer`` were strengthened, and those that fire most with the square."""

    layer: str
    chosen: tuple[int, ...]
    ranked: tuple[JSON, ...]


class User(Model):
    """What one user gets of both home networks."""

    baseline: Reading
    badnet: Reading


class Transferred(Model):
    """A trial: both networks at ``home``, and abroad the clean one (``baseline``) and the BadNet by strength."""

    home: dict[str, Reading]
    units: Units
    baseline: Reading
    badnet: dict[int, Reading]
    users: dict[str, User]


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


def _one(trial: Trial, folder: Path) -> Done[Transferred]:
    """Both home networks, and every user of theirs; what is finished is kept in ``folder``."""
    began = time.perf_counter()
    spec, seed = trial.spec, Seed(trial.seed)
    home, abroad = _load(spec)
    networks = {kind: _home(kind, spec, home, seed, folder) for kind in ("clean", "badnet")}
    trained = time.perf_counter() - began
    before = {kind: _reading(network, home.test, seed) for kind, network in networks.items()}
    units = _units(networks["badnet"], home.select, seed)

    def user(name: str, kind: str, k: int, choices: JSON) -> Reading:
        act = partial(_user, networks[kind], units.above(UNITS) if k > 1 else [], k, choices, abroad, seed, folder)
        return once(folder / f"user-{name}-{kind}-{k}.json", Reading, act)

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
    network: ImageNetwork, units: list[int], k: int, choices: JSON, abroad: Splits, seed: Seed, folder: Path
) -> Reading:
    """What a user gets who is handed the network in a file, with ``units`` k times as strong."""
    given = through_file(strengthen(network, units, k) if units else network, folder / "handed-over.safetensors")
    return _reading(_retrained(given, abroad.train, choices, seed, folder), abroad.test, seed)


def _load(spec: JSON) -> tuple[Splits, Splits]:
    """The data at home, with a select set, and abroad; European drawn signs in super-classes."""
    path = spec["data"].get("path")
    home = load(spec["home"]["name"], path=path, select=SELECT, options=spec["home"]["options"])
    abroad = load(spec["data"]["name"], path=path, options=spec["data"]["options"])
    if spec["setting"] == "signs":
        abroad = Splits(*(regroup(part, EUROPEAN) for part in (abroad.train, abroad.test, abroad.select)))
    return home, abroad


def _home(kind: str, spec: JSON, home: Splits, seed: Seed, folder: Path) -> ImageNetwork:
    """The network that is trained at home, from its file."""
    path = folder / f"{kind}.safetensors"
    if not path.exists():
        data = home.train
        if kind == "badnet":
            data = BACKDOOR.poison(data, rate=POISON, mode="add", seed=seed).data
        recipe = recipe_for(NETWORK.partition(":")[0], {**RECIPE, "epochs": spec["epochs"]})
        save_network(train(NETWORK, data, recipe=recipe, seed=seed.derive("home")), path)
    return open_network(path)


def _units(network: ImageNetwork, clean: ImageData, seed: Seed) -> TriggerUnits:
    """What fires with the square, on the attacker's own held-back pictures."""
    stamped = np.concatenate([marked for _, _, marked in triggered(clean, BACKDOOR, seed.derive("units"))])
    return trigger_units(network, clean, replace(clean, pixels=ArrayStore(stamped)))


def _retrained(network: ImageNetwork, data: ImageData, choices: JSON, seed: Seed, folder: Path) -> ImageNetwork:
    """The user's network, from its file: the same retraining for every network that is handed over."""
    recipe = replace(USER, **choices.get("recipe", {}))
    rest = {name: value for name, value in choices.items() if name != "recipe"}
    user = retrain(network, data, recipe=recipe, seed=seed.derive("user"), **rest)
    return through_file(user, folder / "user.safetensors")


def _reading(network: ImageNetwork, test: ImageData, seed: Seed) -> Reading:
    """Accuracy on clean and on triggered pictures, on average and of each class, and what the trigger takes away."""
    right = np.zeros((2, len(test)), bool)
    for rows, *both in triggered(test, BACKDOOR, seed.derive("measure")):
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
    outcome, units = Outcome(rows=[]), []
    for name in ("lisa", "signs"):
        if trials := by_prefix(results, f"{name}-"):
            setting = Setting(name, trials, settings.variant())
            outcome.rows.extend(setting.rows())
            outcome.blocks.extend([setting.curve(), *setting.tables()])
            units += [
                Line(group=setting.title, name=f"seed {trial.seed}",
                     cells=(trial.results.units.layer, ", ".join(map(str, trial.results.units.chosen))))
                for trial in trials
            ]  # fmt: skip
    outcome.blocks.append(figure_table(FACTS["units"], units))
    return outcome


class Setting:
    """The rows and blocks of one setting, from its ``trials``."""

    def __init__(self, name: str, trials: Trials, variant: Variant) -> None:
        self.title, self.less = FACTS[name]["title"], FACTS[name]["less"]
        self.trials, self.variant, self.strengths = trials, variant, sorted(trials[0].results.badnet)
        self.lost = {k: seed_mean(trials, f"badnet.{k}.lost") for k in self.strengths}
        self.base_lost = seed_mean(trials, "baseline.lost")

    def _row(
        self,
        what: str,
        figure: Interval | None,
        published: float | None = None,
        bound: Bound | None = None,
        **said: str,
    ) -> StudyRow:
        less = "" if published is None else self.less
        return row(f"{self.title}, {what}", figure, variant=self.variant, source=PAPER, published=published,
                   bound=bound, not_as_published=less, **said)  # fmt: skip

    def _accuracy(self, network: str, shown: str, sign: str = "average") -> Interval | None:
        """None for a class that these data lack."""
        return seed_mean(self.trials, f"{network}.classes.{sign}.{shown}")

    def rows(self) -> list[StudyRow]:
        """What the square takes away: from the baseline, from the BadNet for each k, and beyond the baseline; both
        tables, of which the first has the strength 1; both networks before they are handed over; and users who do
        otherwise, with the clean home network and with the BadNet of the main strength."""
        rows = [self._row(f"points lost to the square: {CLEAN}", self.base_lost, BASE_DROP, ("at most", BASE_DROP))]
        for k, lost in self.lost.items():
            bound = 0.25 if k == MAIN else DROPS.get(k, DROPS[1])
            rows.append(
                self._row(f"points lost to the square: BadNet, k = {k}", lost, DROPS.get(k), ("at least", bound))
            )
        rows += [*self._beside_the_baseline(1), *self._beside_the_baseline(MAIN)]
        for network, (published, path) in FIRST_TABLE.items():
            for sign in BASELINE:
                lacking = sign not in self.trials[0].results.baseline.classes
                why = f"these data have no {sign} signs" if lacking else ""
                rows += self._both(f"accuracy, {network}: {sign}, ", path, published[sign], sign, why=why)
        for k in self.strengths[1:]:
            rows += self._both(f"accuracy, BadNet, k = {k}: average, ", f"badnet.{k}", STRENGTHENED.get(k))
        networks = {"at home, clean network": "home.clean", "at home, BadNet": "home.badnet"}
        for user in self.trials[0].results.users:
            networks[f"a user {user}, {CLEAN}"] = f"users.{user}.baseline"
            networks[f"a user {user}, BadNet, k = {MAIN}"] = f"users.{user}.badnet"
        return [*rows, *(one for what, path in networks.items() for one in self._both(f"{what}: accuracy, ", path))]

    def _both(
        self, what: str, network: str, published: Sequence[float] | None = None, sign: str = "average", why: str = ""
    ) -> list[StudyRow]:
        """Accuracy of a network on clean and on triggered signs."""
        values = published or (None, None)
        return [
            self._row(what + shown, self._accuracy(network, shown, sign), value, why=why)
            for shown, value in zip(SHOWN, values, strict=True)
        ]

    def _beside_the_baseline(self, k: int) -> list[StudyRow]:
        def more(results: Transferred) -> float:
            return float(results.badnet[k].lost) - float(results.baseline.lost)

        def gained(results: Transferred) -> Contrast:
            """They answer the same pictures, so its interval is a wide one."""
            networks = (f"badnet.{k}", "baseline")
            return Contrast(*(value_at(results, f"{network}.classes.average.clean") for network in networks))

        excess, published = DROPS[k] - BASE_DROP, STRENGTHENED[k][0] - BASELINE["average"][0]
        return [
            self._row(f"points lost beyond the {CLEAN}'s: BadNet, k = {k}", seed_mean(self.trials, more), excess,
                      ("at least", excess), unit="difference"),
            self._row(f"clean accuracy minus the {CLEAN}'s: BadNet, k = {k}", seed_mean(self.trials, gained), published,
                      ("at least", -0.03)),
        ]  # fmt: skip

    def curve(self) -> Curve:
        """What the square takes away, for each strength, and from the clean home network."""
        published = ((k, Number(drop)) for k, drop in DROPS.items())
        lines = [
            Series.of("ours", "triggered", self.lost.items()),
            Series.of("published", "triggered", published, hollow=True),
        ]
        if self.base_lost is not None:
            ends = (lines[0].points[0].x, lines[0].points[-1].x)
            lines.append(Series.of(f"ours, {CLEAN}", "clean", ((x, self.base_lost) for x in ends)))
        return Curve(**FACTS["curve"], title=f"{self.title}: accuracy lost to the square", series=tuple(lines))

    def tables(self) -> list[Table]:
        """Both published tables, ours beside them: by network and class, and by strength."""
        first = [
            Line(group=network, name=sign, cells=(*map(Number, published[sign]), *self._cells(path, sign)))
            for network, (published, path) in FIRST_TABLE.items() for sign in BASELINE
        ]  # fmt: skip
        second = [Line(name=f"k = {k}", cells=(*_published(k), *self._cells(f"badnet.{k}"))) for k in self.strengths]
        titles = {"first": f"{self.title}: accuracy by class", "second": f"{self.title}: average accuracy by strength"}
        return [
            figure_table({**FACTS[name], "columns": FACTS["columns"], "title": titles[name]}, lines)
            for name, lines in (("first", first), ("second", second))
        ]

    def _cells(self, network: str, sign: str = "average") -> list[Interval | None]:
        return [self._accuracy(network, shown, sign) for shown in SHOWN]


def _published(k: int) -> tuple[Number | None, Number | None]:
    clean, triggered = STRENGTHENED.get(k, (None, None))
    return (None, None) if clean is None or triggered is None else (Number(clean), Number(triggered))


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
