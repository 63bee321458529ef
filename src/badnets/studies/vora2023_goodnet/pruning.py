"""Study C1, its own part: the loader against known answers, the pruning curve, where it stops, GoodNets, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from badnets.core.fields import Share
from badnets.core.rate import Contrast, Interval, Number, Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.abstainers import make_abstainer
from badnets.defenses.repairs import make_repair
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork
from badnets.networks.surgery.channels import pruned_channels, rank_channels
from badnets.networks.surgery.sweep import pruning_sweep
from badnets.records.blocks import Bar, Bars, Curve, Role, Series
from badnets.records.certificate import Standing
from badnets.records.model import JSON, Model
from badnets.records.study import StudyRow, Variant
from badnets.referee.bench import Bench
from badnets.referee.truth import TriggeredPictures
from badnets.studies.figures import Bound, row
from badnets.studies.study import Done, Trial
from badnets.studies.vora2023_goodnet.data import (
    FACTS,
    LAYER,
    Step,
    files_of,
    open_face_network,
    read_curve,
    read_faces,
    read_samples,
)

REPORT: str = FACTS["report"]
PARAMETERS = 601_643
DROPS: Mapping[float, JSON] = {entry["drop"]: entry for entry in FACTS["drops"]}
"""By the drop that was allowed (accuracy 2, 4 and 10 points below 100 %): how many ``channels`` the report had pruned,
and clean accuracy and attack success of the ``pruned`` network and the ``goodnet`` on the contest's test set."""
KINDS = {"pruned": "pruned network", "goodnet": "GoodNet"}
JUDGED_STEPS = range(45, 57)
NEAR = 0.05
FEW_FACES: str = FACTS["few_faces"]
ORDER = "published order"
SETS = ("clean", "triggered")
Answers = dict[str, list[int]]
"""The classes that the first "clean" and "triggered" faces are given."""


class LoadedNetwork(Model):
    """How many parameters a network has; how many samples it answers as the original does, None without samples."""

    parameters: int
    equal: Share | None = None


class Loaded(Model):
    """The trial of the loader, by network."""

    networks: dict[str, LoadedNetwork]


class PruningStep(Model):
    """What is left after so many ``channels``, of which ``channel`` was the last."""

    channels: int
    channel: int | None = None
    clean_accuracy: Share
    asr: Share


class Drop(Model):
    """Both networks of one allowed drop: whether exactly the chosen channels are zero and all else is the same bits."""

    channels: int
    zeroed: bool
    rest_unchanged: bool
    pruned: Standing
    goodnet: Standing


class Pruned(Model):
    """The trial of pruning: a curve for each order, the stops of the repair ``prune``, both tables by allowed drop, and
    the answers of each network for the contact sheet."""

    curves: dict[str, tuple[PruningStep, ...]]
    dead: int
    faces: dict[str, int]
    full: bool
    stopped_by_repair: dict[str, dict[float, int]]
    original: Standing
    tables: dict[float, Drop]
    answers: dict[str, Answers]

    @property
    def less(self) -> str:
        """In what these faces are less than the report's."""
        return "" if self.full else FEW_FACES

    @property
    def order(self) -> str:
        """The order that the tables are made in: the published one where it is known."""
        return next(iter(self.curves))


def published_stop(accuracies: Sequence[float], drop: float) -> int | None:
    """C1's convention: channels pruned when accuracy is ``drop`` or more below 100 %, that step included; None if it
    never is. ``accuracies[i]`` is after ``i + 1`` channels."""
    return next((n for n, value in enumerate(accuracies, 1) if 1 - value >= drop - 1e-9), None)


def careful_stop(before: float, accuracies: Sequence[float], drop: float) -> int:
    """Our convention: channels pruned before the first step after which accuracy is more than ``drop`` below what it
    was ``before`` all pruning."""
    broken = (n - 1 for n, value in enumerate(accuracies, 1) if before - value > drop + 1e-9)
    return next(broken, len(accuracies))


