"""L1: pruning, fine-tuning, fine-pruning, and the attack that expects pruning, on German traffic signs.

Nine classes of GTSRB, histogram-equalized, L1's network; stop signs with a yellow sticker are labelled "straight or
right". The report gives no numbers, only plots and words: here they are.

Differs from the report: the defender's clean pictures are a select set of other tracks, and curves are measured on the
test set, where the report has one set for both; the attack adds poisoned copies of stop signs; fewer epochs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from badnets.backdoors.backdoor import Backdoor
from badnets.core.fields import Share
from badnets.core.progress import Watcher
from badnets.core.rate import Estimate, Interval, Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData, Splits
from badnets.networks.network import ImageNetwork
from badnets.records.blocks import Column, Curve, Line, Table
from badnets.records.certificate import Standing
from badnets.records.model import JSON, Model
from badnets.records.study import StudyRow, Variant
from badnets.referee.spec import Spec
from badnets.studies.study import (
    Bound,
    Done,
    Outcome,
    Pruned,
    Results,
    Settings,
    Study,
    Trial,
    TrialResult,
    as_rate,
    facts,
    over,
    pruned,
    row,
)
from badnets.studies.trials import by_prefix, once, spec_of

FACTS = facts(__package__)
REPORT = "report L1 (no numbers given)"
SELECT = 0.15
MAX_DROP = 0.05
WIDTHS = (0.5, 1.0, 2.0)
ATTACKS = {"standard": "standard attack", "aware": "pruning-aware attack"}
REPAIRS = {"prune": "pruning to a drop of 5 points", "fine-tune": "fine-tune", "fine-prune": "fine-prune"}
FIGURES = {"asr": "attack success", "clean_accuracy": "clean accuracy", "robust_accuracy": "robust accuracy"}
SHORT = "4 passes over the pictures instead of 100"


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

    def of(self, attack: str) -> Attacked:
        """One of them, as named in ``ATTACKS``."""
        return self.standard if attack == "standard" else self.aware


Fights = list[TrialResult[Fight]]


def trials(settings: Settings) -> list[Trial]:
    """Every seed at width 1, one seed at the other widths."""
    spec: JSON = {**FACTS["spec"], "data": settings.source(**FACTS["spec"]["data"])}
    if settings.quick:
        spec["recipe"] = {"epochs": 2}
    out = []
    for width in (0.5,) if settings.quick else (1.0, 0.5, 2.0):
        own = {**spec, "network": f"l1-cnn:width={width}"}
        seeds = settings.each_seed if width == 1.0 else (1,)
        out += [Trial(name=f"width-{width}-s{seed}", spec=own, seed=seed, work=_fight, result=Fight) for seed in seeds]
    return out


def _fight(trial: Trial, own: Path) -> Done[Fight]:
    """Both attacks by one seed, each against every repair; what is finished is kept in ``own``."""
    standard, aware = (
        once(own / f"{attack}.json", Attacked, partial(_attack, attack, trial, own)) for attack in ATTACKS
    )
    return Done(Fight(standard=standard, aware=aware))


def _attack(attack: str, trial: Trial, own: Path) -> Attacked:
    """Train one network, sweep, repair, measure."""
    from badnets.data.splits import with_select
    from badnets.defenses.repairs import make_repair
    from badnets.referee.bench import Bench
    from badnets.referee.reference import clean_reference
    from badnets.referee.run import load_data
    from badnets.referee.truth import known_trigger

    spec, seed = spec_of(trial), Seed(trial.seed)
    loaded = load_data(spec.data)
    data = with_select(loaded.train, loaded.test, SELECT, trial.seed)
    bench = Bench(defender=data.select, spare=data.train, test=data.test, truth=known_trigger(spec, seed), seed=seed,
                  method_seed=seed.derive("defender"), folder=own)  # fmt: skip
    network = _trained(attack, spec, data, seed, own / f"{attack}.safetensors")
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
    from badnets.attacks.pruning_aware import PruningAware
    from badnets.networks.files.own import open_network, save_network
    from badnets.networks.registry import build_network, parse_network
    from badnets.referee.reference import train_network
    from badnets.referee.run import poison_data

    if not path.exists():
        subject = poison_data(spec, data.train, seed, path.parent, Watcher()).data  # type: ignore[union-attr]
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


def _curve(network: ImageNetwork, data: Splits, backdoor: Backdoor, seed: Seed) -> tuple[Step, ...]:
    """Every step of pruning."""
    import numpy as np

    from badnets.backdoors.backdoor import triggered
    from badnets.measures.classification import accuracy
    from badnets.networks.surgery.channels import rank_channels
    from badnets.networks.surgery.sweep import pruning_sweep

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
        if not (fights := by_prefix(results, f"width-{width}-")):
            continue
        prefix = "" if width == main else f"width x{width:g}, "
        for attack, words in ATTACKS.items():
            figures = partial(_figure, fights, attack)
            chosen = {
                name: "; ".join(dict.fromkeys(fight.results.of(attack).repairs[name].chosen for fight in fights))[:300]
                for name in REPAIRS
            }
            outcome.rows.extend(attack_rows(f"{prefix}{words}", attack, figures, chosen, variant, judged=not prefix))
            name = f"{words}, width x{width:g}"
            outcome.blocks.append(pruning_curve(name, _points(fights, attack)))
            lines += repair_lines(name, figures)
        if not prefix:
            outcome.rows.append(comparison(over(fights, _left), variant))
    outcome.blocks.append(repairs_table(lines))
    return outcome


Named = Callable[[str, str], Interval | None]
"""A figure of the network that a repair leaves, by the names of both; also "before" any repair, and "reference"."""


def _figure(fights: Fights, attack: str, stage: str, figure: str) -> Interval | None:
    def of(fight: Fight) -> Rate:
        attacked = fight.of(attack)
        others = {"before": attacked.before, "reference": attacked.reference}
        return as_rate(getattr(others[stage] if stage in others else attacked.repairs[stage].after, figure))

    return over(fights, of)


def attack_rows(
    what: str, attack: str, figures: Named, chosen: Mapping[str, str], variant: Variant, *, judged: bool
) -> list[StudyRow]:
    """The rows of one attack at one width; ``chosen``: by what each repair's network was chosen."""
    line = partial(row, variant=variant, source=REPORT)
    rows = [
        line(f"{what}: clean accuracy", figures("before", "clean_accuracy")),
        line(f"{what}: attack success", figures("before", "asr")),
        line(f"{what}: the same on a clean network", figures("reference", "asr")),
    ]
    for method, name in REPAIRS.items():
        after = {figure: figures(method, figure) for figure in FIGURES}
        judging = judged and method == "prune"  # what the report says in words
        stays: Bound | None = ("at least", 0.90) if judging and attack == "aware" else None
        less = f"{SHORT}; the report: pruning takes a lot of it" if judging and attack == "standard" else ""
        rows += [
            line(f"{what}: attack success after {name}", after["asr"], bound=stays, not_as_published=less),
            line(f"{what}: clean accuracy after {name}", after["clean_accuracy"], why=chosen[method]),
            line(f"{what}: robust accuracy after {name}", after["robust_accuracy"]),
        ]
    return rows


