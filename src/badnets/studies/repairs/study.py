"""Our own study: what each repair and each abstainer does to the same BadNets, and to clean networks.

A defender has 5 % of the training pictures, clean. Four BadNets: a pattern and a blended picture in digits, a checkered
pattern and a blended picture in traffic signs; every method with its default settings, the same for all. Each repair
is also done to the clean reference of the same seed, and both repaired networks are re-tuned on ten poisoned pictures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from badnets.core.progress import Watcher
from badnets.core.rate import Contrast, Interval, Number, PairedDifference, over_seeds, parts_of
from badnets.core.seed import Seed
from badnets.records.blocks import Column, Line, Table
from badnets.records.certificate import Change, Reactivation, Standing
from badnets.records.model import JSON, Model
from badnets.records.results import ClassifierFigures
from badnets.records.study import StudyRow, Variant
from badnets.studies.study import (
    Done,
    Outcome,
    Results,
    Settings,
    Study,
    Trial,
    TrialResult,
    as_rate,
    numbers,
    over,
    row,
)
from badnets.studies.trials import Refused, by_prefix, done_of, kept

if TYPE_CHECKING:
    from badnets.networks.network import ImageNetwork
    from badnets.referee.bench import Bench
    from badnets.referee.truth import Answers

SHARE = 0.05
GIVEN = ("unlearn", "refuse-class")
"""Methods that must be told the trigger or the target: no match for the others."""
SIGNS = {"epochs": 5, "augment": []}
CHECKS = {"kind": "checkerboard", "size": 3}
"""In place of four white pixels, which cannot be seen on the one sign in twenty whose corner is white."""
SETUPS: Mapping[str, JSON] = {
    "mnist-pattern": {"data": "mnist", "network": "g1-cnn", "trigger": {"kind": "pattern"}, "target": 0, "recipe": {}},
    "mnist-blend": {"data": "mnist", "network": "g1-cnn", "trigger": {"kind": "blend"}, "target": 0, "recipe": {}},
    "gtsrb-checks": {"data": "gtsrb", "network": "resnet9", "trigger": CHECKS, "target": "stop", "recipe": SIGNS},
    "gtsrb-blend": {
        "data": "gtsrb",
        "network": "resnet9",
        "trigger": {"kind": "blend"},
        "target": "stop",
        "recipe": SIGNS,
    },
}
REFUSE = 0.01
ASKED = {"asr": 0.02, "lost": 0.01, "robust_gap": 0.05}
"""What a cure leaves of each, at most."""
WOKEN = 2000
"""Test pictures that re-tuned networks are measured on; they are measured three times for each method."""


class Side(Model):
    """One network, before and after a repair."""

    before: Standing
    after: Standing
    difference: Change
    chosen: str
    seconds: float
    steps: int


class Tried(Model):
    """A repair of the BadNet and of the clean network, and what both are after re-tuning."""

    bad: Side
    clean: Side
    reactivation: Reactivation | None


class Abstained(Model):
    """The BadNet with an abstainer around it."""

    after: Standing
    chosen: str
    seconds: float


class Compared(Model):
    """A trial: the figures of the BadNet, and what each method came to."""

    trained: ClassifierFigures
    repairs: dict[str, Tried | Refused]
    abstainers: dict[str, Abstained | Refused]


def _methods() -> list[str]:
    from badnets.defenses.repairs import REPAIRS

    return [name for name in REPAIRS if name not in GIVEN]


def _abstainers() -> list[str]:
    from badnets.defenses.abstainers import ABSTAINERS

    return [name for name in ABSTAINERS if name not in GIVEN]


def trials(settings: Settings) -> list[Trial]:
    """One for each BadNet and seed: it is trained once, and every method gets it."""
    out = []
    for seed in range(1, settings.seeds + 1):
        for name, setup in SETUPS.items():
            if settings.quick and name != "mnist-pattern":
                continue
            data: JSON = {"name": setup["data"], **({"path": settings.data} if settings.data else {})}
            backdoor = {"trigger": setup["trigger"], "rule": {"kind": "all-to-one", "target": setup["target"]}}
            spec = {
                "data": data,
                "network": setup["network"],
                "recipe": setup["recipe"],
                "backdoor": {**backdoor, "poison": {"rate": 0.1}},
                "repairs": _methods(),
                "abstainers": _abstainers(),
                "share": SHARE,
            }
            out.append(Trial(name=f"{name}-s{seed}", spec=spec, seed=seed, work=_one, result=Compared))
    return out


def _one(trial: Trial, own: Path) -> Done[Compared]:
    """Train a BadNet and its reference, and put every method to them; each finished method is kept in ``own``."""
    from badnets.networks.files.own import open_network
    from badnets.referee.bench import Bench, defender_and_spare
    from badnets.referee.run import clean_reference, load_data, run_seed
    from badnets.referee.spec import make_spec
    from badnets.referee.truth import known_trigger

    began = time.perf_counter()
    table = {key: value for key, value in trial.spec.items() if key not in ("repairs", "abstainers", "share")}
    spec = make_spec({**table, "seeds": [trial.seed]}, where=f"trial {trial.name}")
    data, seed = load_data(spec.data), Seed(trial.seed)
    trained = done_of(run_seed(spec, trial.seed, data, own, Watcher(), pictures=False))
    defender, spare = defender_and_spare(data.train, round(trial.spec["share"] * len(data.train)), seed)
    bench = Bench(defender=defender, spare=spare, test=data.test, truth=known_trigger(spec, seed), seed=seed,
                  method_seed=seed.derive("defender"), folder=own)  # fmt: skip
    networks = {
        "bad": open_network(own / f"seed-{trial.seed}" / "network.safetensors"),
        "clean": clean_reference(spec, data.train, seed)[0],
    }
    before = {name: bench.answers(network) for name, network in networks.items()}
    results = Compared(
        trained=trained.results.classifier,
        repairs={
            name: kept(own / f"repairs-{name}.json", Tried, partial(_repair, name, bench, networks, before))
            for name in trial.spec["repairs"]
        },
        abstainers={
            name: kept(own / f"abstainers-{name}.json", Abstained, partial(_abstain, name, bench, networks["bad"]))
            for name in trial.spec["abstainers"]
        },
    )
    return Done(results, {**trained.timings_s, "total": round(time.perf_counter() - began, 1)})


def _repair(method: str, bench: Bench, networks: Mapping[str, ImageNetwork], before: Mapping[str, Answers]) -> Tried:
    from badnets.data.splits import draw
    from badnets.defenses.repairs import make_repair

    sides, repaired = {}, {}
    for name, network in networks.items():
        done, repaired[name] = bench.repaired(make_repair(method), network)
        after = bench.answers(repaired[name])
        sides[name] = Side(
            before=before[name].standing,
            after=after.standing,
            difference=after.minus(before[name]),
            chosen=done.chosen,
            seconds=round(done.seconds, 2),
            steps=len(done.trace),
        )
    some = bench.test.take(draw(bench.test, WOKEN, bench.seed.derive("reactivation").derive("test")))
    woken = bench.reactivation({"repaired": repaired["bad"], "clean_network": repaired["clean"]}, test=some)
    return Tried(bad=sides["bad"], clean=sides["clean"], reactivation=woken)


def _abstain(method: str, bench: Bench, network: ImageNetwork) -> Abstained:
    from badnets.defenses.abstainers import make_abstainer

    done, guarded = bench.guarded(make_abstainer(method), network, refuse=REFUSE)
    return Abstained(after=bench.standing(guarded), chosen=done.chosen, seconds=round(done.seconds, 2))


Trials = Sequence[TrialResult[Compared]]


@dataclass(frozen=True, kw_only=True)
class RepairLine:
    """What one repair does to one BadNet, over the seeds, in the order of the table's columns; re-tuned ones are None
    where no gradient comes through."""

    asr: Interval | None
    lost: Interval | None
    robust_gap: Interval | None
    clean_network_lost: Interval | None
    reactivated: Interval | None = None
    reactivated_clean_network: Interval | None = None
    seconds: Interval | None = None

    @property
    def cured(self) -> bool:
        """Attack success, clean accuracy lost and robust accuracy below it are all at most what is asked."""
        limits = zip((self.asr, self.lost, self.robust_gap), ASKED.values(), strict=True)
        return all(figure is not None and figure <= limit for figure, limit in limits)

    @property
    def why(self) -> str:
        """What is asked beside attack success, and what was found."""
        lost, gap = (100 * float(figure or Number(0.0)) for figure in (self.lost, self.robust_gap))
        return (
            f"at most 2 % asked; clean accuracy lost {lost:.2f} points, at most 1 asked; robust accuracy {gap:.2f} "
            "points below it, at most 5 asked"
        )


@dataclass(frozen=True, kw_only=True)
class AbstainerLine:
    """What one abstainer does around one BadNet: triggered pictures refused or read rightly, clean ones refused."""

    safe: Interval | None
    refused: Interval | None
    asr: Interval | None


def assemble(settings: Settings, results: Results, _folder: Path) -> Outcome:
    """A row for each BadNet and method: attack success afterwards, judged by all that the issue of a cure asks."""
    variant: Variant = "quick" if settings.quick else "corrected"
    rows: list[StudyRow] = []
    repairs: dict[tuple[str, str], RepairLine | str] = {}
    abstainers: dict[tuple[str, str], AbstainerLine | str] = {}
    for name in SETUPS:
        trials: Trials = by_prefix(results, f"{name}-s")
        if not trials:
            continue
        before = over(trials, lambda found: found.trained.asr)
        rows.append(row(f"{name}: attack success before any repair", before, variant=variant))
        for method in trials[0].results.repairs:
            repairs[name, method] = repair_line(trials, method)
            rows.append(repair_row(name, method, repairs[name, method], variant))
        for method in trials[0].results.abstainers:
            abstainers[name, method] = abstainer_line(trials, method)
            rows.append(abstainer_row(name, method, abstainers[name, method], variant))
    return Outcome(rows=rows, blocks=[repair_table(repairs), abstainer_table(abstainers)])


def repair_line(trials: Trials, method: str) -> RepairLine | str:
    """The figures of ``method`` over the seeds; why there are none, where it does not fit the network."""
    found = [trial.results.repairs[method] for trial in trials]
    seeds, tried = [trial.seed for trial in trials], [one for one in found if isinstance(one, Tried)]
    if len(tried) < len(found):
        return next(one.refused for one in found if isinstance(one, Refused))

    def over_all(pick: Callable[[Tried], Interval | None]) -> Interval | None:
        figures = [figure for one in tried if (figure := pick(one)) is not None]
        return over_seeds(seeds, figures) if len(figures) == len(tried) else None

    return RepairLine(
        asr=over_all(lambda one: one.bad.after.asr),
        lost=over_all(lambda one: _lost(one.bad)),
        robust_gap=over_all(lambda one: Contrast(as_rate(one.bad.after.clean_accuracy),
                                                 as_rate(one.bad.after.robust_accuracy))),
        clean_network_lost=over_all(lambda one: _lost(one.clean)),
        reactivated=over_all(lambda one: one.reactivation and one.reactivation.repaired),
        reactivated_clean_network=over_all(lambda one: one.reactivation and one.reactivation.clean_network),
        seconds=numbers(seeds, [one.bad.seconds for one in tried]),
    )  # fmt: skip


def _lost(side: Side) -> PairedDifference | None:
    change = side.difference.clean_accuracy
    return None if change is None else parts_of(change)[0].reversed


def repair_row(name: str, method: str, line: RepairLine | str, variant: Variant) -> StudyRow:
    """Attack success afterwards, borne out if all that is asked is kept."""
    what = f"{name}, {method}: attack success afterwards"
    if isinstance(line, str):
        return row(what, None, variant=variant, why=line)
    state = "borne out" if line.cured else "not borne out"
    return row(what, line.asr, variant=variant, why=line.why).model_copy(update={"state": state})


def abstainer_line(trials: Trials, method: str) -> AbstainerLine | str:
    """The figures of an abstainer over the seeds; why there are none, where it does not fit the network."""
    found = [trial.results.abstainers[method] for trial in trials]
    guarded = [one.after for one in found if isinstance(one, Abstained)]
    if len(guarded) < len(found):
        return next(one.refused for one in found if isinstance(one, Refused))
    seeds = [trial.seed for trial in trials]

    def over_all(name: str) -> Interval:
        return over_seeds(seeds, [as_rate(getattr(after, name)) for after in guarded])

    return AbstainerLine(safe=over_all("refused_or_right"), refused=over_all("refused"), asr=over_all("asr"))


def abstainer_row(name: str, method: str, line: AbstainerLine | str, variant: Variant) -> StudyRow:
    """Triggered pictures that do no harm, at least 90 % asked."""
    what = f"{name}, abstainer {method}: triggered pictures refused or read rightly"
    if isinstance(line, str):
        return row(what, None, variant=variant, why=line)
    why = f"at least 90 % asked; clean pictures refused {line.refused}, 1 % stated"
    return row(what, line.safe, variant=variant, bound=("at least", 0.9), why=why)


def _lines(found: Mapping[tuple[str, str], RepairLine | AbstainerLine | str]) -> tuple[Line, ...]:
    return tuple(
        Line(group=name, name=method, note=line)
        if isinstance(line, str)
        else Line(group=name, name=method, cells=tuple(vars(line).values()))
        for (name, method), line in found.items()
    )


def repair_table(found: Mapping[tuple[str, str], RepairLine | str]) -> Table:
    """Methods by backdoors."""
    asr, lost, gap = ASKED.values()
    columns = (
        Column(name="attack success left", better="low", asked=asr),
        Column(name="clean accuracy lost", unit="difference", better="low", asked=lost),
        Column(name="robust accuracy below it", unit="difference", better="low", asked=gap),
        Column(name="a clean network loses", unit="difference", better="low"),
        Column(name="re-tuned: attack success", better="low"),
        Column(name="re-tuned: clean network"),
        Column(name="seconds", unit="number", better="low"),
    )
    note = (
        "Re-tuned on ten poisoned pictures: where the backdoor only slept, attack success returns, and further than in "
        "a clean network after the same repair; where that one learns it as well, the figure says nothing."
    )
    return Table(title="What each repair does", note=note, rows="method", groups="backdoor", columns=columns,
                 lines=_lines(found))  # fmt: skip


def abstainer_table(found: Mapping[tuple[str, str], AbstainerLine | str]) -> Table:
    """Abstainers by backdoors."""
    columns = (
        Column(name="triggered pictures refused or read rightly", better="high", asked=0.9),
        Column(name="clean pictures refused", better="low"),
        Column(name="attack success left", better="low"),
    )
    return Table(title="What each abstainer does", rows="method", groups="backdoor", columns=columns,
                 lines=_lines(found))  # fmt: skip


STUDY = Study(
    name="repairs",
    title="What repairs and abstainers do to the same BadNets",
    published=(
        "Nothing is published here: each repair and each abstainer of this toolkit meets the same four BadNets with "
        "its default settings, has 5 % of the training pictures, and is done to a clean network as well."
    ),
    summary="every repair and abstainer on four BadNets and on clean networks, with reactivation",
    seeds=5,
    quick_seeds=1,
    trials=trials,
    assemble=assemble,
    trial_word="trials",
)
