"""Study C1, beyond the report: what each of our repairs and abstainers does to the same networks.

A defender has the faces of 40 identities; accuracy is measured on the others, attack success on all triggered faces.
Whether a backdoor sleeps is asked by re-tuning on ten triggered faces; the network beside it, which has no sunglasses
backdoor, is ``anonymous_1`` after the same repair.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from badnets.core.rate import Interval, Rate
from badnets.core.seed import Seed
from badnets.records.blocks import Column, Line, Table
from badnets.records.certificate import Change, Reactivation, Standing
from badnets.records.model import JSON, Model
from badnets.records.study import StudyRow, Variant
from badnets.studies.study import Done, Trial, TrialResult, lost, over, row
from badnets.studies.trials import Refused, kept, within
from badnets.studies.vora2023_goodnet.data import (
    FACTS,
    Files,
    defender_and_rest,
    files_of,
    open_face_network,
    read_faces,
    read_samples,
)
from badnets.studies.vora2023_goodnet.pruning import Answers, both_answers

if TYPE_CHECKING:
    from badnets.data.images import ImageData
    from badnets.referee.bench import Bench
    from badnets.referee.truth import Truth

STRONGEST = "distill"
UNABLE: Mapping[str, str] = FACTS["unable"]
"""Repairs that are not tried, and why."""
MOST_ASR, MOST_LOST = 0.10, 0.05
REFUSE = {False: 0.05, True: 0.01}
"""The share of clean faces that an abstainer may refuse: with few faces no smaller one can be calibrated."""
CLEAN_NETWORK = "anonymous_1"
SUNGLASSES = ("lab3", "sunglasses")
NETWORKS = (*SUNGLASSES, CLEAN_NETWORK)


class Cured(Model):
    """One network before and after a repair, and its answers to the faces of the contact sheets."""

    before: Standing
    after: Standing
    difference: Change
    chosen: str
    seconds: float
    answers: Answers


class Woken(Model):
    """Of a network that was repaired and re-tuned; None where no gradient comes through."""

    reactivation: Reactivation | None


class Cures(Model):
    """A trial: one repair of each network, by name, and what each abstainer makes of it."""

    networks: dict[str, Cured | Refused]
    reactivations: dict[str, Woken | Refused]
    abstainers: dict[str, dict[str, Standing | Refused]]


Trials = Sequence[TrialResult[Cures]]


def cure(trial: Trial, own: Path) -> Done[Cures]:
    """One repair, from one split of the faces, of each network; with ``abstain`` the abstainers too."""
    from badnets.referee.bench import Bench

    files = files_of(trial.spec)
    fit, rest = defender_and_rest(files, trial.seed)
    triggered, seed = read_faces(files.faces[3], "triggered faces"), Seed(trial.seed)
    benches = {
        name: Bench(defender=fit, spare=fit, test=rest, truth=_truth(files, name, triggered), seed=seed,
                    method_seed=seed.derive("defender"), folder=own)
        for name in trial.spec["networks"] if name in files.weights
    }  # fmt: skip
    networks = {
        name: kept(own / f"{name}.json", Cured, partial(_repair, trial, bench, files, name))
        for name, bench in benches.items()
    }
    there = [name for name in SUNGLASSES if isinstance(networks.get(name), Cured)]
    woken, abstainers = {}, {}
    for name in there:
        if isinstance(networks.get(CLEAN_NETWORK), Cured):
            woken[name] = kept(own / f"{name}-woken.json", Woken, partial(_reactivate, benches[name], own, name))
        if trial.spec.get("abstain"):
            abstainers[name] = _abstainers(benches[name], files, own, name)
    return Done(Cures(networks=networks, reactivations=woken, abstainers=abstainers))


def _truth(files: Files, name: str, triggered: ImageData) -> Truth:
    """The triggered faces of a network: with sunglasses, or the few samples with lipstick."""
    from badnets.referee.truth import NothingKnown, TriggeredPictures

    if name != CLEAN_NETWORK:
        return TriggeredPictures(pictures=triggered)
    if files.samples is None:
        return NothingKnown()
    rows, pictures = read_samples(files.samples)
    marked = [number for number, line in enumerate(rows) if line["kind"] == "lipstick"]
    return TriggeredPictures(pictures=pictures.take(np.array(marked))) if marked else NothingKnown()


def _repair(trial: Trial, bench: Bench, files: Files, name: str) -> Cured:
    from badnets.defenses.repairs import make_repair

    network, own = open_face_network(files, name), bench.folder or Path()
    method = make_repair(trial.spec["method"], trial.spec.get("settings"))
    done, repaired = bench.repaired(method, network, into=own / f"{name}.safetensors")
    before, after = bench.answers(network), bench.answers(repaired)
    # The faces of the contact sheets are the same for every split.
    shown = {"clean": read_faces(files.faces[2], "clean faces"), "triggered": read_faces(files.faces[3], "triggered")}
    return Cured(
        before=before.standing,
        after=after.standing,
        difference=after.minus(before),
        chosen=done.chosen,
        seconds=round(done.seconds, 1),
        answers=both_answers(repaired, shown),
    )


def _reactivate(bench: Bench, own: Path, name: str) -> Woken:
    from badnets.networks.files.own import open_network
    from badnets.referee.bench import CLEAN

    repaired, clean = (open_network(own / f"{one}.safetensors") for one in (name, CLEAN_NETWORK))
    beside = bench.defender.take(np.arange(min(len(bench.defender), CLEAN)))
    return Woken(reactivation=bench.reactivation({"repaired": repaired, "clean_network": clean}, clean=beside))


def _abstainers(bench: Bench, files: Files, own: Path, name: str) -> dict[str, Standing | Refused]:
    """What refuses, by name; the copy is the one that was just repaired."""
    copy = {"repaired": str(own / f"{name}.safetensors")}
    ways: dict[str, tuple[str, JSON]] = {
        "refuse-class 0": ("refuse-class", {"suspect": 0}),
        f"agreement with the {STRONGEST} copy (class N+1 where they differ)": ("agreement", {**copy, "hard": True}),
        f"agreement with the {STRONGEST} copy (calibrated)": ("agreement", copy),
        "strip": ("strip", {}),
        "ibd-psc": ("ibd-psc", {}),
    }
    return {
        what: kept(own / f"{name}-abstainer-{number}.json", Standing, partial(_abstain, bench, files, name, *way))
        for number, (what, way) in enumerate(ways.items())
    }


def _abstain(bench: Bench, files: Files, name: str, kind: str, settings: JSON) -> Standing:
    from badnets.defenses.abstain import CalibrationWarning
    from badnets.defenses.abstainers import make_abstainer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)  # the share that is refused is measured anyway
        method = make_abstainer(kind, settings)
        _, guarded = bench.guarded(method, open_face_network(files, name), refuse=REFUSE[files.full])
    return bench.standing(guarded)


def rows_before(trials: Trials, variant: Variant) -> tuple[list[StudyRow], list[Line]]:
    """What the networks do before any repair, on the same faces."""
    rows, lines = [], []
    for name in NETWORKS:
        found = _cured(trials, name)
        if isinstance(found, Refused) or not found:
            continue
        asr, accuracy = over(found, lambda one: one.before.asr), over(found, lambda one: one.before.clean_accuracy)
        lines.append(Line(group=name, name="as found", cells=(asr, accuracy, None, None, None)))
        if asr is not None and name != CLEAN_NETWORK:
            rows.append(row(f"{name} as found: attack success", asr, variant=variant))
        rows.append(row(f"{name} as found: clean accuracy", accuracy, variant=variant))
    return rows, lines


ABSENT = Refused(refused="")
"""A network that was not at hand."""


def _cured(trials: Trials, name: str) -> list[TrialResult[Cured]] | Refused:
    return within(trials, lambda cures: cures.networks.get(name, ABSENT))


def _guarded(trials: Trials, name: str, what: str) -> list[TrialResult[Standing]] | Refused:
    return within(trials, lambda cures: cures.abstainers[name][what])


def cure_rows(method: str, trials: Trials, variant: Variant) -> tuple[list[StudyRow], list[Line]]:
    """For each network: attack success after ``method`` with all else that counts, and the same as lines of a table."""
    rows, lines = [], []
    for name in NETWORKS:
        found = _cured(trials, name)
        if found == ABSENT:
            continue
        note = found.refused if isinstance(found, Refused) else ""
        cells = (None,) * 5 if isinstance(found, Refused) else _cells(name, found, trials)
        lines.append(Line(group=name, name=method, note=note, cells=() if note else cells))
        rows += network_rows(name, method, cells, variant, note)
    return rows, lines


Cells = tuple[Interval | None, ...]
"""Attack success, clean accuracy, what of it is lost, attack success after re-tuning, the same on the clean network."""


def _cells(name: str, found: Sequence[TrialResult[Cured]], trials: Trials) -> Cells:
    """The figures of one network and method, over the splits; None where they are not known."""
    woken = within(trials, lambda cures: cures.reactivations.get(name, ABSENT))
    again = [] if isinstance(woken, Refused) else woken
    return (
        over(found, lambda one: one.after.asr),
        over(found, lambda one: one.after.clean_accuracy),
        over(found, lambda one: lost(one.difference)),
        over(again, lambda one: one.reactivation and one.reactivation.repaired),
        over(again, lambda one: one.reactivation and one.reactivation.clean_network),
    )


def network_rows(name: str, method: str, cells: Cells, variant: Variant, refused: str) -> list[StudyRow]:
    """Two rows for a sunglasses network, judged by the issue's bounds; one for the other; one where there is none."""
    what = f"{method} on {name}"
    success, _, gone, *woken = cells
    why = "at most 10 % asked"
    if woken[0] is not None and woken[1] is not None:
        again, clean = (f"{100 * float(figure):.1f} %" for figure in woken if figure is not None)
        why += f"; re-tuned on ten triggered faces {again}, {CLEAN_NETWORK} after the same {clean}"
    asr = row(f"{what}: attack success afterwards", success, variant=variant, bound=("at most", MOST_ASR + 1e-9),
              why=refused or why)  # fmt: skip
    if refused:
        return [] if name == CLEAN_NETWORK else [asr]
    loss = row(f"{what}: clean accuracy lost", gone, variant=variant, bound=("at most", MOST_LOST + 1e-9),
               why="at most 5 points asked")  # fmt: skip
    return [loss] if name == CLEAN_NETWORK else [asr, loss]


