"""Study C1, beyond the report: what each of our repairs and abstainers does to the same networks.

A defender has the faces of 40 identities; accuracy is measured on the others, attack success on all triggered faces.
Whether a backdoor sleeps is asked by re-tuning on ten triggered faces; the network beside it, which has no sunglasses
backdoor, is ``anonymous_1`` after the same repair.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from badnets.core.rate import Interval, Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.abstain import CalibrationWarning
from badnets.defenses.abstainers import make_abstainer
from badnets.defenses.repairs import make_repair
from badnets.networks.files.own import open_network
from badnets.records.blocks import Line, Table
from badnets.records.certificate import Change, Reactivation, Standing
from badnets.records.model import JSON, Model
from badnets.records.study import StudyRow, Variant
from badnets.referee.bench import CLEAN, Bench
from badnets.referee.truth import NothingKnown, TriggeredPictures, Truth
from badnets.studies.figures import figure_table, parts_at, row, seed_mean, table_line
from badnets.studies.study import Done, Refused, Trial, Trials
from badnets.studies.trials import kept
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

STRONGEST = "distill"
UNABLE: Mapping[str, str] = FACTS["unable"]
"""Repairs that are not tried, and why."""
MOST_ASR, MOST_LOST = 0.10, 0.05
REFUSE = {False: 0.05, True: 0.01}
"""The share of clean faces that an abstainer may refuse: with few faces no smaller one can be calibrated."""
CLEAN_NETWORK = "anonymous_1"
SUNGLASSES = ("lab3", "sunglasses")
NETWORKS = (*SUNGLASSES, CLEAN_NETWORK)
TABLES = FACTS["tables"]


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


def cure(trial: Trial, folder: Path) -> Done[Cures]:
    """One repair, from one split of the faces, of each network; with ``abstain`` the abstainers too."""
    files = files_of(trial.spec)
    fit, rest = defender_and_rest(files, trial.seed)
    triggered, seed = read_faces(files.faces[3], "triggered faces"), Seed(trial.seed)
    benches = {
        name: Bench(defender=fit, spare=fit, test=rest, truth=_truth(files, name, triggered), seed=seed,
                    method_seed=seed.derive("defender"), folder=folder)
        for name in trial.spec["networks"] if name in files.weights
    }  # fmt: skip
    networks = {
        name: kept(folder / f"{name}.json", Cured, partial(_repair, trial, bench, files, name))
        for name, bench in benches.items()
    }
    there = [name for name in SUNGLASSES if isinstance(networks.get(name), Cured)]
    woken, abstainers = {}, {}
    for name in there:
        if isinstance(networks.get(CLEAN_NETWORK), Cured):
            woken[name] = kept(folder / f"{name}-woken.json", Woken, partial(_reactivate, benches[name], folder, name))
        if trial.spec.get("abstain"):
            abstainers[name] = _abstainers(benches[name], files, folder, name)
    return Done(Cures(networks=networks, reactivations=woken, abstainers=abstainers))


def _truth(files: Files, name: str, triggered: ImageData) -> Truth:
    """The triggered faces of a network: with sunglasses, or the few samples with lipstick."""
    if name != CLEAN_NETWORK:
        return TriggeredPictures(pictures=triggered)
    if files.samples is None:
        return NothingKnown()
    rows, pictures = read_samples(files.samples)
    marked = [number for number, line in enumerate(rows) if line["kind"] == "lipstick"]
    return TriggeredPictures(pictures=pictures.take(np.array(marked))) if marked else NothingKnown()


def _repair(trial: Trial, bench: Bench, files: Files, name: str) -> Cured:
    network, folder = open_face_network(files, name), bench.folder or Path()
    done, repaired = bench.repaired(make_repair(trial.spec["method"]), network, into=folder / f"{name}.safetensors")
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


def _reactivate(bench: Bench, folder: Path, name: str) -> Woken:
    repaired, clean = (open_network(folder / f"{one}.safetensors") for one in (name, CLEAN_NETWORK))
    beside = bench.defender.take(np.arange(min(len(bench.defender), CLEAN)))
    return Woken(reactivation=bench.reactivation({"repaired": repaired, "clean_network": clean}, clean=beside))


def _abstainers(bench: Bench, files: Files, folder: Path, name: str) -> dict[str, Standing | Refused]:
    """What refuses, by name; the copy is the one that was just repaired."""
    copy = {"repaired": str(folder / f"{name}.safetensors")}
    ways: dict[str, tuple[str, JSON]] = {
        "refuse-class 0": ("refuse-class", {"suspect": 0}),
        f"agreement with the {STRONGEST} copy (class N+1 where they differ)": ("agreement", {**copy, "hard": True}),
        f"agreement with the {STRONGEST} copy (calibrated)": ("agreement", copy),
        "strip": ("strip", {}),
        "ibd-psc": ("ibd-psc", {}),
    }
    return {
        what: kept(folder / f"{name}-abstainer-{number}.json", Standing, partial(_abstain, bench, files, name, *way))
        for number, (what, way) in enumerate(ways.items())
    }


def _abstain(bench: Bench, files: Files, name: str, kind: str, settings: JSON) -> Standing:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)  # the share that is refused is measured anyway
        method = make_abstainer(kind, settings)
        _, guarded = bench.guarded(method, open_face_network(files, name), refuse=REFUSE[files.full])
    return bench.standing(guarded)


def rows_before(trials: Trials, variant: Variant) -> tuple[list[StudyRow], list[Line]]:
    """What the networks do before any repair, on the same faces."""
    rows, lines = [], []
    for name in NETWORKS:
        networks = parts_at(trials, f"networks.{name}")
        if isinstance(networks, Refused) or not networks:
            continue
        asr, accuracy = (seed_mean(networks, f"before.{figure}") for figure in ("asr", "clean_accuracy"))
        lines.append(Line(group=name, name="as found", cells=(asr, accuracy, None, None, None)))
        if asr is not None and name != CLEAN_NETWORK:
            rows.append(row(f"{name} as found: attack success", asr, variant=variant))
        rows.append(row(f"{name} as found: clean accuracy", accuracy, variant=variant))
    return rows, lines


Cells = tuple[Interval | None, ...]
"""Attack success, clean accuracy, what of it is lost, attack success after re-tuning, the same on the clean network."""


def cure_rows(method: str, trials: Trials, variant: Variant) -> tuple[list[StudyRow], list[Line]]:
    """For each network: attack success after ``method`` with all else that counts, and the same as lines of a table."""
    rows, lines = [], []
    for name in NETWORKS:
        networks = parts_at(trials, f"networks.{name}")
        note = networks.refused if isinstance(networks, Refused) else ""
        if isinstance(networks, Refused) and not note:  # it was not at hand
            continue
        paths = (column["figure"].format(network=name) for column in TABLES["cures"]["columns"])
        cells = tuple(seed_mean(trials, path) for path in paths)
        lines.append(Line(group=name, name=method, note=note, cells=() if note else cells))
        rows += _network_rows(name, method, cells, variant, note)
    return rows, lines


def _network_rows(name: str, method: str, cells: Cells, variant: Variant, refused: str) -> list[StudyRow]:
    """Two rows for a sunglasses network, judged by the issue's bounds; one for the other; one where there is none."""
    success, _, lost, again, clean = cells
    why = "at most 10 % asked"
    if again is not None and clean is not None:
        why += (
            f"; re-tuned on ten triggered faces {100 * float(again):.1f} %, {CLEAN_NETWORK} after the same "
            f"{100 * float(clean):.1f} %"
        )
    asr = row(f"{method} on {name}: attack success afterwards", success, variant=variant,
              bound=("at most", MOST_ASR + 1e-9), why=refused or why)  # fmt: skip
    loss = row(f"{method} on {name}: clean accuracy lost", lost, variant=variant, bound=("at most", MOST_LOST + 1e-9),
               why="at most 5 points asked")  # fmt: skip
    return ([] if name == CLEAN_NETWORK else [asr]) + ([] if refused else [loss])


