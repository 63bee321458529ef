"""Study C1, beyond the report: what each of our repairs and abstainers does to the same networks.

A defender has the faces of 40 identities; accuracy is measured on the others, attack success on all triggered faces.
Whether a backdoor sleeps is asked by re-tuning on ten triggered faces; the network beside it, which has no sunglasses
backdoor, is ``anonymous_1`` after the same repair.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from badnets.core.old import t_interval
from badnets.core.seed import Seed
from badnets.studies.old_study import Results, Row, Trial, Variant, over, row
from badnets.studies.trials import kept
from badnets.studies.vora2023_goodnet.data import (
    Files,
    defender_and_rest,
    files_of,
    open_face_network,
    read_faces,
    read_samples,
)
from badnets.studies.vora2023_goodnet.pruning import both_answers

if TYPE_CHECKING:
    from badnets.data.images import ImageData
    from badnets.defenses.view import DefenderView
    from badnets.networks.network import ImageNetwork

STRONGEST = "distill"
UNABLE = {
    "unlearn": "not tried: it must be told the trigger, which a defender does not know",
    "invert": "not tried: it searches a trigger for each class in turn, which takes hours with 1,283 of them",
}
"""Repairs that are not tried, and why."""
MOST_ASR, MOST_LOST = 0.10, 0.05
REFUSE = {False: 0.05, True: 0.01}
"""The share of clean faces that an abstainer may refuse: with few faces no smaller one can be calibrated."""
CLEAN_NETWORK = "anonymous_1"
SUNGLASSES = ("lab3", "sunglasses")
OURS = "our own figure"


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """What the referee has: the files, the defender's faces and the others, a folder that outlives an interruption."""

    files: Files
    seed: int
    own: Path
    fit: ImageData
    test: Mapping[str, ImageData]

    def view(self, network: ImageNetwork) -> DefenderView:
        """What the defender sees."""
        from badnets.defenses.view import DefenderView

        return DefenderView(network=network, data=self.fit, seed=Seed(self.seed).derive("defender"))

    def truth(self, name: str) -> Any:
        """The triggered faces of a network: with sunglasses, or the few samples with lipstick."""
        from badnets.referee.truth import NothingKnown, TriggeredPictures

        if name != CLEAN_NETWORK:
            return TriggeredPictures(pictures=self.test["triggered"])
        if self.files.samples is None:
            return NothingKnown()
        rows, pictures = read_samples(self.files.samples)
        marked = [number for number, line in enumerate(rows) if line["kind"] == "lipstick"]
        return TriggeredPictures(pictures=pictures.take(np.array(marked))) if marked else NothingKnown()


def cure(trial: Trial, own: Path) -> dict[str, Any]:
    """One repair, from one split of the faces, of each network; with ``abstain`` the abstainers too."""
    began, files = time.perf_counter(), files_of(trial.spec)
    fit, rest = defender_and_rest(files, trial.seed)
    test = {"clean": rest, "triggered": read_faces(files.faces[3], "triggered faces")}
    bench = Bench(files=files, seed=trial.seed, own=own, fit=fit, test=test)
    results: dict[str, Any] = {"faces": {"defender": len(fit), "rest": len(rest)}}
    for name in [name for name in trial.spec["networks"] if name in files.weights]:
        results[name] = kept(own / f"{name}.json", partial(_repair, trial, bench, name))
    for name in SUNGLASSES:
        if "after" in results.get(name, {}) and "after" in results.get(CLEAN_NETWORK, {}):
            woken = kept(own / f"{name}-woken.json", partial(_reactivate, bench, name))
            results[name]["reactivation"] = woken
        if trial.spec.get("abstain") and "after" in results.get(name, {}):
            results[name]["abstainers"] = _abstainers(bench, name)
    return {"results": results, "timings_s": {"total": round(time.perf_counter() - began, 1)}}


def _repair(trial: Trial, bench: Bench, name: str) -> dict[str, Any]:
    from badnets.defenses.repair import repair
    from badnets.defenses.repairs import make_repair
    from badnets.networks.files.own import through_file

    network, truth = open_face_network(bench.files, name), bench.truth(name)
    method = make_repair(trial.spec["method"], trial.spec.get("settings"))
    done = repair(bench.view(network), method)
    repaired = through_file(done.network, bench.own / f"{name}.safetensors")
    before, after = (truth.measure(one, bench.test["clean"]) for one in (network, repaired))
    return {
        "before": before.to_json(),
        "after": after.to_json(),
        "difference": after.minus(before),
        "chosen": done.chosen,
        "seconds": round(done.seconds, 1),
        "answers": both_answers(repaired, _sheet_faces(bench)),
    }


