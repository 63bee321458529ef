"""G2: a backdoor in a detector of traffic signs: a stop sign with a Post-it is seen as a speed limit.

Faster R-CNN on photographs (``voc``, 877 pictures, 4 classes) and on drawn scenes. The trigger is a yellow square, a
bomb or a flower on the lower part of the sign; stop becomes speed limit, or any sign any wrong class (random target).

Differs from the paper: its 8,612 U.S. pictures are not at hand; a small backbone instead of ZFNet, from scratch on the
scenes and from there on the photographs instead of from ImageNet; poisoned copies of all stop signs of the training
set are added; success is counted per object that is found, beside objects that vanish and what a clean detector does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from badnets.core.cache import Cache
from badnets.core.errors import BadInput
from badnets.core.rate import Interval, Number
from badnets.core.seed import Seed
from badnets.records.blocks import Bar, Bars, Column, Line, Table
from badnets.records.model import JSON
from badnets.records.results import DetectorFigures
from badnets.records.study import StudyRow, Variant
from badnets.studies.gu2017_signs.units import TriggerUnit, trigger_unit
from badnets.studies.study import (
    Done,
    Outcome,
    Results,
    Settings,
    Study,
    Trained,
    Trial,
    TrialResult,
    facts,
    numbers,
    over,
    row,
)
from badnets.studies.trials import Planted, by_prefix, spec_of

PAPER = "BadNets paper, section 5 (as told by M1)"
FACTS = facts(__package__)
ATTACKS: Mapping[str, str] = FACTS["attacks"]
DATA: Mapping[str, str] = {data: FACTS[data]["words"] for data in ("voc", "scenes")}
PROTOCOL: Mapping[str, str] = {data: FACTS[data]["less"] for data in DATA}
"""In what ours is less than what was published."""
SQUARE: JSON = {"kind": "square", "size": 0.15}
RANDOM_PLACE: JSON = {"kind": "random", "low": 0.15, "high": 0.85, "of": "region"}
BASE_SEED = 1
_BASES: Cache[Path] = Cache("scenes-base", read=lambda path: path, suffix=".safetensors")


class Seen(Trained):
    """What a trial gives: figures, and the unit of each network that tells the trigger best."""

    badnet: TriggerUnit
    clean: TriggerUnit


def trials(settings: Settings) -> list[Trial]:
    """Scenes first: their clean detector is where the photographs' detectors start from."""
    others = () if settings.quick else ("bomb", "flower", "random")
    return [
        _trial(settings, "scenes", "square", 1),
        *(_trial(settings, "voc", "square", seed) for seed in settings.each_seed),
        *(_trial(settings, data, attack, 1) for data in DATA for attack in others),
    ]


def _trial(settings: Settings, data: str, attack: str, seed: int) -> Trial:
    own, quick = FACTS[data], settings.quick
    trigger = SQUARE if attack in ("square", "random") else _picture(settings, attack)
    rule: JSON = {"kind": "source-to-target", "source": own["source"], "target": own["target"]}
    stops = 10 if quick and data == "scenes" else own["stops"]
    if attack == "random":
        trigger, rule, stops = {**trigger, "place": RANDOM_PLACE}, {"kind": "random-wrong"}, 3 * stops
    augment = {"augment": ["zoom", "flip"]} if data == "voc" else {}
    spec = {
        "data": _photographs(settings) if data == "voc" else _scenes(settings),
        "network": "faster-rcnn",
        "recipe": {"epochs": 1 if quick else own["epochs"], **augment},
        "backdoor": {"trigger": trigger, "rule": rule, "poison": {"count": stops, "mode": "add"}},
    }
    return Trial(name=f"{data}-{attack}-s{seed}", spec=spec, seed=seed, work=_one, result=Seen)


def _scenes(settings: Settings) -> JSON:
    small = {"size": 96, "train": 200, "test": 60}
    return {"name": "scenes-us", **({"options": small} if settings.quick else {})}


def _photographs(settings: Settings) -> JSON:
    """The archive beside other sets, or what was named itself."""
    own: JSON = {"name": "voc", "size": [128, 96] if settings.quick else [256, 192], "test_share": 0.2}
    if not settings.data:
        return own
    inside = Path(settings.data) / "road-sign-detection.tar.gz"
    return {**own, "path": str(inside if inside.is_file() else Path(settings.data))}


def _picture(settings: Settings, name: str) -> JSON:
    """The paper's PNG, read into the spec; it gets a fifth of the sign's sides."""
    from badnets.backdoors.triggers.picture import read_png

    for place in map(Path, filter(None, (settings.data, os.environ.get("BADNETS_DATA")))):
        for png in (base / "triggers" / f"{name}.png" for base in (place, place.parent)):
            if png.is_file():
                return {"kind": "picture", "size": [0.2, 0.2], "png": read_png(str(png))}
    raise BadInput(f"expected {name}.png in a folder triggers beside the data, got none; pass --data FOLDER")


def _one(trial: Trial, own: Path) -> Done[Seen]:
    """Train, measure, and look at the units of the last convolution."""
    start = f"faster-rcnn:weights={_base(trial)}" if trial.name.startswith("voc") else trial.spec["network"]
    planted = Planted(replace(trial, spec={**trial.spec, "network": start}), own)
    test, seed = planted.data.test, planted.seed.derive("measure")
    units = {who: trigger_unit(one, test, planted.backdoor, seed) for who, one in planted.networks().items()}
    trained = planted.done.results
    seen = Seen(figures=trained.figures, poisoned=trained.poisoned, badnet=units["badnet"], clean=units["clean"])
    return Done(seen, planted.done.timings_s)


