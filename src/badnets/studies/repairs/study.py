"""Our own study: what each repair and each abstainer does to the same BadNets, and to clean networks.

A defender has 5 % of the training pictures, clean. Four BadNets: a pattern and a blended picture in digits, a checkered
pattern and a blended picture in traffic signs; every method with its default settings, the same for all. Each repair
is also done to the clean reference of the same seed, and both repaired networks are re-tuned on ten poisoned pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from badnets.core.rate import Contrast, Interval, Number
from badnets.core.text import percent
from badnets.records.blocks import Column, Line, Table
from badnets.records.certificate import Change, Reactivation, Standing
from badnets.records.model import Model
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
    facts,
    lost,
    over,
    row,
)
from badnets.studies.trials import Planted, Refused, Who, by_prefix, kept, within

if TYPE_CHECKING:
    from badnets.networks.network import ImageNetwork
    from badnets.referee.bench import Bench
    from badnets.referee.truth import Answers

FACTS = facts(__package__)
SHARE = 0.05
GIVEN = ("unlearn", "refuse-class")
"""Methods that must be told the trigger or the target: no match for the others."""
REFUSE = 0.01
ASKED = (0.02, 0.01, 0.05)
"""At most: attack success left, clean accuracy lost, robust accuracy below it."""
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


def trials(settings: Settings) -> list[Trial]:
    """One for each BadNet and seed: it is trained once, and every method gets it."""
    from badnets.defenses.abstainers import ABSTAINERS
    from badnets.defenses.repairs import REPAIRS

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


def _one(trial: Trial, own: Path) -> Done[Compared]:
    """Train a BadNet and its reference, and put every method to them; each finished method is kept in ``own``."""
    from badnets.referee.bench import Bench, defender_and_spare
    from badnets.referee.truth import known_trigger

    usual = {key: value for key, value in trial.spec.items() if key not in ("repairs", "abstainers", "share")}
    planted = Planted(replace(trial, spec=usual), own)
    data, seed, networks = planted.data, planted.seed, planted.networks()
    defender, spare = defender_and_spare(data.train, round(trial.spec["share"] * len(data.train)), seed)
    bench = Bench(defender=defender, spare=spare, test=data.test, truth=known_trigger(planted.spec, seed), seed=seed,
                  method_seed=seed.derive("defender"), folder=own)  # fmt: skip
    before = {name: bench.answers(network) for name, network in networks.items()}
    results = Compared(
        trained=planted.done.results.classifier,
        repairs={
            name: kept(own / f"repairs-{name}.json", Tried, partial(_repair, name, bench, networks, before))
            for name in trial.spec["repairs"]
        },
        abstainers={
            name: kept(own / f"abstainers-{name}.json", Abstained, partial(_abstain, name, bench, networks["badnet"]))
            for name in trial.spec["abstainers"]
        },
    )
    return Done(results, planted.done.timings_s)


def _repair(method: str, bench: Bench, networks: Mapping[Who, ImageNetwork], before: Mapping[Who, Answers]) -> Tried:
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
    woken = bench.reactivation({"repaired": repaired["badnet"], "clean_network": repaired["clean"]}, test=some)
    return Tried(bad=sides["badnet"], clean=sides["clean"], reactivation=woken)


def _abstain(method: str, bench: Bench, network: ImageNetwork) -> Abstained:
    from badnets.defenses.abstainers import make_abstainer

    done, guarded = bench.guarded(make_abstainer(method), network, refuse=REFUSE)
    return Abstained(after=bench.standing(guarded), chosen=done.chosen, seconds=round(done.seconds, 2))


Trials = Sequence[TrialResult[Compared]]


def assemble(settings: Settings, results: Results, _folder: Path) -> Outcome:
    """A row for each BadNet and method: attack success afterwards, judged by all that the issue of a cure asks."""
    variant = settings.variant()
    rows: list[StudyRow] = []
    repairs, abstainers = [], []
    for name in FACTS["setups"]:
        trials: Trials = by_prefix(results, f"{name}-s")
        if not trials:
            continue
        before = over(trials, lambda found: found.trained.asr)
        rows.append(row(f"{name}: attack success before any repair", before, variant=variant))
        for method in trials[0].results.repairs:
            repairs.append(repair_line(name, method, trials))
            rows.append(repair_row(repairs[-1], variant))
        for method in trials[0].results.abstainers:
            abstainers.append(abstainer_line(name, method, trials))
            rows.append(abstainer_row(abstainers[-1], variant))
    return Outcome(rows=rows, blocks=[repair_table(repairs), abstainer_table(abstainers)])


def repair_line(name: str, method: str, trials: Trials) -> Line:
    """What a repair does over the seeds, or why it does not fit."""
    tried = within(trials, lambda found: found.repairs[method])
    if isinstance(tried, Refused):
        return Line(group=name, name=method, note=tried.refused)
    return Line(group=name, name=method, cells=(
        over(tried, lambda one: one.bad.after.asr),
        over(tried, lambda one: lost(one.bad.difference)),
        over(tried, lambda one: _robust_gap(one.bad.after)),
        over(tried, lambda one: lost(one.clean.difference)),
        over(tried, lambda one: one.reactivation and one.reactivation.repaired),
        over(tried, lambda one: one.reactivation and one.reactivation.clean_network),
        over(tried, lambda one: Number(one.bad.seconds)),
    ))  # fmt: skip


def _robust_gap(after: Standing) -> Contrast:
    """How far triggered pictures are read worse than clean ones; nearly the same pictures, so its interval is wide."""
    return Contrast(as_rate(after.clean_accuracy), as_rate(after.robust_accuracy))


def repair_row(line: Line, variant: Variant) -> StudyRow:
    """Attack success afterwards, borne out if all that is asked of a cure is kept."""
    what = f"{line.group}, {line.name}: attack success afterwards"
    if line.note:
        return row(what, None, variant=variant, why=line.note)
    asr, *beside = [float(cell) for cell in line.cells[: len(ASKED)] if isinstance(cell, Interval)]
    why = (
        f"at most 2 % asked; clean accuracy lost {100 * beside[0]:.2f} points, at most 1 asked; robust accuracy "
        f"{100 * beside[1]:.2f} points below it, at most 5 asked"
    )
    cured = all(value <= limit for value, limit in zip((asr, *beside), ASKED, strict=True))
    made = row(what, line.cells[0] if isinstance(line.cells[0], Interval) else None, variant=variant, why=why)
    return made.model_copy(update={"state": "borne out" if cured else "not borne out"})


def abstainer_line(name: str, method: str, trials: Trials) -> Line:
    """What an abstainer does over the seeds, or why it does not fit."""
    guarded = within(trials, lambda found: found.abstainers[method])
    if isinstance(guarded, Refused):
        return Line(group=name, name=method, note=guarded.refused)
    return Line(group=name, name=method, cells=(
        over(guarded, lambda one: one.after.refused_or_right),
        over(guarded, lambda one: one.after.refused),
        over(guarded, lambda one: one.after.asr),
    ))  # fmt: skip


def abstainer_row(line: Line, variant: Variant) -> StudyRow:
    """Triggered pictures that do no harm, at least 90 % asked."""
    what = f"{line.group}, abstainer {line.name}: triggered pictures refused or read rightly"
    if line.note:
        return row(what, None, variant=variant, why=line.note)
    safe, away, _ = (cell if isinstance(cell, Interval) else None for cell in line.cells)
    shown = "unknown" if away is None else f"{percent(away.value)} % ({percent(away.low)} to {percent(away.high)})"
    why = f"at least 90 % asked; clean pictures refused {shown}, 1 % stated"
    return row(what, safe, variant=variant, bound=("at least", 0.9), why=why)


def repair_table(lines: Sequence[Line]) -> Table:
    """Methods by backdoors."""
    asr, lost_at_most, gap = ASKED
    columns = (
        Column(name="attack success left", better="low", asked=asr),
        Column(name="clean accuracy lost", unit="difference", better="low", asked=lost_at_most),
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
                 lines=tuple(lines))  # fmt: skip


def abstainer_table(lines: Sequence[Line]) -> Table:
    """Abstainers by backdoors."""
    columns = (
        Column(name="triggered pictures refused or read rightly", better="high", asked=0.9),
        Column(name="clean pictures refused", better="low"),
        Column(name="attack success left", better="low"),
    )
    return Table(title="What each abstainer does", rows="method", groups="backdoor", columns=columns,
                 lines=tuple(lines))  # fmt: skip


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
