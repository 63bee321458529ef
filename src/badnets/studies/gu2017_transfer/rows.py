"""The published tables of study G3, and the rows and blocks that set ours beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from badnets.core.fields import Difference, Share
from badnets.core.rate import Contrast, Interval, Number, over_seeds, parts_of
from badnets.records.blocks import Block, Column, Curve, Line, Series, Table
from badnets.records.model import JSON, Model
from badnets.records.study import StudyRow, Variant
from badnets.studies.study import Bound, TrialResult, as_rate, facts, numbers, over, row

PAPER = "G3: the Swedish network, as told by M1"
MAIN = 20
"""The strength that is judged; fixed beforehand, or the best of several would be chosen on the test set."""
FACTS = facts(__package__)
BASELINE: Mapping[str, Sequence[float]] = FACTS["baseline"]
BADNET: Mapping[str, Sequence[float]] = FACTS["badnet"]
"""The first published table: accuracy on clean and on triggered signs."""
STRENGTHENED: Mapping[int, Sequence[float]] = {int(k): both for k, both in FACTS["strengthened"].items()}
"""The second: the average for each strength k."""
TITLES: Mapping[str, str] = {name: FACTS[name]["title"] for name in ("lisa", "signs")}
PROTOCOL: Mapping[str, str] = {name: FACTS[name]["less"] for name in TITLES}
"""In what each setting is another one than the published."""
SHOWN = ("clean", "triggered")


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


Trials = Sequence[TrialResult[Transferred]]
Pick = Callable[[Transferred], Reading]
CLEAN, FIRST = "clean home network", "BadNet, k = 1"


def strengthened(k: int) -> Pick:
    """The BadNet of strength k."""
    return lambda found: found.badnet[k]


FIRST_TABLE: Mapping[str, tuple[Mapping[str, Sequence[float]], Pick]] = {
    CLEAN: (BASELINE, lambda found: found.baseline),
    FIRST: (BADNET, strengthened(1)),
}
"""The networks of the first published table."""


def _drop(published: Sequence[float]) -> float:
    return published[0] - published[1]


@dataclass(frozen=True)
class Setting:
    """The rows and blocks of one setting, from its trials."""

    name: str
    trials: Trials
    variant: Variant

    @property
    def strengths(self) -> list[int]:
        """Every k, in order."""
        return sorted(self.trials[0].results.badnet)

    def rows(self) -> list[StudyRow]:
        """All of them."""
        return [*self._judged(), *self._first_table(), *self._second_table(), *self._at_home(), *self._users()]

    def blocks(self) -> list[Block]:
        """What the square takes away at each strength, and both published tables with ours beside them."""
        lost = {k: self._lost(strengthened(k)) for k in self.strengths}
        first = {
            network: {name: [self._accuracy(pick, shown, name) for shown in SHOWN] for name in BASELINE}
            for network, (_, pick) in FIRST_TABLE.items()
        }
        second = {k: [self._accuracy(strengthened(k), shown) for shown in SHOWN] for k in self.strengths}
        return [
            lost_curve(self.name, lost, self._lost(FIRST_TABLE[CLEAN][1])),
            first_table(self.name, first),
            second_table(self.name, second),
        ]

    def _row(
        self, what: str, figure: Interval | None, published: float | None = None, bound: Bound | None = None,
        why: str = "", unit: str | None = None,
    ) -> StudyRow:  # fmt: skip
        return row(f"{TITLES[self.name]}, {what}", figure, variant=self.variant, source=PAPER, published=published,
                   bound=bound, why=why, unit=unit,
                   not_as_published="" if published is None else PROTOCOL[self.name])  # fmt: skip

    def _lost(self, pick: Pick) -> Interval | None:
        return over(self.trials, lambda found: parts_of(pick(found).lost)[0])

    def _accuracy(self, pick: Pick, shown: str, name: str = "average") -> Interval | None:
        """None for a class that these data lack."""
        if name not in pick(self.trials[0].results).classes:
            return None
        return over(self.trials, lambda found: as_rate(getattr(pick(found).classes[name], shown)))

    def _both(self, what: str, pick: Pick) -> list[StudyRow]:
        """Accuracy of a network on clean and on triggered signs, of which nothing was published."""
        return [self._row(f"{what}: accuracy, {shown}", self._accuracy(pick, shown)) for shown in SHOWN]

    def _judged(self) -> list[StudyRow]:
        """What the square takes away: from the baseline, from the BadNet for each k, and beyond the baseline."""
        clean = FIRST_TABLE[CLEAN][1]
        base = _drop(BASELINE["average"])
        rows = [self._row(f"points lost to the square: {CLEAN}", self._lost(clean), base, ("at most", base))]
        for k in self.strengths:
            published = _drop(STRENGTHENED[k]) if k in STRENGTHENED else None
            bound = 0.25 if k == MAIN else published or _drop(STRENGTHENED[1])
            lost = self._lost(strengthened(k))
            rows.append(self._row(f"points lost to the square: BadNet, k = {k}", lost, published, ("at least", bound)))
        return [*rows, *self._beside_the_baseline(1, base), *self._beside_the_baseline(MAIN, base)]

    def _beside_the_baseline(self, k: int, base: float) -> list[StudyRow]:
        found = [(trial.results.badnet[k], trial.results.baseline) for trial in self.trials]
        seeds = [trial.seed for trial in self.trials]
        more = numbers(seeds, [float(one.lost) - float(other.lost) for one, other in found])
        gained = over_seeds(seeds, [_gained(*both) for both in found])
        excess, published = _drop(STRENGTHENED[k]) - base, STRENGTHENED[k][0] - BASELINE["average"][0]
        return [
            self._row(f"points lost beyond the {CLEAN}'s: BadNet, k = {k}", more, excess, ("at least", excess),
                      unit="difference"),
            self._row(f"clean accuracy minus the {CLEAN}'s: BadNet, k = {k}", gained, published, ("at least", -0.03)),
        ]  # fmt: skip

    def _first_table(self) -> list[StudyRow]:
        there = self.trials[0].results.baseline.classes
        return [
            self._row(f"accuracy, {network}: {name}, {shown}", self._accuracy(pick, shown, name), published[name][i],
                      why="" if name in there else f"these data have no {name} signs")
            for network, (published, pick) in FIRST_TABLE.items()
            for name in BASELINE for i, shown in enumerate(SHOWN)
        ]  # fmt: skip

    def _second_table(self) -> list[StudyRow]:
        """The strength 1 stands in the first."""
        return [
            self._row(f"accuracy, BadNet, k = {k}: average, {shown}", self._accuracy(strengthened(k), shown),
                      STRENGTHENED[k][i] if k in STRENGTHENED else None)
            for k in self.strengths[1:] for i, shown in enumerate(SHOWN)
        ]  # fmt: skip

    def _at_home(self) -> list[StudyRow]:
        """Both networks before they are handed over."""
        return [
            *self._both("at home, clean network", lambda found: found.home["clean"]),
            *self._both("at home, BadNet", lambda found: found.home["badnet"]),
        ]

    def _users(self) -> list[StudyRow]:
        """Users who do otherwise, with the clean home network and with the BadNet of the main strength."""
        return [row for name in self.trials[0].results.users for row in self._user(name)]

    def _user(self, name: str) -> list[StudyRow]:
        return [
            *self._both(f"a user {name}, {CLEAN}", lambda found: found.users[name].baseline),
            *self._both(f"a user {name}, BadNet, k = {MAIN}", lambda found: found.users[name].badnet),
        ]


def _gained(one: Reading, other: Reading) -> Contrast:
    """Clean accuracy of one less that of the other; they answer the same pictures, so its interval is a wide one."""
    return Contrast(*(as_rate(reading.classes["average"].clean) for reading in (one, other)))


def lost_curve(setting: str, lost: Mapping[int, Interval | None], base: Interval | None) -> Curve:
    """What the square takes away, for each strength; ``base`` from the clean home network."""
    published = ((k, Number(_drop(both))) for k, both in STRENGTHENED.items())
    series = [Series.of("ours", "triggered", lost.items()), Series.of("published", "triggered", published, hollow=True)]
    if base is not None:
        ends = (series[0].points[0].x, series[0].points[-1].x)
        series.append(Series.of(f"ours, {CLEAN}", "clean", ((x, base) for x in ends)))
    return Curve(title=f"{TITLES[setting]}: accuracy lost to the square", unit="difference", series=tuple(series),
                 axis="strength k of the units that detect it")  # fmt: skip


Ours = Sequence[Interval | None]
"""Our accuracy on clean and on triggered signs; None where these data lack the class."""
_COLUMNS = tuple(
    Column(name=f"{who}, {shown}") for who in ("published", "ours") for shown in ("clean", "with the square")
)


def first_table(setting: str, ours: Mapping[str, Mapping[str, Ours]]) -> Table:
    """The first published table, ours beside it: by network and class."""
    lines = [
        Line(group=network, name=name, cells=(*map(Number, FIRST_TABLE[network][0][name]), *cells))
        for network, classes in ours.items() for name, cells in classes.items()
    ]  # fmt: skip
    return Table(title=f"{TITLES[setting]}: accuracy by class", note=f"Published: {PAPER}.", rows="class",
                 groups="network handed over", columns=_COLUMNS, lines=tuple(lines))  # fmt: skip


def second_table(setting: str, ours: Mapping[int, Ours]) -> Table:
    """The second published table, ours beside it: by strength."""
    lines = [
        Line(name=f"k = {k}", cells=(*(map(Number, STRENGTHENED[k]) if k in STRENGTHENED else (None, None)), *cells))
        for k, cells in ours.items()
    ]
    return Table(title=f"{TITLES[setting]}: average accuracy by strength", rows="strength", columns=_COLUMNS,
                 lines=tuple(lines))  # fmt: skip


def units_table(found: Mapping[str, Trials]) -> Table:
    """Which units were strengthened, by setting and seed."""
    lines = [
        Line(group=TITLES[name], name=f"seed {trial.seed}",
             cells=(trial.results.units.layer, ", ".join(map(str, trial.results.units.chosen))))
        for name, trials in found.items() for trial in trials
    ]  # fmt: skip
    columns = (Column(name="layer", unit="text"), Column(name="units", unit="text"))
    return Table(title="Units that detect the square", rows="seed", groups="setting", columns=columns,
                 lines=tuple(lines))  # fmt: skip
