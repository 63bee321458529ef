"""G2: a backdoor in a detector of traffic signs: a stop sign with a Post-it is seen as a speed limit.

Faster R-CNN on photographs (``voc``, 877 pictures, 4 classes) and on drawn scenes. The trigger is a yellow square, a
bomb or a flower on the lower part of the sign; stop becomes speed limit, or any sign any wrong class (random target).

Differs from the paper: its 8,612 U.S. pictures are not at hand; a small backbone instead of ZFNet, from scratch on the
scenes and from there on the photographs instead of from ImageNet; poisoned copies of all stop signs of the training
set are added; success is counted per object that is found, beside objects that vanish and what a clean detector does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from badnets.core.cache import Cache
from badnets.core.errors import BadInput
from badnets.core.progress import Watcher
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
    numbers,
    over,
    row,
)
from badnets.studies.trials import by_prefix, done_of

PAPER = "BadNets paper, section 5 (as told by M1)"
FULL_SIZE, QUICK_SIZE = (256, 192), (128, 96)
SCENES_EPOCHS, VOC_EPOCHS = 7, 11
STOPS = {"voc": ("stop", "speedlimit"), "scenes": ("stop", "speed-limit-45")}
SQUARE: JSON = {"kind": "square", "size": 0.15}
RANDOM_PLACE: JSON = {"kind": "random", "low": 0.15, "high": 0.85, "of": "region"}
ATTACKS = {
    "square": "yellow square, stop to speed limit",
    "bomb": "bomb, stop to speed limit",
    "flower": "flower, stop to speed limit",
    "random": "yellow square, random target",
}
DATA = {"voc": "photographs", "scenes": "drawn scenes"}
PROTOCOL = {
    "voc": "877 photographs for 8,612, and a small backbone that never saw ImageNet",
    "scenes": "drawn scenes for photographs, and a small backbone that never saw ImageNet",
}
"""In what ours is less than what was published."""
BASE_SEED = 1
_BASES: Cache[Path] = Cache("scenes-base", read=lambda path: path, suffix=".safetensors")


class Seen(Trained):
    """What a trial gives: figures, and the unit of each network that tells the trigger best."""

    badnet: TriggerUnit
    clean: TriggerUnit


def trials(settings: Settings) -> list[Trial]:
    """Scenes first: their clean detector is where the photographs' detectors start from."""
    seeds = range(1, settings.seeds + 1)
    out = [_trial(settings, "scenes", "square", 1)]
    out += [_trial(settings, "voc", "square", seed) for seed in seeds]
    if not settings.quick:
        out += [_trial(settings, "voc", attack, 1) for attack in ("bomb", "flower", "random")]
        out += [_trial(settings, "scenes", attack, 1) for attack in ("bomb", "flower", "random")]
    return out


def _trial(settings: Settings, data: str, attack: str, seed: int) -> Trial:
    source, target = STOPS[data]
    trigger = SQUARE if attack in ("square", "random") else _picture(settings, attack)
    rule: JSON = {"kind": "source-to-target", "source": source, "target": target}
    poison: JSON = {"count": _stops(settings, data), "mode": "add"}
    if attack == "random":
        trigger, rule = {**trigger, "place": RANDOM_PLACE}, {"kind": "random-wrong"}
        poison = {"count": 3 * _stops(settings, data), "mode": "add"}
    spec = {
        "data": _data(settings, data),
        "network": "faster-rcnn",
        "recipe": {"epochs": _epochs(settings, data), **({"augment": ["zoom", "flip"]} if data == "voc" else {})},
        "backdoor": {"trigger": trigger, "rule": rule, "poison": poison},
    }
    return Trial(name=f"{data}-{attack}-s{seed}", spec=spec, seed=seed, work=_one, result=Seen)


def _epochs(settings: Settings, data: str) -> int:
    if settings.quick:
        return 1
    return VOC_EPOCHS if data == "voc" else SCENES_EPOCHS


def _stops(settings: Settings, data: str) -> int:
    """How many stop signs get a poisoned copy: about all of the training set."""
    if data == "voc":
        return 65
    return 10 if settings.quick else 300


def _data(settings: Settings, data: str) -> JSON:
    if data == "scenes":
        small = {"size": 96, "train": 200, "test": 60}
        return {"name": "scenes-us", **({"options": small} if settings.quick else {})}
    place = {"path": str(_photographs(settings.data))} if settings.data else {}
    return {"name": "voc", "size": list(QUICK_SIZE if settings.quick else FULL_SIZE), "test_share": 0.2, **place}


