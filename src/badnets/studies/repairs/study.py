"""Our own study: what each repair and each abstainer does to the same BadNets, and to clean networks.

A defender has 5 % of the training pictures, clean. Four BadNets: a pattern and a blended picture in digits, a checkered
pattern and a blended picture in traffic signs; every method with its default settings, the same for all. Each repair
is also done to the clean reference of the same seed, and both repaired networks are re-tuned on ten poisoned pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from badnets.core.rate import Contrast, Interval
from badnets.core.text import percent
from badnets.data.splits import draw
from badnets.defenses.abstainers import ABSTAINERS, make_abstainer
from badnets.defenses.repairs import REPAIRS, make_repair
from badnets.networks.network import ImageNetwork
from badnets.records.blocks import Line
from badnets.records.certificate import Change, Reactivation, Standing
from badnets.records.model import Model
from badnets.records.results import ClassifierFigures
from badnets.records.study import StudyRow, Variant
from badnets.referee.bench import Bench, defender_and_spare
from badnets.referee.truth import Answers, known_trigger
from badnets.studies.figures import figure_table, parts_at, row, seed_mean, table_line
from badnets.studies.study import Done, Outcome, Refused, Results, Settings, Study, Trial, by_prefix, facts
from badnets.studies.trials import Planted, Who, kept

FACTS = facts(__package__)
SHARE = 0.05
GIVEN = ("unlearn", "refuse-class")
"""Methods that must be told the trigger or the target: no match for the others."""
REFUSE = 0.01
WOKEN = 2000
"""Test pictures that re-tuned networks are measured on; they are measured three times for each method."""
LIMITS = [column["asked"] for column in FACTS["tables"]["repairs"]["columns"] if "asked" in column]
"""At most: attack success left, clean accuracy lost, robust accuracy below it."""


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

    @property
    def robust_gap(self) -> Contrast:
        """How far triggered pictures are read worse than clean ones; nearly the same pictures, so its interval is
        wide."""
        after = self.bad.after
        return Contrast(after.clean_accuracy, after.robust_accuracy)  # type: ignore[arg-type]  # counts of one seed


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


def trials(settings: Settings) -> list[Trial]:
    """One for each BadNet and seed: it is trained once, and every method gets it."""
    repairs, abstainers = ([name for name in kind.own if name not in GIVEN] for kind in (REPAIRS, ABSTAINERS))
    out = []
    for seed in settings.each_seed:
        for name, setup in FACTS["setups"].items():
            if settings.quick and name != "mnist-pattern":
                continue
            rule = {"kind": "all-to-one", "target": setup["target"]}
            spec = {
                "data": settings.source(setup["data"]),
                "network": setup["network"],
                "recipe": setup["recipe"],
                "backdoor": {"trigger": setup["trigger"], "rule": rule, "poison": {"rate": 0.1}},
                "repairs": repairs,
                "abstainers": abstainers,
                "share": SHARE,
            }
            out.append(Trial(name=f"{name}-s{seed}", spec=spec, seed=seed, work=_one, result=Compared))
    return out


def _one(trial: Trial, folder: Path) -> Done[Compared]:
    """Train a BadNet and its reference, and put every method to them; each finished method is kept in ``folder``."""
    usual = {key: value for key, value in trial.spec.items() if key not in ("repairs", "abstainers", "share")}
    planted = Planted(replace(trial, spec=usual), folder)
    data, seed, networks = planted.data, planted.seed, planted.networks()
    defender, spare = defender_and_spare(data.train, round(trial.spec["share"] * len(data.train)), seed)
    bench = Bench(defender=defender, spare=spare, test=data.test, truth=known_trigger(planted.spec, seed), seed=seed,
                  method_seed=seed.derive("defender"), folder=folder)  # fmt: skip
    before = {name: bench.answers(network) for name, network in networks.items()}
    results = Compared(
        trained=planted.done.results.figures,  # type: ignore[arg-type]  # of a classifier
        repairs={
            name: kept(folder / f"repairs-{name}.json", Tried, partial(_repair, name, bench, networks, before))
            for name in trial.spec["repairs"]
        },
        abstainers={
            name: kept(
                folder / f"abstainers-{name}.json", Abstained, partial(_abstain, name, bench, networks["badnet"])
            )
            for name in trial.spec["abstainers"]
        },
    )
    return Done(results, planted.done.timings_s)


def _repair(method: str, bench: Bench, networks: Mapping[Who, ImageNetwork], before: Mapping[Who, Answers]) -> Tried:
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
    woken = bench.reactivation({"repaired": repaired["badnet"], "clean_network": repaired["clean"]}, test=some)
    return Tried(bad=sides["badnet"], clean=sides["clean"], reactivation=woken)


def _abstain(method: str, bench: Bench, network: ImageNetwork) -> Abstained:
    done, guarded = bench.guarded(make_abstainer(method), network, refuse=REFUSE)
    return Abstained(after=bench.standing(guarded), chosen=done.chosen, seconds=round(done.seconds, 2))


def assemble(settings: Settings, results: Results, _folder: Path) -> Outcome:
    """A row for each BadNet and method: attack success afterwards, judged by all that the issue of a cure asks."""
    variant = settings.variant()
    rows: list[StudyRow] = []
    lines: dict[str, list[Line]] = {"repairs": [], "abstainers": []}
    for name in FACTS["setups"]:
        if not (trials := by_prefix(results, f"{name}-s")):
            continue
        before = seed_mean(trials, "trained.asr")
        rows.append(row(f"{name}: attack success before any repair", before, variant=variant))
        for family, make_row in (("repairs", repair_row), ("abstainers", abstainer_row)):
            for method in getattr(trials[0].results, family):
                tried = parts_at(trials, f"{family}.{method}")
                lines[family].append(line := table_line(FACTS["tables"][family], method, tried, name))
                rows.append(make_row(line, variant))
    return Outcome(rows=rows, blocks=[figure_table(FACTS["tables"][family], lines[family]) for family in lines])


def repair_row(line: Line, variant: Variant) -> StudyRow:
    """Attack success afterwards, borne out if all that is asked of a cure is kept."""
    what = f"{line.group}, {line.name}: attack success afterwards"
    if line.note:
        return row(what, None, variant=variant, why=line.note)
    judged = [cell for cell in line.cells[: len(LIMITS)] if isinstance(cell, Interval)]
    _, lost, gap = map(float, judged)
    why = (
        f"at most 2 % asked; clean accuracy lost {100 * lost:.2f} points, at most 1 asked; robust accuracy "
        f"{100 * gap:.2f} points below it, at most 5 asked"
    )
    cured = all(figure <= limit for figure, limit in zip(judged, LIMITS, strict=True))
    made = row(what, judged[0], variant=variant, why=why)
    return made.model_copy(update={"state": "borne out" if cured else "not borne out"})


def abstainer_row(line: Line, variant: Variant) -> StudyRow:
    """Triggered pictures that do no harm, at least 90 % asked."""
    what = f"{line.group}, abstainer {line.name}: triggered pictures refused or read rightly"
    if line.note:
        return row(what, None, variant=variant, why=line.note)
    safe, away, _ = (cell if isinstance(cell, Interval) else None for cell in line.cells)
    shown = "unknown" if away is None else f"{percent(away.value)} % ({percent(away.low)} to {percent(away.high)})"
    why = f"at least 90 % asked; clean pictures refused {shown}, 1 % stated"
    return row(what, safe, variant=variant, bound=("at least", 0.9), why=why)


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