def cure_table(lines: list[Line]) -> Table:
    """Repairs by networks, and those that are not tried."""
    return figure_table(TABLES["cures"], [*lines, *(Line(group="all", name=n, note=why) for n, why in UNABLE.items())])


def abstainer_rows(trials: Trials, variant: Variant) -> tuple[list[StudyRow], list[Line]]:
    """For each network and abstainer: the attack success that is left, and what is refused."""
    rows, lines = [], []
    for name in SUNGLASSES:
        for what in trials[0].results.abstainers.get(name, ()) if trials else ():
            line = table_line(TABLES["abstainers"], what, parts_at(trials, f"abstainers.{name}.{what}"), name)
            lines.append(line)
            if not line.note:
                rows.append(_abstainer_row(line, variant))
    return rows, lines


def _abstainer_row(line: Line, variant: Variant) -> StudyRow:
    """The attack success that is left."""
    success, _, refused, _ = (cell if isinstance(cell, Interval) else None for cell in line.cells)
    low, high = (0.0, 0.0) if refused is None else (refused.low or 0.0, refused.high or 0.0)
    why = f"clean faces refused {100 * float(refused or Rate(0, 1)):.1f} % ({100 * low:.1f} to {100 * high:.1f})"
    if line.name.startswith("refuse-class"):
        why += "; no face of class 0 is among them, and all of those would be refused"
    return row(f"{line.name} on {line.group}: attack success left", success, variant=variant, why=why)