def cure_table(lines: Sequence[Line]) -> Table:
    """Repairs by networks, and those that are not tried."""
    unable = [Line(group="all", name=method, note=why) for method, why in UNABLE.items()]
    columns = (
        Column(name="attack success left", better="low", asked=MOST_ASR),
        Column(name="clean accuracy", better="high"),
        Column(name="clean accuracy lost", unit="difference", better="low", asked=MOST_LOST),
        Column(name="re-tuned: attack success", better="low"),
        Column(name=f"re-tuned: {CLEAN_NETWORK}"),
    )
    return Table(title="What each repair does", note="Re-tuned on ten triggered faces.", rows="method",
                 groups="network", columns=columns, lines=(*lines, *unable))  # fmt: skip


def abstainer_rows(trials: Trials, variant: Variant) -> tuple[list[StudyRow], list[Line]]:
    """For each network and abstainer: the attack success that is left, and what is refused."""
    rows, lines = [], []
    for name in SUNGLASSES:
        for what in trials[0].results.abstainers.get(name, ()) if trials else ():
            found = _guarded(trials, name, what)
            if isinstance(found, Refused):
                lines.append(Line(group=name, name=what, note=found.refused))
                continue
            cells = (
                over(found, lambda one: one.asr),
                over(found, lambda one: one.refused_triggered),
                over(found, lambda one: one.refused),
                over(found, lambda one: one.clean_accuracy),
            )
            lines.append(Line(group=name, name=what, cells=cells))
            rows.append(abstainer_row(name, what, cells, variant))
    return rows, lines


def abstainer_row(name: str, what: str, cells: Cells, variant: Variant) -> StudyRow:
    """The attack success that is left; ``cells`` are those of the table."""
    success, _, away, _ = cells
    low, high = (0.0, 0.0) if away is None else (away.low or 0.0, away.high or 0.0)
    why = f"clean faces refused {100 * float(away or Rate(0, 1)):.1f} % ({100 * low:.1f} to {100 * high:.1f})"
    if what.startswith("refuse-class"):
        why += "; no face of class 0 is among them, and all of those would be refused"
    return row(f"{what} on {name}: attack success left", success, variant=variant, why=why)


def abstainer_table(lines: Sequence[Line]) -> Table:
    """Abstainers by networks."""
    columns = (
        Column(name="attack success left", better="low"),
        Column(name="triggered faces refused", better="high"),
        Column(name="clean faces refused", better="low"),
        Column(name="clean accuracy", better="high"),
    )
    return Table(title="What each abstainer does", rows="method", groups="network", columns=columns,
                 lines=tuple(lines))  # fmt: skip