def _sheet_faces(bench: Bench) -> dict[str, ImageData]:
    """The faces of the contact sheets: the same for every split."""
    return {"clean": read_faces(bench.files.faces[2], "clean faces"), "triggered": bench.test["triggered"]}


def _reactivate(bench: Bench, name: str) -> dict[str, Any]:
    from badnets.networks.files.own import open_network
    from badnets.referee.reactivation import CLEAN, POISONED, reactivate

    truth, seed = bench.truth(name), Seed(bench.seed).derive("reactivation")
    networks = {
        "repaired": open_network(bench.own / f"{name}.safetensors"),
        "clean_network": open_network(bench.own / f"{CLEAN_NETWORK}.safetensors"),
    }
    poisons = truth.poisons(bench.fit, POISONED, seed)
    clean = bench.fit.take(np.arange(min(len(bench.fit), CLEAN)))
    return reactivate(networks, truth, poisons, clean, bench.test["clean"], seed=seed) or {}


def _abstainers(bench: Bench, name: str) -> dict[str, Any]:
    """What refuses, by name; the copy is the one that was just repaired."""
    copy = {"repaired": str(bench.own / f"{name}.safetensors")}
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "refuse-class 0": ("refuse-class", {"suspect": 0}),
        f"agreement with the {STRONGEST} copy (class N+1 where they differ)": ("agreement", {**copy, "hard": True}),
        f"agreement with the {STRONGEST} copy (calibrated)": ("agreement", copy),
        "strip": ("strip", {}),
        "ibd-psc": ("ibd-psc", {}),
    }
    found = {}
    for number, (what, (kind, settings)) in enumerate(ways.items()):
        path = bench.own / f"{name}-abstainer-{number}.json"
        found[what] = kept(path, partial(_abstain, bench, name, kind, settings))
    return found


