"""U1: backdoor and clean-label attacks on MNIST with a Keras network of eight layers, and CIFAR-10, which the report
planned and could not run.

``published`` rows follow the report's training (Adam 1e-3, constant, 5 epochs, batch 128), and ART's demonstration,
after which its clean-label attack was written; ``corrected`` rows measure attack success by definition (test pictures
of other classes that become the target) for several shares of the target class, against a stamp without perturbation.

Differs from the report: it states no share of poison for the backdoor attack; here 10 % of the training rows, all to
class 0. CIFAR-10 is the set at hand (``cifar10``, or the JPEG form by ``--data``).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from badnets.records.blocks import Column, Curve, Line, Point, Series, Table
from badnets.records.model import JSON
from badnets.records.study import StudyRow, Variant
from badnets.studies.study import (
    Claim,
    Outcome,
    Results,
    Settings,
    Study,
    Trained,
    Trial,
    TrialResult,
    over,
    rate_of,
    rates,
)
from badnets.studies.trials import by_prefix

REPORT = "report U1, results"
DEMONSTRATION = "ART's demonstration, after which the report was written"
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


def _spec(settings: Settings, backdoor: JSON, recipe: JSON | None = None) -> JSON:
    data: JSON = {"name": "mnist"}
    if settings.data is not None:
        data["path"] = str(Path(settings.data) / "mnist") if (Path(settings.data) / "mnist").is_dir() else settings.data
    spec: JSON = {"data": data, "network": "u1-cnn", "backdoor": backdoor}
    # The report has no clean network beside its own.
    return spec if recipe is None else {**spec, "recipe": recipe, "reference": False}


def _clean_label(count: int, trigger: str, perturb: bool) -> JSON:
    backdoor: JSON = {
        "trigger": {"kind": trigger},
        "rule": {"kind": "clean-label", "target": 0},
        "poison": {"count": count},
    }
    return {**backdoor, "perturb": PGD} if perturb else backdoor


def _dirty(trigger: str) -> JSON:
    chosen: JSON = {"kind": trigger, **({"size": 8} if trigger == "picture" else {})}
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
    backdoor: JSON = {
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
    backdoors: dict[str, JSON] = {
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


def _cifar(settings: Settings) -> JSON | None:
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


Entries = list[TrialResult[Trained]]
ACCURACY = {"clean_accuracy": "clean accuracy"}
FIGURES = {**ACCURACY, "asr": "attack success", "clean_reference_rate": "the same on a clean network"}
AS_TOLD = {**ACCURACY, "asr": "poisoned pictures"}
ART_FIGURES = {**FIGURES, "robust_accuracy": "triggered pictures that keep their class"}
ART_KINDS = {
    "adversarial": "PGD against an adversarially trained network",
    "standard": "PGD against a normally trained network",
    "stamped": "stamp alone",
}
KINDS = {"perturbed": "PGD then stamp", "stamped": "stamp alone"}
WEAKER = (
    "PGD of l-infinity radius 0.3 in 20 steps against a normally trained network, target 0 of 60,000 pictures; "
    "published: l2 radius 5, 200 steps, adversarially trained, a third of class 9 of 10,000"
)
DOUBT = "the report does not say whether pictures of other classes flip; ours is attack success by definition"
BY_DEFINITION = "by definition: test pictures of other classes with the trigger that become class 0"


def _accuracy(published: float) -> dict[str, Claim]:
    claim = Claim(source=REPORT, published=published, bound=("at least", published - 0.005))
    return {"clean_accuracy": claim}


def assemble(settings: Settings, results: Results, _folder: Path) -> Outcome:
    """Rows of STUDIES, in its order."""
    ours: Variant = "quick" if settings.quick else "corrected"
    dirty, label = _accuracy(0.9894), _accuracy(0.9910)
    told = Claim(source=REPORT, published=1.0, bound=("at least", 0.995), why=DOUBT)
    obeys = Claim(source=REPORT, published=1.0, bound=("at least", 0.99))
    rows: list[StudyRow] = []
    for trigger, words in TRIGGERS.items():
        alone, seeds = (by_prefix(results, f"{form}-{trigger}") for form in ("published", "backdoor"))
        rows += rates(alone, f"backdoor, {words}", AS_TOLD, variant="published", claims={**dirty, "asr": told})
        rows += rates(seeds, f"backdoor, {words}", FIGURES, variant=ours, claims={**dirty, "asr": obeys})
    what, alone = "clean label, 50 % of class 0", by_prefix(results, "published-clean-label")
    rows += rates(
        alone, what, AS_TOLD, variant="published", claims={**label, "asr": replace(told, not_as_published=WEAKER)}
    )
    rows += _demonstration(results)
    for share in _shares(settings):
        what = f"clean label, {round(100 * share)} % of class 0"
        by_kind = {kind: by_prefix(results, f"{kind}-{_percent(share)}-s") for kind in KINDS}
        weaker = Claim(source=REPORT, published=1.0, why=BY_DEFINITION, not_as_published=WEAKER)
        claims = {**label, "asr": weaker}
        rows += rates(by_kind["perturbed"], f"{what}, PGD then stamp", FIGURES, variant=ours, claims=claims)
        # Nobody published a stamp without perturbation: a control of ours.
        rows += rates(by_kind["stamped"], f"{what}, stamp alone", FIGURES, variant=ours)
    for name, words in (("backdoor", "backdoor, square"), ("clean-label", "clean label, 50 % of class 0")):
        if entries := by_prefix(results, f"cifar10-{name}-s"):
            what = f"{Path(str(entries[0].spec['data']['name'])).name.split('.')[0]}, {words}"
            rows += rates(entries, what, FIGURES, variant=ours, source=f"{REPORT}: planned, failed on array shapes")
    return Outcome(rows=rows, blocks=[_curve(settings, results), _table(results)])


def _demonstration(results: Results) -> list[StudyRow]:
    """ART's demonstration as it was published, and the same without what makes it strong."""
    claims = {
        "asr": Claim(source=REPORT, published=1.0, bound=("at least", 0.90)),
        "robust_accuracy": Claim(source=DEMONSTRATION, published=0.0092, bound=("at most", 0.0092)),
    }
    rows = []
    for kind, words in ART_KINDS.items():
        what = f"clean label as in ART's demonstration (a third of class 9, l2 radius 5), {words}"
        published = kind == "adversarial"
        rows += rates(
            by_prefix(results, f"art-{kind}-s"),
            what,
            ART_FIGURES,
            variant="published" if published else "corrected",
            claims=claims if published else {},
        )
    return rows


