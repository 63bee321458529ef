"""Our own study: what each repair and each abstainer does to the same BadNets, and to clean networks.

A defender has 5 % of the training pictures, clean. Four BadNets: a pattern and a blended picture in digits, a checkered
pattern and a blended picture in traffic signs; every method with its default settings, the same for all. Each repair
is also done to the clean reference of the same seed, and both repaired networks are re-tuned on ten poisoned pictures.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from badnets.core.old import t_interval
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.studies.old_study import Outcome, Results, Row, Settings, Study, Trial, Variant, over, row
from badnets.studies.trials import kept

OURS = "our own figure"
SHARE = 0.05
GIVEN = ("unlearn", "refuse-class")
"""Methods that must be told the trigger or the target: no match for the others."""
SIGNS = {"epochs": 5, "augment": []}
CHECKS = {"kind": "checkerboard", "size": 3}
"""In place of four white pixels, which cannot be seen on the one sign in twenty whose corner is white."""
SETUPS: Mapping[str, dict[str, Any]] = {
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
WOKEN = 2000
"""Test pictures that re-tuned networks are measured on; they are measured three times for each method."""
Pictures = tuple[Any, Any, Any]


def _methods() -> list[str]:
    from badnets.defenses.repairs import REPAIRS

    return [name for name in REPAIRS.own if name not in GIVEN]


def _abstainers() -> list[str]:
    from badnets.defenses.abstainers import ABSTAINERS

    return [name for name in ABSTAINERS.own if name not in GIVEN]


def trials(settings: Settings) -> list[Trial]:
    """One for each BadNet and seed: it is trained once, and every method gets it."""
    out = []
    for seed in range(1, settings.seeds + 1):
        for name, setup in SETUPS.items():
            if settings.quick and name != "mnist-pattern":
                continue
            data: dict[str, Any] = {"name": setup["data"], **({"path": settings.data} if settings.data else {})}
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
            out.append(Trial(name=f"{name}-s{seed}", spec=spec, seed=seed, work=_one))
    return out


def _one(trial: Trial, own: Path) -> dict[str, Any]:
    """Train a BadNet and its reference, and put every method to them; each finished method is kept in ``own``."""
    from badnets.core.progress import Watcher
    from badnets.referee.run import load_data, run_seed
    from badnets.referee.spec import make_spec

    began = time.perf_counter()
    names = ("repairs", "abstainers", "share")
    table = {key: value for key, value in trial.spec.items() if key not in names}
    spec = make_spec({**table, "seeds": [trial.seed]}, where=f"trial {trial.name}")
    data = load_data(spec.data)
    trained = run_seed(spec, trial.seed, data, own, Watcher(), pictures=False)
    bench = _bench(spec, trial, data, own)
    results: dict[str, Any] = {"trained": _plain(trained["results"])}
    for kind, act in (("repairs", _repair), ("abstainers", _abstain)):
        results[kind] = {}
        for method in trial.spec[kind]:
            results[kind][method] = kept(own / f"{kind}-{method}.json", partial(act, method, bench))
    seconds = round(time.perf_counter() - began, 1)
    return {"results": results, "timings_s": {**trained["timings_s"], "total": seconds}}


def _plain(results: Mapping[str, Any]) -> dict[str, Any]:
    names = ("clean_accuracy", "asr", "robust_accuracy", "clean_reference_rate", "clean_reference_accuracy")
    return {name: results[name] for name in names}


def _bench(spec: Any, trial: Trial, data: Any, own: Path) -> dict[str, Any]:
    """What the referee has: both networks reopened from their files, the defender's pictures, the truth."""
    import numpy as np

    from badnets.data.splits import draw
    from badnets.networks.files.own import open_network
    from badnets.referee.run import clean_reference
    from badnets.referee.truth import KnownTrigger

    seed = Seed(trial.seed)
    clean, _ = clean_reference(spec, data.train, seed)
    rows = draw(data.train, round(trial.spec["share"] * len(data.train)), seed.derive("defender"))
    truth = KnownTrigger(backdoor=spec.backdoor.backdoor, seed=seed.derive("measure"))
    networks = {"bad": open_network(own / f"seed-{trial.seed}" / "network.safetensors"), "clean": clean}
    return {
        "seed": seed,
        "own": own,
        **networks,
        "before": {name: truth.measure(network, data.test) for name, network in networks.items()},
        "defender": data.train.take(rows),
        "spare": data.train.take(np.setdiff1d(np.arange(len(data.train)), rows)),
        "test": data.test,
        "truth": truth,
    }