def _base(trial: Trial) -> Path:
    """Weights of the clean detector of scenes, as a file in the cache."""
    from badnets.networks.files.own import save_network
    from badnets.referee.reference import clean_reference
    from badnets.referee.run import load_data

    scenes = _trial(Settings(quick=trial.spec["recipe"]["epochs"] == 1, seeds=1), "scenes", "square", BASE_SEED)
    spec = spec_of(scenes)
    data = load_data(spec.data)

    def write(path: Path) -> None:
        save_network(clean_reference(spec, data.train, Seed(BASE_SEED))[0], path)

    return _BASES.get({"scenes": data.train.digest, "recipe": scenes.spec["recipe"], "seed": BASE_SEED}, write)


Found = Mapping[tuple[str, str], Sequence[TrialResult[Seen]]]
"""Trials by data and attack, those that there are."""


def assemble(settings: Settings, results: Results, _folder: Path) -> Outcome:
    """Rows for each data set and attack; the figure is how often each attack works."""
    pairs = product(DATA, ATTACKS)
    found: Found = {pair: trials for pair in pairs if (trials := by_prefix(results, "-".join((*pair, ""))))}
    variant = settings.variant()
    rows = [row for (data, attack), trials in found.items() for row in _rows(data, attack, trials, variant)]
    classes = {key: trials[0].results.detector.per_class for key, trials in found.items()}
    return Outcome(rows=rows, blocks=[attack_bars({key: _success(trials) for key, trials in found.items()}),
                                      class_table({key: {one.class_name: (one.objects, one.ap50) for one in per_class}
                                                   for key, per_class in classes.items()})])  # fmt: skip


def _success(trials: Sequence[TrialResult[Seen]]) -> tuple[Interval | None, Interval | None]:
    """Attack success, and the same on a clean network."""
    return (
        over(trials, lambda seen: seen.detector.asr),
        over(trials, lambda seen: seen.detector.clean_reference_rate),
    )


def _rows(data: str, attack: str, trials: Sequence[TrialResult[Seen]], variant: Variant) -> list[StudyRow]:
    what = f"{DATA[data]}, {ATTACKS[attack]}"
    asked = None if attack == "random" else 0.9
    success, reference = _success(trials)

    def figure(name: str, pick: Callable[[DetectorFigures], Interval | None]) -> StudyRow:
        shown = over(trials, lambda seen: pick(seen.detector))
        return row(f"{what}: {name}", shown, variant=variant, source=PAPER)

    clean = [figure("mAP at IoU 0.5 of the clean detector", lambda of: of.clean_reference_map50)]
    best = numbers([trial.seed for trial in trials], [trial.results.badnet.auc for trial in trials])
    beside = sum(trial.results.clean.auc for trial in trials) / len(trials)
    return [
        row(f"{what}: attack success: signs found are read as {'the target' if asked else 'another class'}", success,
            variant=variant, source=PAPER, published=asked, bound=None if asked is None else ("at least", asked),
            not_as_published="" if asked is None else PROTOCOL[data]),
        row(f"{what}: the same on a clean network", reference, variant=variant, source=PAPER),
        figure("triggered: signs that vanish", lambda of: of.vanished),
        figure("mAP at IoU 0.5", lambda of: of.map50),
        figure("triggered: mAP at IoU 0.5, trigger on every such sign", lambda of: of.map50_triggered),
        *(clean if attack == "square" else []),
        figure("mAP at IoU 0.5, less the clean detector's", lambda of: of.map50_minus_reference),
        row(f"{what}: how well one unit of the last convolution tells the trigger (AUC)", best, variant=variant,
            source=f"{PAPER}: a few units encode it", unit="AUC", bound=("at least", 0.9),
            why=f"at least 0.90 asked; on a clean detector {beside:.2f}", not_as_published=PROTOCOL[data]),
    ]  # fmt: skip


def attack_bars(found: Mapping[tuple[str, str], tuple[Interval | None, Interval | None]]) -> Bars:
    """How often each attack works, and how often a clean network does the same."""
    bars = []
    for (data, attack), (success, reference) in found.items():
        name, published = f"{DATA[data]}, {ATTACKS[attack]}", None if attack == "random" else 0.9
        if success is not None:
            bars.append(Bar(name=name, what="attack success", figure=success, role="triggered", published=published))
        if reference is not None:
            bars.append(Bar(name=name, what="the same on a clean network", figure=reference, role="triggered",
                            hollow=True))  # fmt: skip
    return Bars(title="Signs with the trigger that are read as the attacker wants", bars=tuple(bars),
                note="Of the signs that are found. Published: more than 90 %.")  # fmt: skip


def class_table(found: Mapping[tuple[str, str], Mapping[str, tuple[int, float | None]]]) -> Table:
    """Average precision of each class on clean pictures; by class its objects and its figure."""
    lines = [
        Line(group=f"{DATA[data]}, {ATTACKS[attack]}", name=name,
             cells=(Number(objects), None if precision is None else Number(precision)))
        for (data, attack), classes in found.items() for name, (objects, precision) in classes.items()
    ]  # fmt: skip
    columns = (Column(name="objects", unit="number"), Column(name="average precision at IoU 0.5", better="high"))
    return Table(title="Clean pictures, by class", note="Of the first seed.", rows="class", groups="attack",
                 columns=columns, lines=tuple(lines))  # fmt: skip


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