def _curve(settings: Settings, results: Results) -> Curve:
    series = []
    for kind, words in KINDS.items():
        points = []
        for share in _shares(settings):
            asr = over(by_prefix(results, f"{kind}-{_percent(share)}-s"), rate_of("asr"))
            points += [] if asr is None else [Point(x=share, figure=asr)]
        series.append(Series(name=words, role="triggered", hollow=kind == "stamped", points=tuple(points)))
    return Curve(
        title="Attack success against the share of the target class that is poisoned",
        note="Every label is true. PGD of l-infinity radius 0.3 against a normally trained network.",
        axis="share of class 0 that is poisoned",
        percent_axis=True,
        series=tuple(series),
    )


def _table(results: Results) -> Table:
    """The attacks beside each other."""
    lines = [("backdoor", words, f"backdoor-{trigger}-s") for trigger, words in TRIGGERS.items()]
    lines += [("clean label as in ART's demonstration", words, f"art-{kind}-s") for kind, words in ART_KINDS.items()]
    lines += [("CIFAR-10", name, f"cifar10-{name}-s") for name in ("backdoor", "clean-label")]
    columns = (
        Column(name="clean accuracy", better="high"),
        Column(name="attack success"),
        Column(name="the same on a clean network"),
    )
    return Table(
        title="What each attack does",
        rows="attack",
        groups="kind",
        columns=columns,
        lines=tuple(
            Line(group=group, name=name, cells=tuple(over(entries, rate_of(f)) for f in FIGURES))
            for group, name, prefix in lines
            if (entries := by_prefix(results, prefix))
        ),
    )


STUDY = Study(
    name="useloff-mnist",
    title="Backdoor and clean-label attacks on handwritten digits",
    published="The report planted three triggers in digits, and a clean-label attack that leaves every label true. It "
    "gave 98.94 and 99.10 % clean accuracy, said that 100 % of the poisoned pictures obey, and could not run CIFAR-10.",
    summary="backdoor with three perturbations and clean-label attack on MNIST, and CIFAR-10",
    seeds=3,
    quick_seeds=1,
    trials=trials,
    assemble=assemble,
)