def _view(network: Any, bench: Mapping[str, Any]) -> Any:
    from badnets.defenses.view import DefenderView

    return DefenderView(network=network, data=bench["defender"], seed=bench["seed"].derive("defender"))


def _repair(method: str, bench: Mapping[str, Any]) -> dict[str, Any]:
    from badnets.data.splits import draw
    from badnets.defenses.repair import repair
    from badnets.defenses.repairs import make_repair
    from badnets.networks.files.own import through_file
    from badnets.referee.reactivation import CLEAN, POISONED, reactivate

    truth, test = bench["truth"], bench["test"]
    value: dict[str, Any] = {}
    repaired = {}
    for name in ("bad", "clean"):
        done = repair(_view(bench[name], bench), make_repair(method))
        repaired[name] = through_file(done.network, bench["own"] / "repaired.safetensors")
        before, after = bench["before"][name], truth.measure(repaired[name], test)
        value[name] = {"before": before.to_json(), "after": after.to_json(), "difference": after.minus(before)}
        value[name] |= {"chosen": done.chosen, "seconds": round(done.seconds, 2), "steps": len(done.trace)}
    seed = bench["seed"].derive("reactivation")
    poisons = truth.poisons(bench["spare"], POISONED, seed)
    clean = bench["defender"].take(draw(bench["defender"], CLEAN, seed.derive("clean")))
    networks = {"repaired": repaired["bad"], "clean_network": repaired["clean"]}
    some = test.take(draw(test, WOKEN, seed.derive("test")))
    value["reactivation"] = reactivate(networks, truth, poisons, clean, some, seed=seed)
    return value


def _abstain(method: str, bench: Mapping[str, Any]) -> dict[str, Any]:
    from badnets.defenses.abstain import abstain
    from badnets.defenses.abstainers import make_abstainer
    from badnets.networks.files.own import through_file

    truth, test = bench["truth"], bench["test"]
    began = time.perf_counter()
    done = abstain(_view(bench["bad"], bench), make_abstainer(method), refuse=REFUSE)
    seconds = round(time.perf_counter() - began, 2)
    after = truth.measure(through_file(done.network, bench["own"] / "repaired.safetensors"), test)
    safe = Rate.of(after.refused_triggered | after.robust)
    return {"after": after.to_json(), "safe": safe.to_json(), "chosen": done.chosen, "seconds": seconds}


def assemble(settings: Settings, results: Mapping[str, Results], _folder: Path) -> Outcome:
    """A row for each BadNet and method: attack success afterwards, judged by all that the issue of a cure asks."""
    variant: Variant = "quick" if settings.quick else "corrected"
    rows: list[Row] = []
    tables: dict[str, Any] = {}
    for name in SETUPS:
        found = [entry["results"] for key, entry in sorted(results.items()) if key.startswith(f"{name}-s")]
        if not found:
            continue
        before = [entry["trained"] for entry in found]
        base = row(f"{name}: attack success before any repair", variant, None, OURS, _values(before, "asr"))
        rows.append(_with_interval(base, over([entry["asr"] for entry in before])))
        for method in found[0]["repairs"]:
            line = _repair_line(name, method, [entry["repairs"][method] for entry in found], variant)
            rows.append(line[0])
            tables.setdefault("repairs", []).append({"badnet": name, "method": method, **line[1]})
        for method in found[0]["abstainers"]:
            line = _abstainer_line(name, method, [entry["abstainers"][method] for entry in found], variant)
            rows.append(line[0])
            tables.setdefault("abstainers", []).append({"badnet": name, "method": method, **line[1]})
    return Outcome(rows=rows, tables=tables)


def _values(entries: list[Any], name: str) -> list[float]:
    return [float(entry[name]["value"]) for entry in entries]


