"""L1: pruning, fine-tuning, fine-pruning, and the attack that expects pruning, on German traffic signs.

Nine classes of GTSRB, histogram-equalized, L1's network; stop signs with a yellow sticker are labelled "straight or
right". The report gives no numbers, only plots and words: here they are.

Differs from the report: the defender's clean pictures are a select set of other tracks, and curves are measured on the
test set, where the report has one set for both; the attack adds poisoned copies of stop signs; fewer epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from badnets.attacks.pruning_aware import PruningAware
from badnets.backdoors.backdoor import Backdoor, triggered
from badnets.core.fields import Share
from badnets.core.progress import Watcher
from badnets.core.rate import Estimate, Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData, Splits
from badnets.data.splits import with_select
from badnets.defenses.repairs import make_repair
from badnets.measures.classification import accuracy
from badnets.networks.files.own import open_network, save_network
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network, parse_network
from badnets.networks.surgery.channels import rank_channels
from badnets.networks.surgery.sweep import pruning_sweep
from badnets.records.blocks import Curve, Line, Role, Series
from badnets.records.certificate import Standing
from badnets.records.model import JSON, Model
from badnets.records.study import StudyRow, Variant
from badnets.referee.bench import Bench
from badnets.referee.data import load_data
from badnets.referee.reference import clean_reference, train_network
from badnets.referee.run import poison_data
from badnets.referee.spec import Spec
from badnets.referee.truth import known_trigger
from badnets.studies.figures import claim_rows, figure_table, parts_at, row, seed_mean, table_line, value_at
from badnets.studies.study import Done, Outcome, Results, Settings, Study, Trial, Trials, by_prefix, facts
from badnets.studies.trials import once, spec_of

FACTS = facts(__package__)
SELECT = 0.15
MAX_DROP = 0.05
WIDTHS = (0.5, 1.0, 2.0)
ATTACKS = {"standard": "standard attack", "aware": "pruning-aware attack"}
REPAIRS = {"prune": "pruning to a drop of 5 points", "fine-tune": "fine-tune", "fine-prune": "fine-prune"}
FIGURES = {"asr": "attack success", "clean_accuracy": "clean accuracy", "robust_accuracy": "robust accuracy"}
LINES: tuple[tuple[str, Role, str], ...] = (("clean accuracy", "clean", "test"), ("attack success", "triggered", "asr"))


class Step(Model):
    """One step of pruning: how many channels are gone, accuracy on the defender's pictures and on the ``test`` set, and
    what the defender does not see."""

    channels: int
    select: Share
    test: Share
    asr: Share


class Cured(Model):
    """A repair: what the network does ``after`` it, by what it was ``chosen``, and seconds."""

    after: Standing
    chosen: str
    seconds: float


class Attacked(Model):
    """A backdoored network, a clean one (``reference``), the ``curve`` of pruning, and the repairs by name."""

    before: Standing
    reference: Standing
    curve: tuple[Step, ...]
    repairs: dict[str, Cured]


class Fight(Model):
    """Both attacks of one seed."""

    standard: Attacked
    aware: Attacked


def trials(settings: Settings) -> list[Trial]:
    """Every seed at width 1, one seed at the other widths."""
    spec: JSON = {**FACTS["spec"], "data": settings.source(**FACTS["spec"]["data"])}
    if settings.quick:
        spec["recipe"] = {"epochs": 2}
    out = []
    for width in (0.5,) if settings.quick else (1.0, 0.5, 2.0):
        wide = {**spec, "network": f"l1-cnn:width={width}"}
        seeds = settings.each_seed if width == 1.0 else (1,)
        out += [Trial(name=f"width-{width}-s{seed}", spec=wide, seed=seed, work=_fight, result=Fight) for seed in seeds]
    return out


def _fight(trial: Trial, folder: Path) -> Done[Fight]:
    """Both attacks by one seed, each against every repair; what is finished is kept in ``folder``."""
    standard, aware = (
        once(folder / f"{attack}.json", Attacked, partial(_attack, attack, trial, folder)) for attack in ATTACKS
    )
    return Done(Fight(standard=standard, aware=aware))


def _attack(attack: str, trial: Trial, folder: Path) -> Attacked:
    """Train one network, sweep, repair, measure."""
    spec, seed = spec_of(trial), Seed(trial.seed)
    loaded = load_data(spec.data)
    data = with_select(loaded.train, loaded.test, SELECT, trial.seed)
    bench = Bench(defender=data.select, spare=data.train, test=data.test, truth=known_trigger(spec, seed), seed=seed,
                  method_seed=seed.derive("defender"), folder=folder)  # fmt: skip
    network = _trained(attack, spec, data, seed, folder / f"{attack}.safetensors")
    repairs = {}
    for method in REPAIRS:
        settings = {} if method == "fine-tune" else {"max_drop": MAX_DROP}
        done, cured = bench.repaired(make_repair(method, settings), network)
        repairs[method] = Cured(after=bench.standing(cured), chosen=done.chosen, seconds=round(done.seconds, 1))
    return Attacked(
        before=bench.standing(network),
        reference=bench.standing(clean_reference(spec, data.train, seed)[0]),
        curve=_curve(network, data, spec.backdoor.backdoor, seed.derive("measure")),  # type: ignore[union-attr]
        repairs=repairs,
    )


def _trained(attack: str, spec: Spec, data: Splits, seed: Seed, path: Path) -> ImageNetwork:
    if not path.exists():
        subject = poison_data(spec, data.train, seed, path.parent, Watcher()).data  # type: ignore[union-attr]
        if attack == "standard":
            network = train_network(spec, subject, seed, None, Watcher(), attack).network
        else:
            name, arguments = parse_network(spec.network)
            h, w, c = subject.shape
            names, weights = subject.class_names, seed.derive("weights")
            network = build_network(name, class_names=names, input_size=(c, h, w), seed=weights, arguments=arguments)
            aware = PruningAware(max_drop=MAX_DROP)
            aware.train(network, data.train, subject, recipe=spec.recipe, seed=seed.derive("aware"))
        save_network(network, path)
    return open_network(path)


def _curve(network: ImageNetwork, data: Splits, backdoor: Backdoor, seed: Seed) -> tuple[Step, ...]:
    """Every step of pruning."""
    rule = backdoor.rule.resolve(data.test.class_names)
    eligible = data.test.take(np.flatnonzero(rule.eligible(data.test.labels)))
    marked = np.concatenate([m for _, _, m in triggered(eligible, Backdoor(backdoor.trigger, rule), seed)])
    stamped = ImageData.of(marked, eligible.labels, class_names=eligible.class_names)
    order = np.argsort(rank_channels(network, data.select), kind="stable").tolist()
    sets = {"select": data.select, "test": data.test}
    curve = []
    for step in pruning_sweep(network, None, order, {**sets, "stamped": stamped}):
        hits = Rate.of(rule.hit(step.answers["stamped"], stamped.labels, stamped.classes))
        right = {name: accuracy(step.answers[name], part.labels) for name, part in sets.items()}
        curve.append(Step(channels=step.number, asr=hits, **right))
    return tuple(curve)


def assemble(settings: Settings, results: Results, _folder: Path) -> Outcome:
    """What the report says in words and plots, in figures."""
    variant, main = settings.variant(), 0.5 if settings.quick else 1.0
    outcome = Outcome(rows=[])
    lines: list[Line] = []
    for width in sorted(WIDTHS, key=lambda width: (width != main, width)):
        if not (trials := by_prefix(results, f"width-{width}-")):
            continue
        prefix = "" if width == main else f"width x{width:g}, "
        for attack, words in ATTACKS.items():
            outcome.rows.extend(_rows(f"{prefix}{words}", attack, trials, variant, judged=not prefix))
            name = f"{words}, width x{width:g}"
            outcome.blocks.append(_pruning_curve(name, attack, trials))
            stages = {"before": "no repair", **{f"repairs.{method}.after": REPAIRS[method] for method in REPAIRS}}
            lines += [
                table_line(FACTS["table"], stage, parts_at(trials, f"{attack}.{path}"), name)
                for path, stage in stages.items()
            ]
        if not prefix:
            outcome.rows.append(row(figure=seed_mean(trials, _share_left), variant=variant, **FACTS["comparison"]))
    outcome.blocks.append(figure_table(FACTS["table"], lines))
    return outcome


def _rows(what: str, attack: str, trials: Trials, variant: Variant, *, judged: bool) -> list[StudyRow]:
    """The rows of one attack at one width: before any repair and after each."""
    common = {"variant": variant, "source": FACTS["report"]}
    claims = [{**claim, "figure": f"{attack}.{claim['figure']}"} for claim in FACTS["claims"]]
    for method, name in REPAIRS.items():
        chosen = dict.fromkeys(getattr(trial.results, attack).repairs[method].chosen for trial in trials)
        said: dict[str, JSON] = {"clean_accuracy": {"why": "; ".join(chosen)[:300]}}
        if judged and method == "prune":
            said["asr"] = FACTS["judged"][attack]
        claims += [
            {"figure": f"{attack}.repairs.{method}.after.{figure}", "words": f"{words} after {name}",
             **said.get(figure, {})}
            for figure, words in FIGURES.items()
        ]  # fmt: skip
    return claim_rows(f"{what}: ", claims, trials, **common)


def _share_left(fight: Fight) -> Estimate:
    """What fine-pruning leaves of the attack success that pruning leaves; the interval is that of the former."""
    after, pruned = (value_at(fight, f"aware.repairs.{method}.after.asr") for method in ("fine-prune", "prune"))
    base = max(float(pruned), 1e-9)
    value, low, high = (min((end or 0.0) / base, 1.0) for end in (after.value, *after.ends))
    return Estimate(value, (low, high), by="of the numerator")


def _pruning_curve(name: str, attack: str, trials: Trials) -> Curve:
    """Accuracy on the test set and attack success against the number of pruned channels."""
    steps: Sequence[Step] = getattr(trials[0].results, attack).curve
    lines = tuple(
        Series.of(words, role, ((step.channels, seed_mean(trials, f"{attack}.curve.{number}.{figure}"))
                                for number, step in enumerate(steps)))
        for words, role, figure in LINES
    )  # fmt: skip
    return Curve(title=name, axis="pruned channels of the last convolution", series=lines)


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
