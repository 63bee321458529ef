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
from pathlib import Path

from badnets.core.errors import BadInput
from badnets.data.load import load
from badnets.records.blocks import Curve, Table
from badnets.records.model import JSON
from badnets.records.study import StudyRow
from badnets.studies.figures import figure_table, rates, series, table_line
from badnets.studies.study import Outcome, Results, Settings, Study, Trial, by_prefix, facts

FACTS = facts(__package__)
CLAIMS = FACTS["claims"]
TRIGGERS: Mapping[str, str] = FACTS["triggers"]
FIGURES: Mapping[str, str] = FACTS["figures"]
PUBLISHED_FIGURES: Mapping[str, str] = FACTS["published_figures"]
ART_KINDS: Mapping[str, str] = FACTS["art"]["kinds"]
KINDS = {"perturbed": "PGD then stamp", "stamped": "stamp alone"}
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
            out += [Trial(name=f"{kind}-{100 * share:02.0f}-s{s}", spec=spec, seed=s) for s in seeds]
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
    data, cifar = _cifar(settings), FACTS["cifar10"]
    recipe = {**cifar["recipe"], "epochs": 2} if settings.quick else cifar["recipe"]
    spec = {"data": data, "network": "resnet9", "recipe": recipe}
    names = [] if data is None else ["backdoor"] if settings.quick else ["backdoor", "clean-label"]
    return [Trial(name=f"cifar10-{name}-s1", spec={**spec, "backdoor": cifar[name]}, seed=1) for name in names]


def _cifar(settings: Settings) -> JSON | None:
    """The JPEG form beside the study's data, or the named set; None when neither is there."""
    if settings.data is not None:
        tar = Path(settings.data) / "cifar10-jpeg.tar.gz"
        return {"name": str(tar), "size": 32} if tar.exists() else None
    try:
        load("cifar10")
    except BadInput:
        return None
    return {"name": "cifar10"}


def _shares(settings: Settings) -> tuple[float, ...]:
    return QUICK_SHARES if settings.quick else SHARES


def assemble(settings: Settings, results: Results, _folder: Path) -> Outcome:
    """Rows in the order of the report."""
    variant, report = settings.variant(), FACTS["words"]["report"]
    rows: list[StudyRow] = []
    for trigger, called in TRIGGERS.items():
        alone, seeds = (by_prefix(results, f"{form}-{trigger}") for form in ("published", "backdoor"))
        rows += rates(alone, f"backdoor, {called}", PUBLISHED_FIGURES, CLAIMS["published"], variant="published")
        rows += rates(seeds, f"backdoor, {called}", FIGURES, CLAIMS["backdoor"], variant=variant)
    what, alone = "clean label, 50 % of class 0", by_prefix(results, "published-clean-label")
    rows += rates(alone, what, PUBLISHED_FIGURES, CLAIMS["published-clean-label"], variant="published")
    for kind, words in ART_KINDS.items():  # as it was published, and the same without what makes it strong
        what = f"clean label as in ART's demonstration (a third of class 9, l2 radius 5), {words}"
        claims = CLAIMS["art"] if kind == "adversarial" else {}
        trials, form = by_prefix(results, f"art-{kind}-s"), "published" if claims else "corrected"
        rows += rates(trials, what, FACTS["art"]["figures"], claims, variant=form)
    for share in _shares(settings):
        for kind, called in KINDS.items():  # nobody published a stamp without perturbation: a control of ours
            claims = CLAIMS["perturbed"] if kind == "perturbed" else {}
            what = f"clean label, {round(100 * share)} % of class 0, {called}"
            rows += rates(by_prefix(results, f"{kind}-{100 * share:02.0f}-s"), what, FIGURES, claims, variant=variant)
    for name, called in (("backdoor", "backdoor, square"), ("clean-label", "clean label, 50 % of class 0")):
        if trials := by_prefix(results, f"cifar10-{name}-s"):
            what = f"{Path(str(trials[0].spec['data']['name'])).name.split('.')[0]}, {called}"
            rows += rates(trials, what, FIGURES, variant=variant, source=f"{report}: planned, failed on array shapes")
    return Outcome(rows=rows, blocks=[_curve(settings, results), _table(results)])


def _curve(settings: Settings, results: Results) -> Curve:
    lines = []
    for kind, words in KINDS.items():
        places = {share: by_prefix(results, f"{kind}-{100 * share:02.0f}-s") for share in _shares(settings)}
        lines.append(series(words, "triggered", places, "figures.asr", hollow=kind == "stamped"))
    return Curve(**FACTS["curve"], series=tuple(lines))


def _table(results: Results) -> Table:
    """The attacks beside each other."""
    lines = [("backdoor", words, f"backdoor-{trigger}-s") for trigger, words in TRIGGERS.items()]
    lines += [("clean label as in ART's demonstration", words, f"art-{kind}-s") for kind, words in ART_KINDS.items()]
    lines += [("CIFAR-10", name, f"cifar10-{name}-s") for name in ("backdoor", "clean-label")]
    there = [(group, name, by_prefix(results, prefix)) for group, name, prefix in lines]
    table = FACTS["table"]
    return figure_table(table, (table_line(table, name, trials, group) for group, name, trials in there if trials))


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