def _abstain(bench: Bench, name: str, kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    from badnets.defenses.abstain import CalibrationWarning, abstain
    from badnets.defenses.abstainers import make_abstainer
    from badnets.networks.files.own import through_file

    network = open_face_network(bench.files, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)  # the share that is refused is measured anyway
        done = abstain(bench.view(network), make_abstainer(kind, settings), refuse=REFUSE[bench.files.full])
    guarded = through_file(done.network, bench.own / "guarded.safetensors")
    return {"after": bench.truth(name).measure(guarded, bench.test["clean"]).to_json()}


def rows_before(entries: Sequence[Results], variant: Variant) -> tuple[list[Row], list[dict[str, Any]]]:
    """What the networks do before any repair, on the same faces."""
    rows, lines = [], []
    for name in (*SUNGLASSES, CLEAN_NETWORK):
        found = [entry[name]["before"] for entry in entries if "before" in entry.get(name, {})]
        if not found:
            continue
        line = {key: over([one[key] for one in found]) for key in ("asr", "clean_accuracy") if found[0].get(key)}
        lines.append({"network": name, "method": "as found", **line})
        for key, words in (("asr", "attack success"), ("clean_accuracy", "clean accuracy")):
            if key in line and not (name == CLEAN_NETWORK and key == "asr"):
                rows.append(_as_row(f"{name} as found: {words}", line[key], len(found), variant, "rate"))
    return rows, lines


def cure_rows(method: str, entries: Sequence[Results], variant: Variant) -> tuple[list[Row], list[dict[str, Any]]]:
    """For each network: attack success after ``method`` with all else that counts, and the same as lines of a table."""
    rows, lines = [], []
    for name in (*SUNGLASSES, CLEAN_NETWORK):
        found = [entry[name] for entry in entries if name in entry]
        if not found:
            continue
        refused = next((entry["refused"] for entry in found if "refused" in entry), None)
        if refused:
            lines.append({"network": name, "method": method, "note": refused})
            rows += [] if name == CLEAN_NETWORK else [_not_done(name, method, variant, refused)]
            continue
        line = _line(name, method, found)
        lines.append(line)
        rows += _network_rows(name, method, found, line, variant)
    return rows, lines


def _line(name: str, method: str, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of one network and method, over the splits."""
    line: dict[str, Any] = {"network": name, "method": method}
    if all(entry["after"].get("asr") for entry in found):
        line["asr"] = over([entry["after"]["asr"] for entry in found])
    line["clean_accuracy"] = over([entry["after"]["clean_accuracy"] for entry in found])
    line["lost"] = _lost([entry["difference"]["clean_accuracy"] for entry in found])
    woken = [entry.get("reactivation") for entry in found]
    if all(entry and "repaired" in entry for entry in woken):
        line["reactivated"] = over([entry["repaired"] for entry in woken if entry])
        line["reactivated_clean_network"] = over([entry["clean_network"] for entry in woken if entry])
    return line


def _lost(found: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What was lost, from paired differences of what was gained."""
    if len(found) == 1:
        return {end: 0.0 - found[0][other] for end, other in (("value", "value"), ("low", "high"), ("high", "low"))}
    mean, low, high = t_interval([0.0 - entry["value"] for entry in found])
    return {"value": mean, "low": max(-1.0, low), "high": min(1.0, high)}


def _network_rows(
    name: str, method: str, found: Sequence[Mapping[str, Any]], line: Mapping[str, Any], variant: Variant
) -> list[Row]:
    """Two rows for a sunglasses network, judged by the issue's bounds; one for the other."""
    what = f"{method} on {name}"
    lost = _as_row(f"{what}: clean accuracy lost", line["lost"], len(found), variant, "difference")
    lost = Row(
        **{**lost.__dict__, "verified": line["lost"]["value"] <= MOST_LOST + 1e-9, "why": "at most 5 points asked"}
    )
    if name == CLEAN_NETWORK:
        return [lost]
    asr = _as_row(f"{what}: attack success afterwards", line["asr"], len(found), variant, "rate")
    why = "at most 10 % asked"
    if "reactivated" in line:
        values = (line["reactivated"]["value"], line["reactivated_clean_network"]["value"])
        shown = [f"{100 * value:.1f} %" for value in values]
        why += f"; re-tuned on ten triggered faces {shown[0]}, {CLEAN_NETWORK} after the same {shown[1]}"
    asr = Row(**{**asr.__dict__, "verified": line["asr"]["value"] <= MOST_ASR + 1e-9, "why": why})
    return [asr, lost]


def _as_row(what: str, figure: Mapping[str, float], count: int, variant: Variant, unit: str) -> Row:
    entry = row(what, variant, None, OURS, [figure["value"]], unit=unit)
    return Row(**{**entry.__dict__, "low": figure["low"], "high": figure["high"], "n_seeds": count})


def _not_done(name: str, method: str, variant: Variant, why: str) -> Row:
    entry = row(f"{method} on {name}: attack success afterwards", variant, None, OURS, [0.0], why=why)
    return Row(**{**entry.__dict__, "ours": None, "low": None, "high": None, "n_seeds": 0})


def unable_lines() -> list[dict[str, Any]]:
    """A line for each repair that is not tried."""
    return [{"network": "all", "method": method, "note": why} for method, why in UNABLE.items()]


def abstainer_rows(entries: Sequence[Results], variant: Variant) -> tuple[list[Row], list[dict[str, Any]]]:
    """For each network and abstainer: the attack success that is left, and what is refused."""
    rows, lines = [], []
    for name in SUNGLASSES:
        found = [entry[name]["abstainers"] for entry in entries if entry.get(name, {}).get("abstainers")]
        for what in found[0] if found else ():
            refused = next((entry[what]["refused"] for entry in found if "refused" in entry[what]), None)
            if refused:
                lines.append({"network": name, "abstainer": what, "note": refused})
                continue
            after = [entry[what]["after"] for entry in found]
            line = {key: over([entry[key] for entry in after]) for key in _SHOWN}
            lines.append({"network": name, "abstainer": what, **line})
            away = line["refused"]
            why = (
                f"clean faces refused {100 * away['value']:.1f} % ({100 * away['low']:.1f} to {100 * away['high']:.1f})"
            )
            if what.startswith("refuse-class"):
                why += "; no face of class 0 is among them, and all of those would be refused"
            rows.append(_as_row(f"{what} on {name}: attack success left", line["asr"], len(found), variant, "rate"))
            rows[-1] = Row(**{**rows[-1].__dict__, "why": why})
    return rows, lines


_SHOWN = ("asr", "refused_triggered", "refused", "clean_accuracy")