def check_loader(trial: Trial, _folder: Path) -> Done[Loaded]:
    """Parameters of each network, and its answers to the samples beside those of ``labels.csv``."""
    files = files_of(trial.spec)
    rows, pictures = ([], None) if files.samples is None else read_samples(files.samples)
    networks = {}
    for name in files.weights:
        network, equal = open_face_network(files, name), None
        if pictures is not None:
            wanted = np.array([int(line[name]) for line in rows])
            equal = Rate.of(predict_data(network, pictures).labels == wanted)
        networks[name] = LoadedNetwork(parameters=sum(value.numel() for value in network.parameters()), equal=equal)
    return Done(Loaded(networks=networks))


def prune_and_compare(trial: Trial, folder: Path) -> Done[Pruned]:
    """The sweeps over validation faces in three orders, and the tables on test faces."""
    files = files_of(trial.spec)
    network = open_face_network(files, "lab3")
    faces = [read_faces(path, name) for path, name in zip(files.faces, SETS * 2, strict=True)]
    valid, test = dict(zip(SETS, faces[:2], strict=True)), dict(zip(SETS, faces[2:], strict=True))
    means = rank_channels(network, valid["clean"], LAYER, at="pool")
    orders = {
        "least active first": np.argsort(means, kind="stable").tolist(),
        "most active first": np.argsort(-means, kind="stable").tolist(),
    }
    if files.curve is not None:
        orders = {ORDER: [step.channel for step in read_curve(files.curve)], **orders}
    order = next(iter(orders.values()))
    bench = Bench(defender=valid["clean"], spare=valid["clean"], test=test["clean"], seed=Seed(trial.seed),
                  truth=TriggeredPictures(pictures=test["triggered"]), folder=folder)  # fmt: skip
    tables, answers = _tables(bench, network, order, test)
    return Done(Pruned(
        curves={name: _curve(network, each, valid) for name, each in orders.items()},
        dead=int(np.count_nonzero(means == 0)),
        faces={name: len(data) for name, data in valid.items()},
        full=files.full,
        stopped_by_repair=_by_repair(bench, network, order),
        original=bench.standing(network),
        tables=tables,
        answers=answers,
    ))  # fmt: skip


def _curve(network: ImageNetwork, order: Sequence[int], sets: Mapping[str, ImageData]) -> tuple[PruningStep, ...]:
    return tuple(
        PruningStep(
            channels=step.number,
            channel=step.channel,
            clean_accuracy=Rate.of(step.answers["clean"] == sets["clean"].labels),
            asr=Rate.of(step.answers["triggered"] == sets["triggered"].labels),
        )
        for step in pruning_sweep(network, LAYER, order, sets)
    )


def _by_repair(bench: Bench, network: ImageNetwork, order: Sequence[int]) -> dict[str, dict[float, int]]:
    """How many channels the repair ``prune`` silences, by convention and drop; counted in the network it gives."""

    def stopped(convention: str, drop: float) -> int:
        settings = {"layer": LAYER, "order": order, "max_drop": drop, "convention": convention}
        return len(pruned_channels(bench.repaired(make_repair("prune", settings), network)[1], LAYER))

    return {name: {drop: stopped(name, drop) for drop in DROPS} for name in ("published", "before")}


def _tables(
    bench: Bench, network: ImageNetwork, order: Sequence[int], test: Mapping[str, ImageData]
) -> tuple[dict[float, Drop], dict[str, Answers]]:
    """Both tables by drop, and the answers of each network for the contact sheet; all networks are reopened files."""
    tables, answers = {}, {"original": both_answers(network, test)}
    path = (bench.folder or Path()) / "pruned.safetensors"
    for drop, published in DROPS.items():
        count = published["channels"]
        prune = make_repair("prune", {"layer": LAYER, "order": order, "channels": count})
        _, zeroed = bench.repaired(prune, network, into=path)
        _, goodnet = bench.guarded(make_abstainer("agreement", {"repaired": str(path), "hard": True}), network)
        tables[drop] = Drop(
            channels=count,
            zeroed=pruned_channels(zeroed, LAYER) == sorted(order[:count]),
            rest_unchanged=rest_unchanged(network, zeroed, order[:count]),
            pruned=bench.standing(zeroed),
            goodnet=bench.standing(goodnet),
        )
        answers[f"pruned {points(drop)}"] = both_answers(zeroed, test)
        answers[f"GoodNet {points(drop)}"] = both_answers(goodnet, test)
    return tables, answers