def _interval(values: list[float]) -> dict[str, float]:
    mean, low, high = t_interval(values)
    return {"value": mean, "low": low, "high": high}


def _with_interval(base: Row, found: Mapping[str, float]) -> Row:
    return Row(**{**base.__dict__, "low": found["low"], "high": found["high"]})


def _nothing(what: str, variant: Variant, why: str) -> tuple[Row, dict[str, Any]]:
    empty = row(what, variant, None, OURS, [0.0], why=why)
    return Row(**{**empty.__dict__, "ours": None, "low": None, "high": None, "n_seeds": 0}), {"refused": why}


def _repair_line(name: str, method: str, entries: list[Any], variant: Variant) -> tuple[Row, dict[str, Any]]:
    what = f"{name}, {method}: attack success afterwards"
    refused = next((entry["refused"] for entry in entries if "refused" in entry), None)
    if refused:
        return _nothing(what, variant, refused)
    bad, clean = [entry["bad"] for entry in entries], [entry["clean"] for entry in entries]
    after = [entry["after"] for entry in bad]
    asr = _values(after, "asr")
    figures = {
        "asr": over([entry["asr"] for entry in after]),
        "lost": _interval([-v for v in _values([e["difference"] for e in bad], "clean_accuracy")]),
        "robust_gap": _interval(
            [a - r for a, r in zip(_values(after, "clean_accuracy"), _values(after, "robust_accuracy"), strict=True)]
        ),
        "clean_network_lost": _interval([-v for v in _values([e["difference"] for e in clean], "clean_accuracy")]),
        "seconds": _interval([entry["seconds"] for entry in bad]),
    }
    woken = [entry["reactivation"] for entry in entries]
    if all(woken):
        figures["reactivated"] = over([entry["repaired"] for entry in woken])
        figures["reactivated_clean_network"] = over([entry["clean_network"] for entry in woken])
    asked = {"asr": 0.02, "lost": 0.01, "robust_gap": 0.05}
    cured = all(figures[key]["value"] <= limit for key, limit in asked.items())
    base = _with_interval(row(what, variant, None, OURS, asr, why=_in_words(figures)), figures["asr"])
    return Row(**{**base.__dict__, "verified": cured}), {**figures, "cured": cured}


def _in_words(figures: Mapping[str, Mapping[str, float]]) -> str:
    """The other figures of a repair, in points of 100."""

    def points(key: str) -> str:
        found = {name: 100 * value for name, value in figures[key].items()}
        return f"{found['value']:.2f} ({found['low']:.2f} to {found['high']:.2f})"

    words = [
        f"clean accuracy lost {points('lost')} points",
        f"robust accuracy {points('robust_gap')} points below it",
        f"a clean network loses {points('clean_network_lost')}",
    ]
    if "reactivated" in figures:
        words.append(
            f"reactivated to {points('reactivated')} %, a clean network to {points('reactivated_clean_network')} %"
        )
    return "; ".join(words)


def _abstainer_line(name: str, method: str, entries: list[Any], variant: Variant) -> tuple[Row, dict[str, Any]]:
    what = f"{name}, abstainer {method}: triggered pictures refused or read rightly"
    refused = next((entry["refused"] for entry in entries if "refused" in entry), None)
    if refused:
        return _nothing(what, variant, refused)
    safe = [float(entry["safe"]["value"]) for entry in entries]
    after = [entry["after"] for entry in entries]
    away = over([entry["refused"] for entry in after])
    left = over([entry["asr"] for entry in after])
    figures = {"safe": over([entry["safe"] for entry in entries]), "refused": away, "asr": left}
    shown = {key: 100 * value for key, value in away.items()}
    why = f"clean pictures refused {shown['value']:.2f} % ({shown['low']:.2f} to {shown['high']:.2f}), 1 % stated"
    base = row(what, variant, None, OURS, safe, bound=("at least", 0.9), why=why)
    return _with_interval(base, figures["safe"]), figures


STUDY = Study(
    name="repairs",
    summary="every repair and abstainer on four BadNets and on clean networks, with reactivation",
    seeds=5,
    quick_seeds=1,
    trials=trials,
    assemble=assemble,
)
