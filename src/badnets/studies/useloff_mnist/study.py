"""U1: backdoor and clean-label attacks on MNIST with a Keras network of eight layers, and CIFAR-10, which the report
planned and could not run.

``published`` rows follow the report's training (Adam 1e-3, constant, 5 epochs, batch 128), and ART's demonstration,
after which its clean-label attack was written; ``corrected`` rows measure attack success by definition (test pictures
of other classes that become the target) for several shares of the target class, against a stamp without perturbation.

Differs from the report: it states no share of poison for the backdoor attack; here 10 % of the training rows, all to
class 0. CIFAR-10 is the set at hand (``cifar10``, or the JPEG form by ``--data``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from badnets.records.blocks import Column, Curve, Line, Series, Table
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
    facts,
    over,
    rate_of,
    rates,
)
from badnets.studies.trials import by_prefix

REPORT = "report U1, results"
DEMONSTRATION = "ART's demonstration, after which the report was written"
FACTS = facts(__package__)
TRIGGERS: Mapping[str, str] = FACTS["triggers"]
KERAS: JSON = FACTS["recipe"]
SHARES = (0.01, 0.10, 0.50)
QUICK_SHARES = (0.10, 0.50)
TARGET_ROWS = 5923
"""Training pictures of class 0 in MNIST; a share of the target class is a share of these."""


def _spec(settings: Settings, backdoor: JSON, recipe: JSON | None = None) -> JSON:
    data = settings.source("mnist")
    if settings.data and (inside := Path(settings.data) / "mnist").is_dir():
        data["path"] = str(inside)
    spec: JSON = {"data": data, "network": "u1-cnn", "backdoor": backdoor}
    # The report has no clean network beside its own.
    return spec if recipe is None else {**spec, "recipe": recipe, "reference": False}


def _clean_label(count: int, target: int = 0, perturb: JSON | None = None) -> JSON:
    rule = {"kind": "clean-label", "target": target}
    backdoor: JSON = {"trigger": {"kind": "pattern"}, "rule": rule, "poison": {"count": count}}
    return backdoor if perturb is None else {**backdoor, "perturb": perturb}


def _dirty(trigger: str) -> JSON:
    chosen: JSON = {"kind": trigger, **({"size": 8} if trigger == "picture" else {})}
    return {"trigger": chosen, "rule": {"kind": "all-to-one", "target": 0}, "poison": {"rate": 0.1}}


def trials(settings: Settings) -> list[Trial]:
    """The report's own protocol once, ours with several seeds."""
    seeds, full = settings.each_seed, not settings.quick
    out = []
    for trigger in TRIGGERS:
        if full and trigger == "pattern":
            out.append(Trial(name=f"published-{trigger}", spec=_spec(settings, _dirty(trigger), KERAS), seed=1))
        out += [Trial(name=f"backdoor-{trigger}-s{s}", spec=_spec(settings, _dirty(trigger)), seed=s) for s in seeds]
    if full:
        half = _clean_label(round(0.5 * TARGET_ROWS), perturb=FACTS["perturb"])
        out.append(Trial(name="published-clean-label", spec=_spec(settings, half, KERAS), seed=1))
        out += [_art_trial(settings, kind, s) for kind in ART_KINDS for s in seeds]
    for share in _shares(settings):
        for kind, perturb in (("perturbed", FACTS["perturb"]), ("stamped", None)):
            spec = _spec(settings, _clean_label(round(share * TARGET_ROWS), perturb=perturb))
            out += [Trial(name=f"{kind}-{_percent(share)}-s{s}", spec=spec, seed=s) for s in seeds]
    return out + _cifar_trials(settings)


def _art_trial(settings: Settings, surrogate: str, seed: int) -> Trial:
    """ART's demonstration; ``surrogate``: what the pictures are perturbed against, ``stamped`` for not at all."""
    art = FACTS["art"]
    strong = {**art["perturb"], "adversarial": art["surrogate"]}
    perturb = {"stamped": None, "adversarial": strong}.get(surrogate, art["perturb"])
    spec = _spec(settings, _clean_label(art["poisoned"], art["target"], perturb), {**KERAS, "epochs": 10})
    spec["data"] = {**spec["data"], "train_count": art["rows"], "seed": seed}
    return Trial(name=f"art-{surrogate}-s{seed}", spec={**spec, "reference": True}, seed=seed)