def _left(fight: Fight) -> Estimate:
    repairs = fight.aware.repairs
    return share_left(as_rate(repairs["fine-prune"].after.asr), as_rate(repairs["prune"].after.asr))


def share_left(after: Interval, pruned: Interval) -> Estimate:
    """What fine-pruning leaves of the attack success that pruning leaves; the interval is that of the former."""
    base = max(float(pruned), 1e-9)
    value, low, high = (min((end or 0.0) / base, 1.0) for end in (after.value, *after.ends))
    return Estimate(value, (low, high), by="of the numerator")


def comparison(share: Interval | None, variant: Variant) -> StudyRow:
    """Whether fine-pruning beats what pruning leaves of the pruning-aware attack: at most half of it."""
    what = "pruning-aware attack: attack success after fine-pruning, as a share of that after pruning"
    source = "report L1: fine-pruning works against both"
    return row(what, share, variant=variant, source=source, bound=("at most", 0.5))


def _points(fights: Fights, attack: str) -> list[Pruned]:
    """Channels pruned, accuracy on the test set and attack success, of every step."""

    def of(step: int, figure: str) -> Callable[[Fight], Rate]:
        return lambda fight: as_rate(getattr(fight.of(attack).curve[step], figure))

    curve = fights[0].results.of(attack).curve
    return [
        (step.channels, over(fights, of(number, "test")), over(fights, of(number, "asr")))
        for number, step in enumerate(curve)
    ]


def pruning_curve(name: str, points: Sequence[Pruned]) -> Curve:
    """Accuracy and attack success against the number of pruned channels."""
    return Curve(title=name, axis="pruned channels of the last convolution", series=pruned(points))


def repair_lines(group: str, figures: Named) -> list[Line]:
    """What the attack is before and after each repair, in the order of ``FIGURES``."""
    stages = {"before": "no repair", **REPAIRS}
    return [
        Line(group=group, name=name, cells=tuple(figures(stage, figure) for figure in FIGURES))
        for stage, name in stages.items()
    ]


def repairs_table(lines: Sequence[Line]) -> Table:
    """Repairs of both attacks beside each other."""
    columns = tuple(Column(name=words, better="low" if name == "asr" else "high") for name, words in FIGURES.items())
    note = "Robust accuracy: triggered stop signs that are read as stop signs."
    return Table(title="Repairs", note=note, rows="repair", groups="attack", columns=columns, lines=tuple(lines))


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