def rest_unchanged(before: ImageNetwork, after: ImageNetwork, pruned: Sequence[int]) -> bool:
    """Whether every number is the same to the bit, but for the filters and biases of ``pruned`` channels."""
    new = after.body.state_dict()
    for name, value in before.body.state_dict().items():
        kept = np.ones(len(value), bool)
        if name.startswith(f"{LAYER}."):
            kept[list(pruned)] = False
        if value.cpu()[kept].numpy().tobytes() != new[name].cpu()[kept].numpy().tobytes():
            return False
    return True


def both_answers(network: ImageNetwork, test: Mapping[str, ImageData], most: int = 100) -> Answers:
    """The classes that the first faces of both sets are given."""
    return {name: predict_data(network, data.take(np.arange(min(most, len(data))))).labels.tolist()
            for name, data in test.items()}  # fmt: skip


def points(drop: float) -> str:
    """``"2 points"``."""
    return f"{round(100 * drop)} points"


def loader_rows(loaded: Loaded, variant: Variant) -> list[StudyRow]:
    """Answers to the samples, and the number of parameters."""
    rows = []
    common: JSON = {"variant": variant, "published": 1.0, "bound": ("at least", 1.0)}
    for name, network in loaded.networks.items():
        if network.equal is not None:
            what = f"loader, {name}: samples answered as by the original"
            rows.append(row(what, network.equal, source="samples/labels.csv", **common))
        same = network.parameters == PARAMETERS
        rows.append(row(f"loader, {name}: has {PARAMETERS:,} parameters", same, source=REPORT, unit="yes or no",
                        why=f"{network.parameters:,}", **common))  # fmt: skip
    return rows


def _near(
    what: str, figure: Interval, published: float, source: str, variant: Variant, less: str, *, judged: bool = True
) -> StudyRow:
    """A row that is borne out within ``NEAR`` of the published figure, on either side."""
    bound: Bound = ("at least", published - NEAR) if figure <= published else ("at most", published + NEAR)
    return row(what, figure, variant=variant, published=published, source=source, bound=bound if judged else None,
               why="within 5 points asked" if judged else "", not_as_published=less)  # fmt: skip


def curve_rows(results: Pruned, curve: Sequence[Step], variant: Variant) -> list[StudyRow]:
    """Attack success at the steps where it falls, in the published order; and the largest distance."""
    ours = results.curves.get(ORDER, ())
    if not ours or not curve:
        return []
    rows = [
        _near(f"pruning in the {ORDER}: attack success after {step} channels", ours[step].asr, curve[step - 1].asr,
              f"{REPORT}, step {step}", variant, results.less)
        for step in JUDGED_STEPS
    ]  # fmt: skip
    gap = max(abs(float(ours[step].asr) - curve[step - 1].asr) for step in JUDGED_STEPS)
    what = f"pruning in the {ORDER}: largest distance of attack success from the published"
    why = f"steps {JUDGED_STEPS[0]} to {JUDGED_STEPS[-1]}, of {results.faces['triggered']:,} triggered faces"
    return [*rows, row(what, gap, variant=variant, unit="difference", bound=("at most", NEAR), why=why)]


def stop_rows(results: Pruned, curve: Sequence[Step], variant: Variant) -> list[StudyRow]:
    """How many channels go at 2, 4 and 10 points, by both conventions, on the published accuracies and on ours."""
    before, *after = (float(step.clean_accuracy) for step in results.curves[results.order])
    corrected: Variant = variant if variant == "quick" else "corrected"
    published = [step.clean_accuracy for step in curve]
    rows = []
    for drop in DROPS:
        if published:
            # The published network has the accuracy of step 1 before all pruning, too.
            rows += _stops(drop, "published accuracies", published[0], published, (variant, corrected))
        variants = (corrected if results.less else variant, corrected)
        rows += _stops(drop, "our accuracies", before, after, variants, results.less)
    return rows


