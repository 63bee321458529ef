"""L1: pruning, fine-tuning, fine-pruning, and the attack that expects pruning, on German traffic signs.

Nine classes of GTSRB, histogram-equalized, L1's network; stop signs with a yellow sticker are labelled "straight or
right". The report gives no numbers, only plots and words: here they are.

Differs from the report: the defender's clean pictures are a select set of other tracks, and curves are measured on the
test set, where the report has one set for both; the attack adds poisoned copies of stop signs; fewer epochs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from badnets.core.files import read_json, write_json
from badnets.core.old import t_interval
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.studies.old_study import Bound, Outcome, Results, Row, Settings, Study, Trial, Variant, row, value_of

REPORT = "report L1 (no numbers given)"
CLASSES = "1,2,12,13,14,25,33,36,38"
SELECT = 0.15
MAX_DROP = 0.05
WIDTHS = (0.5, 1.0, 2.0)
ATTACKS = {"standard": "standard attack", "aware": "pruning-aware attack"}
REPAIRS = ("prune", "fine-tune", "fine-prune")


def trials(settings: Settings) -> list[Trial]:
    """Every seed at width 1, one seed at the other widths."""
    data: dict[str, Any] = {"name": "gtsrb", "options": {"equalize": True, "classes": CLASSES}}
    if settings.data:
        data["path"] = settings.data
    spec = {
        "data": data,
        "backdoor": {
            "trigger": {"kind": "square", "size": 4},
            "rule": {"kind": "source-to-target", "source": "stop", "target": "straight-or-right"},
            "poison": {"rate": 0.04, "mode": "add"},
        },
        "reference": False,
    }
    if settings.quick:
        spec["recipe"] = {"epochs": 2}
    out = []
    for width in (0.5,) if settings.quick else (1.0, 0.5, 2.0):
        seeds = range(1, settings.seeds + 1) if width == 1.0 else (1,)
        own = {**spec, "network": f"l1-cnn:width={width}"}
        out += [Trial(name=f"width-{width}-s{seed}", spec=own, seed=seed, work=_one) for seed in seeds]
    return out


def _one(trial: Trial, own: Path) -> dict[str, Any]:
    """Both attacks by one seed, each against every repair; what is finished is kept in ``own``."""
    began = time.perf_counter()
    results: dict[str, Any] = {}
    for attack in ATTACKS:
        path = own / f"{attack}.json"
        if not path.exists():
            write_json(path, _attack(attack, trial, own))
        results[attack] = read_json(path)
    seconds = round(time.perf_counter() - began, 1)
    return {"results": results, "timings_s": {"train": seconds, "total": seconds}}


def _attack(attack: str, trial: Trial, own: Path) -> dict[str, Any]:
    """Train one network, sweep, repair, measure."""
    from badnets.data.splits import with_select
    from badnets.referee.run import clean_reference, load_data
    from badnets.referee.spec import make_spec
    from badnets.referee.truth import KnownTrigger

    spec = make_spec({**trial.spec, "seeds": [trial.seed]}, where=f"trial {trial.name}")
    loaded = load_data(spec.data)
    data = with_select(loaded.train, loaded.test, SELECT, trial.seed)
    seed = Seed(trial.seed)
    truth = KnownTrigger(backdoor=spec.backdoor.backdoor, seed=seed.derive("measure"))  # type: ignore[union-attr]
    network = _trained(attack, spec, data, seed, own / f"{attack}.safetensors")
    value: dict[str, Any] = {
        "before": truth.measure(network, data.test).to_json(),
        "reference": truth.measure(clean_reference(spec, data.train, seed)[0], data.test).to_json(),
        "curve": _curve(network, data, truth),
    }
    for method in REPAIRS:
        value[method] = _repaired(method, network, data, truth, seed, own)
    return value


def _trained(attack: str, spec: Any, data: Any, seed: Seed, path: Path) -> Any:
    from badnets.attacks.pruning_aware import PruningAware
    from badnets.core.progress import Watcher
    from badnets.networks.files.own import open_network, save_network
    from badnets.networks.registry import build_network, parse_network
    from badnets.referee.run import poison_data, train_network

    if not path.exists():
        poisoned = poison_data(spec, data.train, seed, path.parent, Watcher())
        subject = poisoned.data  # type: ignore[union-attr]  # the spec has a backdoor
        if attack == "standard":
            network = train_network(spec, subject, seed, None, Watcher(), attack).network
        else:
            name, arguments = parse_network(spec.network)
            h, w, c = subject.shape
            names, weights = subject.class_names, seed.derive("weights")
            network = build_network(name, class_names=names, input_size=(c, h, w), seed=weights, arguments=arguments)
            own = seed.derive("aware")
            PruningAware(max_drop=MAX_DROP).train(network, data.train, subject, recipe=spec.recipe, seed=own)
        save_network(network, path)
    return open_network(path)


def _curve(network: Any, data: Any, truth: Any) -> list[dict[str, Any]]:
    """Every step of pruning: accuracy on the defender's pictures, and what the defender does not see."""
    import numpy as np

    from badnets.backdoors.backdoor import Backdoor
    from badnets.backdoors.success import triggered
    from badnets.data.images import ImageData
    from badnets.measures.classification import accuracy
    from badnets.networks.surgery.channels import rank_channels
    from badnets.networks.surgery.sweep import pruning_sweep

    rule = truth.backdoor.rule.resolve(data.test.class_names)
    eligible = data.test.take(np.flatnonzero(rule.eligible(data.test.labels)))
    marked = np.concatenate([m for _, _, m in triggered(eligible, Backdoor(truth.backdoor.trigger, rule), truth.seed)])
    stamped = ImageData.of(marked, eligible.labels, class_names=eligible.class_names)
    order = np.argsort(rank_channels(network, data.select), kind="stable").tolist()
    curve = []
    for step in pruning_sweep(network, None, order, {"select": data.select, "test": data.test, "stamped": stamped}):
        hits = rule.hit(step.answers["stamped"], stamped.labels, stamped.classes)
        point = {name: accuracy(step.answers[name], part.labels) for name, part in _sets(data)}
        curve.append(
            {"channels": step.number, "asr": Rate.of(hits).to_json(), **{n: r.to_json() for n, r in point.items()}}
        )
    return curve


