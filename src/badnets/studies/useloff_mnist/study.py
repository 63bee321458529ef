"""U1: backdoor and clean-label attacks on MNIST with a Keras network of eight layers, and CIFAR-10, which the report
planned and could not run.

``published`` rows follow the report's training (Adam 1e-3, constant, 5 epochs, batch 128); ``corrected`` rows measure
attack success by definition (test pictures of other classes that become the target) for several shares of the target
class, against a stamp without perturbation.

Differs from the report: it states no share of poison for the backdoor attack; here 10 % of the training rows, all to
class 0. CIFAR-10 is the set at hand (``cifar10``, or the JPEG form by ``--data``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from badnets.studies.old_study import Outcome, Results, Row, Settings, Study, Trial, Variant, row, value_of

REPORT = "report U1, results"
TRIGGERS = {"pixel": "single pixel", "pattern": "pattern", "picture": "inserted picture"}
SHARES = (0.01, 0.10, 0.50)
QUICK_SHARES = (0.10, 0.50)
TARGET_ROWS = 5923
"""Training pictures of class 0 in MNIST; a share of the target class is a share of these."""
KERAS = {
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "schedule": "constant",
    "batch": 128,
    "epochs": 5,
}
PGD = {"norm": "linf", "epsilon": 0.3, "steps": 20}


ART_PGD = {"norm": "l2", "epsilon": 5.0, "steps": 200, "step_size": 0.1, "random_start": False}
ART_SURROGATE = {"norm": "linf", "epsilon": 0.15, "steps": 7, "step_size": 0.001}
ART_ROWS, ART_SHARE, ART_TARGET, ART_TARGET_ROWS = 10_000, 0.33, 9, 991
"""Of the demonstration after which the report was written: training pictures, share of the target class, the target,
and how many pictures of the target are among those (5,949 of 60,000)."""


def _spec(settings: Settings, backdoor: dict[str, Any], recipe: dict[str, Any] | None = None) -> dict[str, Any]:
    data: dict[str, Any] = {"name": "mnist"}
    if settings.data is not None:
        data["path"] = str(Path(settings.data) / "mnist") if (Path(settings.data) / "mnist").is_dir() else settings.data
    spec: dict[str, Any] = {"data": data, "network": "u1-cnn", "backdoor": backdoor}
    # The report has no clean network beside its own.
    return spec if recipe is None else {**spec, "recipe": recipe, "reference": False}


def _clean_label(count: int, trigger: str, perturb: bool) -> dict[str, Any]:
    backdoor: dict[str, Any] = {
        "trigger": {"kind": trigger},
        "rule": {"kind": "clean-label", "target": 0},
        "poison": {"count": count},
    }
    return {**backdoor, "perturb": PGD} if perturb else backdoor


def _dirty(trigger: str) -> dict[str, Any]:
    chosen: dict[str, Any] = {"kind": trigger, **({"size": 8} if trigger == "picture" else {})}
    return {"trigger": chosen, "rule": {"kind": "all-to-one", "target": 0}, "poison": {"rate": 0.1}}


def trials(settings: Settings) -> list[Trial]:
    """The report's own protocol once, ours with several seeds."""
    seeds = range(1, settings.seeds + 1)
    out = []
    for trigger in TRIGGERS:
        if not settings.quick and trigger == "pattern":
            out.append(Trial(name=f"published-{trigger}", spec=_spec(settings, _dirty(trigger), KERAS), seed=1))
        out += [Trial(name=f"backdoor-{trigger}-s{s}", spec=_spec(settings, _dirty(trigger)), seed=s) for s in seeds]
    if not settings.quick:
        spec = _spec(settings, _clean_label(round(0.5 * TARGET_ROWS), "pattern", True), KERAS)
        out.append(Trial(name="published-clean-label", spec=spec, seed=1))
    if not settings.quick:
        for kind in ("adversarial", "standard", "stamped"):
            out += [_art_trial(settings, kind, s) for s in seeds]
    for share in _shares(settings):
        for kind in ("perturbed", "stamped"):
            backdoor = _clean_label(round(share * TARGET_ROWS), "pattern", kind == "perturbed")
            spec = _spec(settings, backdoor)
            out += [Trial(name=f"{kind}-{_percent(share)}-s{s}", spec=spec, seed=s) for s in seeds]
    return out + _cifar_trials(settings)


def _art_trial(settings: Settings, surrogate: str, seed: int) -> Trial:
    """ART's demonstration; ``surrogate``: what the pictures are perturbed against, ``stamped`` for not at all."""
    backdoor: dict[str, Any] = {
        "trigger": {"kind": "pattern"},
        "rule": {"kind": "clean-label", "target": ART_TARGET},
        "poison": {"count": round(ART_SHARE * ART_TARGET_ROWS)},
    }
    if surrogate != "stamped":
        backdoor["perturb"] = {**ART_PGD, **({"adversarial": ART_SURROGATE} if surrogate == "adversarial" else {})}
    spec = _spec(settings, backdoor, {**KERAS, "epochs": 10})
    spec["data"] = {**spec["data"], "train_count": ART_ROWS, "seed": seed}
    return Trial(name=f"art-{surrogate}-s{seed}", spec={**spec, "reference": True}, seed=seed)


