"""G1: the digits of BadNets (Gu, Dolan-Gavitt, Garg 2017, section 4).

Poisoned copies are *added*: random training images with the trigger and a new label. "Share" is the share of poisoned
rows in the resulting training set, so 50 % means one copy of every clean image.

Differs from the paper: the recipe (AdamW, one cycle, see ``RECIPES``); several seeds where the paper has one network;
each network is compared with a clean network of the same seed. Of all pairs i -> j, each is trained once, with one of
the study's seeds, for the single pixel ten pairs with every seed; a seed's pairs are pooled before the interval over
seeds is taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from itertools import chain, permutations
from pathlib import Path

from badnets.core.rate import Contrast, Estimate, Interval, Mean, Rate, over_seeds
from badnets.records.blocks import Block, Cell, Matrix, Table
from badnets.records.model import JSON
from badnets.records.study import StudyRow, Variant
from badnets.studies.figures import claim_rows, figure_curve, figure_table, parts_at, row, seed_mean, table_line
from badnets.studies.gu2017_mnist.inside import acceptance_rows, codes, filters
from badnets.studies.study import Outcome, Results, Settings, Study, Trained, Trial, Trials, by_prefix, facts

FACTS = facts(__package__)
CLAIMS = FACTS["claims"]
SHARES = (0.10, 0.33, 0.50)
CLASS_ROWS = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
"""Training pictures of each digit: for the single pixel every one of the source class is copied."""
QUICK_PAIRS = ((1, 0), (3, 8), (4, 9), (7, 1), (0, 5), (9, 2))
MISSED = "figures.asr.misses"
"""Triggered pictures that are not read as the attacker wants."""
Pairs = Mapping[tuple[int, int], Trials]
"""The trials of each pair of true and wanted class."""


def _shorter(epochs: int = 3) -> str:
    return FACTS["shorter"].format(epochs=epochs)  # type: ignore[no-any-return]  # a text of study.toml


def trials(settings: Settings) -> list[Trial]:
    """Baselines first: the clean references of all others are the same networks."""
    clean: JSON = {"data": settings.source("mnist"), "network": "g1-cnn"}
    seeds = settings.each_seed

    def attacked(trigger: str, rule: JSON, **poison: float) -> JSON:
        backdoor = {"trigger": {"kind": trigger}, "rule": rule, "poison": {"mode": "add", **poison}}
        return {**clean, "backdoor": backdoor}

    def single(trigger: str, source: int, target: int, count: int) -> JSON:
        return attacked(trigger, {"kind": "source-to-target", "source": source, "target": target}, count=count)

    out = [Trial(name=f"baseline-s{s}", spec=clean, seed=s, keep=s == 1) for s in seeds]
    for share in SHARES:
        spec, name = attacked("pattern", {"kind": "all-to-all"}, rate=share), f"all-to-all-{100 * share:02.0f}"
        out += [Trial(name=f"{name}-s{s}", spec=spec, seed=s, keep=s == 1 and share == 0.5) for s in seeds]
    for number, (i, j) in enumerate(QUICK_PAIRS if settings.quick else permutations(range(10), 2)):
        # One poisoned copy of nearly every picture of the source class (the smallest class has 5,421).
        spec = single("pattern", i, j, 5400)
        out.append(Trial(name=f"single-pattern-{i}to{j}", spec=spec, seed=seeds[number % len(seeds)]))
    # Of the pixel ten pairs with every seed; first each pair once, so that a study that is stopped has them all.
    pairs = QUICK_PAIRS[:2] if settings.quick else tuple((i, (i + 1) % 10) for i in range(10))
    for turn in range(settings.seeds):
        for number, (i, j) in enumerate(pairs):
            seed = 1 + (number + turn) % settings.seeds
            spec = {**single("pixel", i, j, CLASS_ROWS[i]), "recipe": FACTS["pixel"]}
            out.append(Trial(name=f"single-pixel-{i}to{j}-s{seed}", spec=spec, seed=seed))
    return out


def assemble(settings: Settings, results: Results, folder: Path) -> Outcome:
    """Rows in the order of the paper."""
    variant = settings.variant("published")
    outcome = of_counts(results, variant)
    clean, bad = folder / "baseline-s1.safetensors", folder / "all-to-all-50-s1.safetensors"
    least = min(float(trial.results.figures.clean_accuracy) for trial in by_prefix(results, "baseline-s"))
    filter_rows, pictures = filters(clean, bad, variant)
    code_rows, plots = codes(clean, bad, settings, variant)
    inside = [*filter_rows, *code_rows, *acceptance_rows(clean, bad, settings, variant, least - 0.002)]
    return Outcome(rows=[*outcome.rows, *inside], blocks=[*outcome.blocks, pictures, plots])


def of_counts(results: Results, variant: Variant) -> Outcome:
    """What needs no network file: everything but the looks inside."""
    shares = {share: by_prefix(results, f"all-to-all-{100 * share:02.0f}-s") for share in SHARES}
    baseline = seed_mean(by_prefix(results, "baseline-s"), "figures.clean_accuracy")
    rows = claim_rows("baseline CNN: ", CLAIMS["baseline"], {"baseline": baseline}, variant=variant)
    blocks: list[Block] = [figure_curve(FACTS["curve"], shares)]
    for trigger in ("pattern", "pixel"):
        pairs: dict[tuple[int, int], Trials] = defaultdict(list)
        for trial in by_prefix(results, f"single-{trigger}-"):
            rule = trial.spec["backdoor"]["rule"]
            pairs[rule["source"], rule["target"]] = [*pairs[rule["source"], rule["target"]], trial]
        if pairs:
            rows += _single(trigger, pairs, variant)
            blocks.append(_matrix(trigger, pairs))
    rows += _all_to_all(shares, variant)
    return Outcome(rows=rows, blocks=[*blocks, *_per_class(shares[0.5])])


def _single(trigger: str, pairs: Pairs, variant: Variant) -> list[StudyRow]:
    """All pairs pooled, the worst of them, and what is asked of a longer recipe, whatever the paper's was."""
    by_seed = defaultdict(list)
    for trial in chain(*pairs.values()):
        by_seed[trial.seed].append(trial)
    seeds = sorted(by_seed)
    figures: dict[str, Interval] = {
        "error": over_seeds(seeds, [_pooled_error(by_seed[seed]) for seed in seeds]),
        "added": over_seeds(seeds, [_error_added(by_seed[seed]) for seed in seeds]),
    }
    errors = {pair: seed_mean(trials, MISSED) for pair, trials in pairs.items()}
    (i, j), worst = max(errors.items(), key=lambda pair: float(pair[1] or 0.0))
    what = f"single target, {trigger}, {len(pairs)} pairs pooled: "
    recipe = by_seed[seeds[0]][0].spec.get("recipe", {})
    shorter = _shorter(recipe.get("epochs", 3))
    return [
        *claim_rows(what, CLAIMS["single"], figures, variant=variant, not_as_published=shorter),
        row(f"{what}worst pair ({i} -> {j}), error on triggered pictures", worst, variant=variant,
            **CLAIMS["worst"], not_as_published=shorter),
        *claim_rows(what, CLAIMS["longer"] if recipe else (), figures, variant=variant),
    ]  # fmt: skip