def _sets(data: Any) -> list[tuple[str, Any]]:
    return [("select", data.select), ("test", data.test)]


def _repaired(method: str, network: Any, data: Any, truth: Any, seed: Seed, own: Path) -> dict[str, Any]:
    """What a repair does, its network written and reopened before it is measured."""
    from badnets.defenses.repair import repair
    from badnets.defenses.repairs import make_repair
    from badnets.defenses.view import DefenderView
    from badnets.networks.files.own import through_file

    settings = {"fine-tune": {}}.get(method, {"max_drop": MAX_DROP})
    view = DefenderView(network=network, data=data.select, seed=seed.derive("defender"))
    done = repair(view, make_repair(method, settings))
    answers = truth.measure(through_file(done.network, own / "repaired.safetensors"), data.test)
    return {"after": answers.to_json(), "chosen": done.chosen, "seconds": round(done.seconds, 1)}


def assemble(settings: Settings, results: Mapping[str, Results], _folder: Path) -> Outcome:
    """What the report says in words and plots, in figures."""
    variant: Variant = "quick" if settings.quick else "corrected"
    rows: list[Row] = []
    curves: dict[str, Any] = {}
    main = "0.5" if settings.quick else "1.0"
    for width in sorted(WIDTHS, key=lambda width: (str(width) != main, width)):
        found = [entry["results"] for name, entry in sorted(results.items()) if name.startswith(f"width-{width}-")]
        if not found:
            continue
        prefix = "" if str(width) == main else f"width x{width:g}, "
        for attack, words in ATTACKS.items():
            rows += _rows(f"{prefix}{words}", attack, [entry[attack] for entry in found], variant, judged=not prefix)
            curves[f"{attack}, width x{width:g}"] = _mean_curve([entry[attack]["curve"] for entry in found])
        if not prefix:
            rows += _comparisons(found, variant)
    return Outcome(rows=rows, figures={"pruning": curves})


def _rows(what: str, attack: str, entries: list[Any], variant: Variant, *, judged: bool) -> list[Row]:
    def line(name: str, values: list[float], bound: Bound | None = None, why: str = "") -> Row:
        return row(f"{what}: {name}", variant, None, REPORT, values, bound=bound if judged else None, why=why)

    def after(method: str, figure: str) -> list[float]:
        return [value_of(entry[method]["after"], figure) for entry in entries]

    before = [entry["before"] for entry in entries]
    stays: Bound | None = ("at least", 0.90) if attack == "aware" else None
    rows = [
        line("clean accuracy", [value_of(entry, "clean_accuracy") for entry in before]),
        line("attack success", [value_of(entry, "asr") for entry in before]),
        line("the same on a clean network", [value_of(entry["reference"], "asr") for entry in entries]),
    ]
    for method in REPAIRS:
        name = "pruning to a drop of 5 points" if method == "prune" else method
        chosen = "; ".join(dict.fromkeys(entry[method]["chosen"] for entry in entries))[:300]
        rows.append(line(f"attack success after {name}", after(method, "asr"), stays if method == "prune" else None))
        rows.append(line(f"clean accuracy after {name}", after(method, "clean_accuracy"), None, chosen))
        rows.append(line(f"robust accuracy after {name}", after(method, "robust_accuracy")))
    return rows


def _comparisons(found: list[Any], variant: Variant) -> list[Row]:
    """Whether fine-pruning beats what pruning leaves of the pruning-aware attack: at most half of it."""
    aware = [entry["aware"] for entry in found]
    shares = [
        value_of(entry["fine-prune"]["after"], "asr") / max(value_of(entry["prune"]["after"], "asr"), 1e-9)
        for entry in aware
    ]
    what = "pruning-aware attack: attack success after fine-pruning, as a share of that after pruning"
    return [row(what, variant, None, "report L1: fine-pruning works against both", shares, bound=("at most", 0.5))]


def _mean_curve(curves: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The mean over seeds at each step, with its interval."""
    points = []
    for steps in zip(*curves, strict=True):
        point: dict[str, Any] = {"channels": steps[0]["channels"]}
        for name in ("test", "asr"):
            mean, low, high = t_interval([step[name]["value"] for step in steps])
            point[name] = {"value": mean, "low": max(0.0, low), "high": min(1.0, high)}
        points.append(point)
    return points


STUDY = Study(
    name="rain2020-finepruning",
    summary="pruning, fine-tuning, fine-pruning on traffic signs, and the attack that expects them",
    seeds=3,
    quick_seeds=1,
    trials=trials,
    assemble=assemble,
)