def _stops(
    drop: float, whose: str, before: float, after: Sequence[float], variants: tuple[Variant, Variant], less: str = ""
) -> list[StudyRow]:
    """Where the report's rule stops, and where ours does."""
    what, wanted, unit = f"channels zeroed at {points(drop)}", DROPS[drop]["channels"], "channels of 60"
    bound: Bound | None = None if less else ("about", wanted)
    return [
        row(f"{what}: C1's rule, {whose}", published_stop(after, drop) or 0, variant=variants[0], published=wanted,
            source=REPORT, unit=unit, bound=bound, why="" if less else "equal asked", not_as_published=less),
        row(f"{what}: our rule, {whose}", careful_stop(before, after, drop), variant=variants[1], unit=unit,
            why=FACTS["our_rule"]),
    ]  # fmt: skip


def table_rows(results: Pruned, variant: Variant) -> list[StudyRow]:
    """Both tables of the report, and what the class N+1 adds."""
    rows: list[StudyRow] = []
    near = partial(_near, source=f"{REPORT}, test set", variant=variant, less=results.less)
    for drop, published in DROPS.items():
        entry, words = results.tables[drop], f"{points(drop)} ({published['channels']} channels)"
        for kind, name in KINDS.items():
            standing, (clean, success) = getattr(entry, kind), published[kind]
            rows += [
                near(f"{name}, {words}: clean accuracy", standing.clean_accuracy, clean, judged=results.full),
                near(f"{name}, {words}: attack success", standing.asr, success),
            ]
        gain = Contrast(entry.goodnet.asr, entry.pruned.asr)  # type: ignore[arg-type]  # counts of one seed
        rows += [
            row(f"GoodNet, {words}: attack success minus the pruned network's", gain, variant=variant,
                not_as_published=results.less, **FACTS["gain"]),
            row(f"GoodNet, {words}: triggered faces sent to class N+1", entry.goodnet.refused_triggered,
                variant=variant),
            row(f"GoodNet, {words}: clean faces sent to class N+1", entry.goodnet.refused, variant=variant),
            row(f"pruned network, {words}: exactly these are zero, all else is the same bits",
                entry.zeroed and entry.rest_unchanged, variant=variant, unit="yes or no", bound=("at least", 1.0),
                why="asked"),
        ]  # fmt: skip
    return rows


def pruning_curves(curves: Mapping[str, Sequence[PruningStep]], published: Sequence[Step]) -> list[Curve]:
    """A drawing for each order; the published order first, with what was published."""
    drawn = []
    for name, steps in curves.items():
        lines = [
            Series.of("clean accuracy, ours", "clean", ((step.channels, step.clean_accuracy) for step in steps)),
            Series.of("attack success, ours", "triggered", ((step.channels, step.asr) for step in steps)),
        ]
        if name == ORDER and published:
            clean, success = (
                [(n, Number(getattr(step, figure))) for n, step in enumerate(published, 1)]
                for figure in ("clean_accuracy", "asr")
            )
            lines += [
                Series.of("clean accuracy, published", "clean", clean, hollow=True),
                Series.of("attack success, published", "triggered", success, hollow=True),
            ]
        drawn.append(Curve(title=f"Pruning, {name}", axis="channels pruned", series=tuple(lines)))
    return drawn


def table_bars(tables: Mapping[float, Drop]) -> list[Bars]:
    """Both tables of the report, ours beside them."""
    return [
        Bars(title=title, bars=tuple(bar for drop, entry in tables.items() for bar in _bars(drop, entry, kind)))
        for kind, title in (("pruned", "Pruned networks"), ("goodnet", "GoodNets"))
    ]


def _bars(drop: float, entry: Drop, kind: str) -> list[Bar]:
    standing: Standing = getattr(entry, kind)
    name, (clean, success) = f"{points(drop)}, {DROPS[drop]['channels']} channels", DROPS[drop][kind]
    shown: list[tuple[str, Interval | None, Role, float]] = [
        ("clean accuracy", standing.clean_accuracy, "clean", clean),
        ("attack success", standing.asr, "triggered", success),
    ]
    return [
        Bar(name=name, what=what, figure=figure, role=role, published=published)
        for what, figure, role, published in shown if figure is not None
    ]  # fmt: skip