def _cifar_trials(settings: Settings) -> list[Trial]:
    data = _cifar(settings)
    if data is None:
        return []
    square = {"kind": "square", "size": 4}
    recipe = {"epochs": 2 if settings.quick else 3, "augment": ["flip", "shift"]}
    backdoors: dict[str, dict[str, Any]] = {
        "backdoor": {"trigger": square, "rule": {"kind": "all-to-one", "target": 0}, "poison": {"rate": 0.1}},
        "clean-label": {
            "trigger": square,
            "rule": {"kind": "clean-label", "target": 0},
            "poison": {"count": 2500},
            "perturb": {"norm": "linf", "epsilon": 16 / 255, "steps": 10},
        },
    }
    return [
        Trial(
            name=f"cifar10-{name}-s1",
            spec={"data": data, "network": "resnet9", "recipe": recipe, "backdoor": backdoor},
            seed=1,
        )
        for name, backdoor in backdoors.items()
        if not (settings.quick and name == "clean-label")
    ]


def _cifar(settings: Settings) -> dict[str, Any] | None:
    """The JPEG form beside the study's data, or the named set; None when neither is there."""
    if settings.data is not None:
        tar = Path(settings.data) / "cifar10-jpeg.tar.gz"
        return {"name": str(tar), "size": 32} if tar.exists() else None
    from badnets.core.errors import BadInput
    from badnets.data.load import load

    try:
        load("cifar10")
    except BadInput:
        return None
    return {"name": "cifar10"}


def _shares(settings: Settings) -> tuple[float, ...]:
    return QUICK_SHARES if settings.quick else SHARES


def _percent(share: float) -> str:
    return f"{round(100 * share):02d}"


def assemble(settings: Settings, results: Mapping[str, Results], _folder: Path) -> Outcome:
    """Rows of STUDIES, in its order."""
    corrected: Variant = "quick" if settings.quick else "corrected"
    rows: list[Row] = []
    for trigger, words in TRIGGERS.items():
        if not settings.quick and trigger == "pattern":
            rows += _published(results[f"published-{trigger}"]["results"], f"backdoor, {words}", 0.9894)
        found = _seeds(settings, results, f"backdoor-{trigger}")
        rows += _pair(found, f"backdoor, {words}", corrected, 0.9894, ("at least", 0.99))
    if not settings.quick:
        rows += _published(results["published-clean-label"]["results"], "clean label, 50 % of class 0", 0.9910)
    for share in _shares(settings):
        for kind in ("perturbed", "stamped"):
            found = _seeds(settings, results, f"{kind}-{_percent(share)}")
            words = f"clean label, {round(100 * share)} % of class 0, {_WORDS[kind]}"
            rows += _pair(found, words, corrected, 0.9910, None)
    rows += _cifar_rows(results, corrected)
    return Outcome(rows=rows, figures={"clean_label": _curve(settings, results)})


_WORDS = {"perturbed": "PGD then stamp", "stamped": "stamp alone"}


def _seeds(settings: Settings, results: Mapping[str, Results], name: str) -> list[Results]:
    return [results[f"{name}-s{s}"]["results"] for s in range(1, settings.seeds + 1)]


def _published(result: Results, what: str, accuracy: float) -> list[Row]:
    doubt = "the report does not say whether pictures of other classes flip; ours is attack success by definition"
    clean, asr = [value_of(result, "clean_accuracy")], [value_of(result, "asr")]
    return [
        row(f"{what}: clean accuracy", "published", accuracy, REPORT, clean, bound=("at least", accuracy - 0.005)),
        row(f"{what}: poisoned pictures", "published", 1.0, REPORT, asr, bound=("at least", 0.995), why=doubt),
    ]


def _pair(found: list[Results], what: str, variant: Variant, accuracy: float, bound: Any) -> list[Row]:
    clean = [value_of(r, "clean_accuracy") for r in found]
    asr = [value_of(r, "asr") for r in found]
    reference = [value_of(r, "clean_reference_rate") for r in found]
    why = "" if bound else "by definition: test pictures of other classes with the trigger that become class 0"
    return [
        row(f"{what}: clean accuracy", variant, accuracy, REPORT, clean, bound=("at least", accuracy - 0.005)),
        row(f"{what}: attack success", variant, 1.0, REPORT, asr, bound=bound, why=why),
        row(f"{what}: the same on a clean network", variant, None, "our own figure", reference),
    ]


def _cifar_rows(results: Mapping[str, Results], variant: Variant) -> list[Row]:
    rows = []
    source = f"{REPORT}: planned, failed on array shapes"
    for name, words in (("backdoor", "backdoor, square"), ("clean-label", "clean label, 50 % of class 0")):
        if (entry := results.get(f"cifar10-{name}-s1")) is None:
            continue
        title = f"{_cifar_title(entry)}, {words}"
        for key, what in (
            ("clean_accuracy", "clean accuracy"),
            ("asr", "attack success"),
            ("clean_reference_rate", "the same on a clean network"),
        ):
            rows.append(row(f"{title}: {what}", variant, None, source, [value_of(entry["results"], key)]))
    return rows


def _cifar_title(entry: Results) -> str:
    return Path(str(entry["spec"]["data"]["name"])).name.split(".")[0]


def _curve(settings: Settings, results: Mapping[str, Results]) -> list[dict[str, Any]]:
    from badnets.core.old import t_interval

    curve = []
    for share in _shares(settings):
        point: dict[str, Any] = {"share": share}
        for kind in ("perturbed", "stamped"):
            found = _seeds(settings, results, f"{kind}-{_percent(share)}")
            mean, low, high = t_interval([value_of(r, "asr") for r in found])
            point[kind] = {"value": mean, "low": max(0.0, low), "high": min(1.0, high)}
        curve.append(point)
    return curve


STUDY = Study(
    name="useloff-mnist",
    summary="backdoor with three perturbations and clean-label attack on MNIST, and CIFAR-10",
    seeds=3,
    quick_seeds=1,
    trials=trials,
    assemble=assemble,
)