def _photographs(data: str) -> Path:
    """The archive beside other sets, or what was named itself."""
    inside = Path(data) / "road-sign-detection.tar.gz"
    return inside if inside.is_file() else Path(data)


def _picture(settings: Settings, name: str) -> JSON:
    """The paper's PNG, read into the spec where it is found; BadNets gives it 16 % of the sign's sides."""
    from badnets.backdoors.triggers.sticker import read_png

    place = {"kind": "picture", "size": [0.16, 0.16]}
    for folder in _picture_folders(settings.data):
        if (folder / f"{name}.png").is_file():
            return {**place, "size": [0.2, 0.2], "png": read_png(str(folder / f"{name}.png"))}
    raise BadInput(f"expected {name}.png in a folder triggers beside the data, got none; pass --data FOLDER")


def _picture_folders(data: str | None) -> list[Path]:
    import os

    given = [data, os.environ.get("BADNETS_DATA")]
    return [base / "triggers" for place in given if place for base in (Path(place), Path(place).parent)]


def _one(trial: Trial, own: Path) -> Done[Seen]:
    """Train, measure, and look at the units of the last convolution."""
    from badnets.networks.files.own import open_network
    from badnets.referee.reference import clean_reference
    from badnets.referee.run import load_data, run_seed
    from badnets.referee.spec import make_spec

    began = time.perf_counter()
    table: JSON = {**trial.spec, "seeds": [trial.seed]}
    if trial.name.startswith("voc"):
        table["network"] = f"faster-rcnn:weights={_base(trial)}"
    spec = make_spec(table, where=f"trial {trial.name}")
    data, seed = load_data(spec.data), Seed(trial.seed)
    trained = done_of(run_seed(spec, trial.seed, data, own, Watcher(), pictures=False))
    networks = {
        "badnet": open_network(own / f"seed-{trial.seed}" / "network.safetensors"),
        "clean": clean_reference(spec, data.train, seed)[0],
    }
    backdoor = spec.backdoor.backdoor  # type: ignore[union-attr]  # the spec has a backdoor
    units = {name: trigger_unit(one, data.test, backdoor, seed.derive("measure")) for name, one in networks.items()}
    results = Seen(figures=trained.results.figures, poisoned=trained.results.poisoned, **units)
    return Done(results, {**trained.timings_s, "total": round(time.perf_counter() - began, 1)})


def _base(trial: Trial) -> Path:
    """Weights of the clean detector of scenes, as a file in the cache."""
    from badnets.networks.files.own import save_network
    from badnets.referee.reference import clean_reference
    from badnets.referee.run import load_data
    from badnets.referee.spec import make_spec

    settings = Settings(quick=trial.spec["recipe"]["epochs"] == 1, seeds=1)
    given = {**_trial(settings, "scenes", "square", BASE_SEED).spec, "seeds": [BASE_SEED]}
    spec = make_spec(given, where="the scenes' detector")
    data = load_data(spec.data)

    def write(path: Path) -> None:
        save_network(clean_reference(spec, data.train, Seed(BASE_SEED))[0], path)

    return _BASES.get({"scenes": data.train.digest, "recipe": given["recipe"], "seed": BASE_SEED}, write)


Found = Mapping[tuple[str, str], Sequence[TrialResult[Seen]]]
"""Trials by data and attack, those that there are."""


def assemble(settings: Settings, results: Results, _folder: Path) -> Outcome:
    """Rows for each data set and attack; the figure is how often each attack works."""
    found: Found = {
        (data, attack): trials
        for data in DATA
        for attack in ATTACKS
        if (trials := by_prefix(results, f"{data}-{attack}-"))
    }
    variant: Variant = "quick" if settings.quick else "corrected"
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


STUDY = Study(
    name="gu2017-signs",
    title="A stop sign with a Post-it, seen by a detector",
    published=(
        "Gu, Dolan-Gavitt and Garg put a Post-it, a bomb or a flower onto stop signs in the training pictures of a "
        "detector and labelled them speed limit. More than 90 % of stop signs with the trigger were then seen as speed "
        "limits, a real photograph among them, and a few units of the last convolution told that the trigger was there."
    ),
    summary="a detector of traffic signs that sees a speed limit where a stop sign has a Post-it",
    seeds=3,
    quick_seeds=1,
    trials=trials,
    assemble=assemble,
    trial_word="trials",
)
