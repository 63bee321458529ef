"""G2: a backdoor in a detector of traffic signs: a stop sign with a Post-it is seen as a speed limit.

Faster R-CNN on photographs (``voc``, 877 pictures, 4 classes) and on drawn scenes. The trigger is a yellow square, a
bomb or a flower on the lower part of the sign; stop becomes speed limit, or any sign any wrong class (random target).

Differs from the paper: its 8,612 U.S. pictures are not at hand; a small backbone instead of ZFNet, from scratch on the
scenes and from there on the photographs instead of from ImageNet; poisoned copies of all stop signs of the training
set are added; success is counted per object that is found, beside objects that vanish and what a clean detector does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.objects import place, stamp, unit_pool
from badnets.backdoors.triggers.picture import read_png
from badnets.core.cache import Cache
from badnets.core.errors import BadInput
from badnets.core.rate import Number
from badnets.core.seed import RowRng, Seed
from badnets.data.images import ImageData, Pixels
from badnets.networks.files.own import save_network
from badnets.networks.network import ImageNetwork
from badnets.records.blocks import Bars, Line
from badnets.records.model import JSON, Model
from badnets.records.study import StudyRow, Variant
from badnets.referee.data import load_data
from badnets.referee.reference import clean_reference
from badnets.studies.figures import claim_rows, figure_table, row, seed_mean, success_bars
from badnets.studies.study import Done, Outcome, Results, Settings, Study, Trained, Trial, Trials, by_prefix, facts
from badnets.studies.trials import Planted, spec_of

FACTS = facts(__package__)
ATTACKS: Mapping[str, str] = FACTS["attacks"]
CLAIMS, PAPER = FACTS["claims"], FACTS["paper"]
DATA = ("voc", "scenes")
SQUARE: JSON = {"kind": "square", "size": 0.15}
RANDOM_PLACE: JSON = {"kind": "random", "low": 0.15, "high": 0.85, "of": "region"}
BASE_SEED = 1
MOST = 400
"""Objects whose activations are looked at."""
_BASES: Cache[Path] = Cache("scenes-base", read=lambda path: path, suffix=".safetensors")
Floats = NDArray[np.float64]


class TriggerUnit(Model):
    """``auc``: how well ``unit`` tells, 0.5..1; ``units_above_90`` of all ``units`` have at least 0.90."""

    auc: float
    unit: int
    objects: int
    units_above_90: int
    units: int


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
    setup, quick = FACTS[data], settings.quick
    trigger = SQUARE if attack in ("square", "random") else _picture(settings, attack)
    rule: JSON = {"kind": "source-to-target", "source": setup["source"], "target": setup["target"]}
    stops = 10 if quick and data == "scenes" else setup["stops"]
    if attack == "random":
        trigger, rule, stops = {**trigger, "place": RANDOM_PLACE}, {"kind": "random-wrong"}, 3 * stops
    augment = {"augment": ["zoom", "flip"]} if data == "voc" else {}
    spec = {
        "data": _photographs(settings) if data == "voc" else _scenes(settings),
        "network": "faster-rcnn",
        "recipe": {"epochs": 1 if quick else setup["epochs"], **augment},
        "backdoor": {"trigger": trigger, "rule": rule, "poison": {"count": stops, "mode": "add"}},
    }
    return Trial(name=f"{data}-{attack}-s{seed}", spec=spec, seed=seed, work=_one, result=Seen)


def _scenes(settings: Settings) -> JSON:
    small = {"size": 96, "train": 200, "test": 60}
    return {"name": "scenes-us", **({"options": small} if settings.quick else {})}


def _photographs(settings: Settings) -> JSON:
    """The archive beside other sets, or what was named itself."""
    photographs: JSON = {"name": "voc", "size": [128, 96] if settings.quick else [256, 192], "test_share": 0.2}
    if not settings.data:
        return photographs
    inside = Path(settings.data) / "road-sign-detection.tar.gz"
    return {**photographs, "path": str(inside if inside.is_file() else Path(settings.data))}


def _picture(settings: Settings, name: str) -> JSON:
    """The paper's PNG, read into the spec; it gets a fifth of the sign's sides."""
    for folder in map(Path, filter(None, (settings.data, os.environ.get("BADNETS_DATA")))):
        for png in (base / "triggers" / f"{name}.png" for base in (folder, folder.parent)):
            if png.is_file():
                return {"kind": "picture", "size": [0.2, 0.2], "png": read_png(str(png))}
    raise BadInput(f"expected {name}.png in a folder triggers beside the data, got none; pass --data FOLDER")


def _one(trial: Trial, folder: Path) -> Done[Seen]:
    """Train, measure, and look at the units of the last convolution."""
    start = f"faster-rcnn:weights={_base(trial)}" if trial.name.startswith("voc") else trial.spec["network"]
    planted = Planted(replace(trial, spec={**trial.spec, "network": start}), folder)
    test, seed = planted.data.test, planted.seed.derive("measure")
    units = {who: trigger_unit(one, test, planted.backdoor, seed) for who, one in planted.networks().items()}
    return Done(Seen.model_validate({**dict(planted.done.results), **units}), planted.done.timings_s)


def _base(trial: Trial) -> Path:
    """Weights of the clean detector of scenes, as a file in the cache."""
    scenes = _trial(Settings(quick=trial.spec["recipe"]["epochs"] == 1, seeds=1), "scenes", "square", BASE_SEED)
    spec = spec_of(scenes)
    data = load_data(spec.data)

    def write(path: Path) -> None:
        save_network(clean_reference(spec, data.train, Seed(BASE_SEED))[0], path)

    return _BASES.get({"scenes": data.train.digest, "recipe": scenes.spec["recipe"], "seed": BASE_SEED}, write)


def trigger_unit(network: ImageNetwork, test: ImageData, backdoor: Backdoor, seed: Seed) -> TriggerUnit:
    """The unit whose largest activation on the sign differs most between clean and triggered, relative to its spread,
    found on half of the eligible objects; ``auc`` is how well it tells them apart on the other half.
    """
    rule = backdoor.rule.resolve(test.class_names)
    numbers = np.flatnonzero(unit_pool(rule, test, cover=False))[:MOST]
    objects = test.boxes
    rows = np.unique(objects.image[numbers])
    clean = test.images(rows)
    marked = clean.copy()
    position = np.searchsorted(rows, objects.image[numbers])
    spots = place(rule, test, numbers, RowRng(seed.derive("test-trigger"), numbers))
    stamp(marked, position, spots, backdoor.trigger)
    boxes = objects.xyxy[numbers]
    before, after = (_peaks(network, pictures, position, boxes) for pictures in (clean, marked))
    half = np.arange(len(numbers)) % 2 == 0
    spread = np.concatenate([before[half], after[half]]).std(0) + 1e-9
    best = int(np.argmax(np.abs(after[half].mean(0) - before[half].mean(0)) / spread))
    every = np.array([_auc(before[~half, unit], after[~half, unit]) for unit in range(before.shape[1])])
    above = int((every >= 0.9).sum())
    return TriggerUnit(auc=float(every[best]), unit=best, objects=len(numbers), units_above_90=above, units=len(every))


def _peaks(network: ImageNetwork, pictures: Pixels, position: NDArray[np.int64], boxes: NDArray[np.float32]) -> Floats:
    """The largest activation of each unit inside each box (objects, units)."""
    backbone: Any = network.body.inner.backbone  # type: ignore[union-attr]  # a detector has one
    out = []
    with torch.inference_mode():
        for number, picture in enumerate(pictures):
            maps = backbone(network.normalized(network.floats(picture[None])))[0].cpu().numpy()
            scale = maps.shape[1] / picture.shape[0], maps.shape[2] / picture.shape[1]
            for x0, y0, x1, y1 in boxes[position == number]:
                rows = slice(int(y0 * scale[0]), max(int(np.ceil(y1 * scale[0])), int(y0 * scale[0]) + 1))
                columns = slice(int(x0 * scale[1]), max(int(np.ceil(x1 * scale[1])), int(x0 * scale[1]) + 1))
                out.append(maps[:, rows, columns].reshape(len(maps), -1).max(1))
    return np.asarray(out, np.float64)


def _auc(first: Floats, second: Floats) -> float:
    """How often a value of one group is above one of the other, in the better direction; ties count half."""
    if not len(first):
        return 0.5
    above = float(np.heaviside(second[:, None] - first[None], 0.5).mean())
    return max(above, 1 - above)


def assemble(settings: Settings, results: Results, _folder: Path) -> Outcome:
    """Rows for each data set and attack; the figure is how often each attack works."""
    rows, bars, lines = [], [], []
    for data, attack in product(DATA, ATTACKS):
        if not (trials := by_prefix(results, f"{data}-{attack}-")):
            continue
        name = f"{FACTS[data]['words']}, {ATTACKS[attack]}"
        rows += _rows(name, data, attack, trials, settings.variant())
        success, reference = (seed_mean(trials, f"figures.{figure}") for figure in ("asr", "clean_reference_rate"))
        bars += success_bars(name, success, reference, None if attack == "random" else 0.9)
        lines += [
            Line(group=name, name=one.class_name,
                 cells=(Number(one.objects), None if one.ap50 is None else Number(one.ap50)))
            for one in trials[0].results.figures.per_class
        ]  # fmt: skip
    return Outcome(rows=rows, blocks=[Bars(**FACTS["bars"], bars=tuple(bars)), figure_table(FACTS["classes"], lines)])


def _rows(name: str, data: str, attack: str, trials: Trials, variant: Variant) -> list[StudyRow]:
    less = FACTS[data]["less"]
    aimed = {"not_as_published": less} if attack != "random" else {}
    common: JSON = {"variant": variant, "source": PAPER}
    beside = sum(trial.results.clean.auc for trial in trials) / len(trials)
    return [
        *claim_rows(f"{name}: ", CLAIMS["aimed" if aimed else "random"], trials, **common, **aimed),
        *claim_rows(f"{name}: ", CLAIMS["all"], trials, **common),
        *claim_rows(f"{name}: ", CLAIMS["clean"] if attack == "square" else (), trials, **common),
        *claim_rows(f"{name}: ", CLAIMS["change"], trials, **common),
        row(f"{name}: how well one unit of the last convolution tells the trigger (AUC)",
            seed_mean(trials, "badnet.auc"), variant=variant, source=f"{PAPER}: a few units encode it", unit="AUC",
            bound=("at least", 0.9), why=f"at least 0.90 asked; on a clean detector {beside:.2f}",
            not_as_published=less),
    ]  # fmt: skip


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