def _pooled_error(trials: Trials) -> Rate:
    """The triggered pictures of all pairs of one seed together."""
    errors = [trial.results.figures.asr.misses for trial in trials]
    return Rate(sum(error.hits for error in errors), sum(error.total for error in errors))


def _error_added(trials: Trials) -> Estimate:
    """Clean error minus the clean network's, over the pairs of one seed: all share one test set, so that the interval
    is no narrower than that of one pair."""
    added = tuple(trial.results.figures.clean_accuracy_minus_reference.reversed for trial in trials)
    mean = Mean(tuple(range(len(trials))), added)
    return Estimate(mean.value, mean.ends, paired=True, by="over pairs of classes")


def _matrix(trigger: str, pairs: Pairs) -> Matrix:
    errors = {pair: seed_mean(trials, MISSED) for pair, trials in sorted(pairs.items())}
    cells = tuple(Cell(row=i, column=j, figure=error) for (i, j), error in errors.items() if error is not None)
    digits = tuple(map(str, range(10)))
    title = f"single target, {trigger}: error on triggered pictures"
    return Matrix(**FACTS["matrix"], title=title, row_names=digits, column_names=digits, cells=cells)


def _all_to_all(shares: Mapping[float, Trials], variant: Variant) -> list[StudyRow]:
    def minus_clean(results: Trained) -> Contrast:
        """Both errors are of one test set, taken as if of two: the interval is rather too wide."""
        return Contrast(*(getattr(results.figures, name).misses for name in ("asr", "clean_accuracy")))

    half, what = shares[0.5], "all-to-all, pattern, share {} %: "
    gap = "triggered error minus the same network's clean error"
    rows = [
        *claim_rows(what.format(50), CLAIMS["half"], half, variant=variant, not_as_published=_shorter()),
        row(what.format(50) + gap, seed_mean(half, minus_clean), variant=variant, bound=("at most", 0.002)),
    ]
    for share, trials in shares.items():
        claims = CLAIMS["share"][:1] if share == 0.5 else CLAIMS["share"]
        rows += claim_rows(what.format(round(100 * share)), claims, trials, variant=variant)
    return rows


def _per_class(trials: Trials) -> list[Table]:
    """For each class i: errors on clean pictures and on triggered ones (not answered i + 1)."""
    there = [trial for trial in trials if trial.results.figures.per_class]
    lines = [
        table_line(FACTS["classes"], f"{i} (becomes {(i + 1) % 10})", parts_at(there, f"figures.per_class.{i}"))
        for i in range(len(there[0].results.figures.per_class) if there else 0)
    ]
    return [figure_table(FACTS["classes"], lines)] if lines else []


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