def _cifar_trials(settings: Settings) -> list[Trial]:
    data, own = _cifar(settings), FACTS["cifar10"]
    recipe = {**own["recipe"], "epochs": 2} if settings.quick else own["recipe"]
    spec = {"data": data, "network": "resnet9", "recipe": recipe}
    names = [] if data is None else ["backdoor"] if settings.quick else ["backdoor", "clean-label"]
    return [Trial(name=f"cifar10-{name}-s1", spec={**spec, "backdoor": own[name]}, seed=1) for name in names]


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
ART_KINDS: Mapping[str, str] = FACTS["art"]["kinds"]
KINDS = {"perturbed": "PGD then stamp", "stamped": "stamp alone"}


def assemble(settings: Settings, results: Results, _folder: Path) -> Outcome:
    """Rows in the order of the report."""
    ours, words = settings.variant(), FACTS["words"]
    dirty, label = (
        {"clean_accuracy": Claim(source=REPORT, published=value, bound=("at least", value - 0.005))}
        for value in (0.9894, 0.9910)
    )
    obeys = Claim(source=REPORT, published=1.0, bound=("at least", 0.99))
    told = replace(obeys, bound=("at least", 0.995), why=words["doubt"])
    weaker = Claim(source=REPORT, published=1.0, why=words["definition"], not_as_published=words["less"])
    rows: list[StudyRow] = []
    for trigger, called in TRIGGERS.items():
        alone, seeds = (by_prefix(results, f"{form}-{trigger}") for form in ("published", "backdoor"))
        rows += rates(alone, f"backdoor, {called}", AS_TOLD, variant="published", claims={**dirty, "asr": told})
        rows += rates(seeds, f"backdoor, {called}", FIGURES, variant=ours, claims={**dirty, "asr": obeys})
    what, alone = "clean label, 50 % of class 0", by_prefix(results, "published-clean-label")
    claims = {**label, "asr": replace(told, not_as_published=words["less"])}
    rows += [*rates(alone, what, AS_TOLD, variant="published", claims=claims), *_demonstration(results)]
    for share in _shares(settings):
        # Nobody published a stamp without perturbation: a control of ours.
        for kind, called in KINDS.items():
            claims = {**label, "asr": weaker} if kind == "perturbed" else {}
            what = f"clean label, {round(100 * share)} % of class 0, {called}"
            entries = by_prefix(results, f"{kind}-{_percent(share)}-s")
            rows += rates(entries, what, FIGURES, variant=ours, claims=claims)
    for name, called in (("backdoor", "backdoor, square"), ("clean-label", "clean label, 50 % of class 0")):
        if entries := by_prefix(results, f"cifar10-{name}-s"):
            what = f"{Path(str(entries[0].spec['data']['name'])).name.split('.')[0]}, {called}"
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
        as_published: tuple[Variant, Mapping[str, Claim]] = ("published", claims)
        variant, claimed = as_published if kind == "adversarial" else ("corrected", {})
        rows += rates(by_prefix(results, f"art-{kind}-s"), what, ART_FIGURES, variant=variant, claims=claimed)
    return rows


def _curve(settings: Settings, results: Results) -> Curve:
    def line(kind: str, words: str) -> Series:
        prefixes = {share: f"{kind}-{_percent(share)}-s" for share in _shares(settings)}
        points = ((share, over(by_prefix(results, prefix), rate_of("asr"))) for share, prefix in prefixes.items())
        return Series.of(words, "triggered", points, hollow=kind == "stamped")

    return Curve(
        title="Attack success against the share of the target class that is poisoned",
        note="Every label is true. PGD of l-infinity radius 0.3 against a normally trained network.",
        axis="share of class 0 that is poisoned",
        percent_axis=True,
        series=tuple(line(*kind) for kind in KINDS.items()),
    )


def _table(results: Results) -> Table:
    """The attacks beside each other."""
    lines = [("backdoor", words, f"backdoor-{trigger}-s") for trigger, words in TRIGGERS.items()]
    lines += [("clean label as in ART's demonstration", words, f"art-{kind}-s") for kind, words in ART_KINDS.items()]
    lines += [("CIFAR-10", name, f"cifar10-{name}-s") for name in ("backdoor", "clean-label")]
    return Table(
        title="What each attack does",
        rows="attack",
        groups="kind",
        columns=tuple(
            Column(name=words, better="high" if words in ACCURACY.values() else None) for words in FIGURES.values()
        ),
        lines=tuple(
            Line(group=group, name=name, cells=tuple(over(entries, rate_of(f)) for f in FIGURES))
            for group, name, prefix in lines
            if (entries := by_prefix(results, prefix))
        ),
    )


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
