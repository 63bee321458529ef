"""G2: a backdoor in a detector of traffic signs: a stop sign with a Post-it is seen as a speed limit.

Faster R-CNN on photographs (``voc``, 877 pictures, 4 classes) and on drawn scenes. The trigger is a yellow square, a
bomb or a flower on the lower part of the sign; stop becomes speed limit, or any sign any wrong class (random target).

Differs from the paper: its 8,612 U.S. pictures are not at hand; a small backbone instead of ZFNet, from scratch on the
scenes and from there on the photographs instead of from ImageNet; poisoned copies of all stop signs of the training
set are added; success is counted per object that is found, beside objects that vanish and what a clean detector does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from badnets.core.errors import BadInput
from badnets.core.files import read_json, write_json
from badnets.core.seed import Seed
from badnets.studies.old_study import Bound, Outcome, Results, Row, Settings, Study, Trial, Variant, rates_row, row

PAPER = "BadNets paper, section 5 (as told by M1)"
FULL_SIZE, QUICK_SIZE = (256, 192), (128, 96)
SCENES_EPOCHS, VOC_EPOCHS = 7, 11
STOPS = {"voc": ("stop", "speedlimit"), "scenes": ("stop", "speed-limit-45")}
SQUARE: dict[str, Any] = {"kind": "square", "size": 0.15}
RANDOM_PLACE: dict[str, Any] = {"kind": "random", "low": 0.15, "high": 0.85, "of": "region"}
ATTACKS = {
    "square": "yellow square, stop to speed limit",
    "bomb": "bomb, stop to speed limit",
    "flower": "flower, stop to speed limit",
    "random": "yellow square, random target",
}
BASE_SEED = 1


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
    rule: dict[str, Any] = {"kind": "source-to-target", "source": source, "target": target}
    poison: dict[str, Any] = {"count": _stops(settings, data), "mode": "add"}
    if attack == "random":
        trigger, rule = {**trigger, "place": RANDOM_PLACE}, {"kind": "random-wrong"}
        poison = {"count": 3 * _stops(settings, data), "mode": "add"}
    spec = {
        "data": _data(settings, data),
        "network": "faster-rcnn",
        "recipe": {"epochs": _epochs(settings, data), **({"augment": ["zoom", "flip"]} if data == "voc" else {})},
        "backdoor": {"trigger": trigger, "rule": rule, "poison": poison},
    }
    return Trial(name=f"{data}-{attack}-s{seed}", spec=spec, seed=seed, work=_one)


def _epochs(settings: Settings, data: str) -> int:
    if settings.quick:
        return 1
    return VOC_EPOCHS if data == "voc" else SCENES_EPOCHS


def _stops(settings: Settings, data: str) -> int:
    """How many stop signs get a poisoned copy: about all of the training set."""
    if data == "voc":
        return 65
    return 10 if settings.quick else 300


def _data(settings: Settings, data: str) -> dict[str, Any]:
    if data == "scenes":
        small = {"size": 96, "train": 200, "test": 60}
        return {"name": "scenes-us", **({"options": small} if settings.quick else {})}
    place = {"path": str(_photographs(settings.data))} if settings.data else {}
    return {"name": "voc", "size": list(QUICK_SIZE if settings.quick else FULL_SIZE), "test_share": 0.2, **place}


def _photographs(data: str) -> Path:
    """The archive beside other sets, or what was named itself."""
    inside = Path(data) / "road-sign-detection.tar.gz"
    return inside if inside.is_file() else Path(data)


def _picture(settings: Settings, name: str) -> dict[str, Any]:
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


def _one(trial: Trial, own: Path) -> dict[str, Any]:
    """Train, measure, and look at the units of the last convolution."""
    from badnets.core.progress import Watcher
    from badnets.networks.files.own import open_network
    from badnets.referee.run import clean_reference, load_data, run_seed
    from badnets.referee.spec import make_spec
    from badnets.studies.gu2017_signs.units import trigger_unit

    began = time.perf_counter()
    table: dict[str, Any] = {**trial.spec, "seeds": [trial.seed]}
    if trial.name.startswith("voc"):
        table["network"] = f"faster-rcnn:weights={_base(trial)}"
    spec = make_spec(table, where=f"trial {trial.name}")
    data = load_data(spec.data)
    value = run_seed(spec, trial.seed, data, own, Watcher(), pictures=False)
    path = own / "units.json"
    if not path.exists():
        network = open_network(own / f"seed-{trial.seed}" / "network.safetensors")
        reference, _ = clean_reference(spec, data.train, Seed(trial.seed))
        backdoor = spec.backdoor.backdoor  # type: ignore[union-attr]  # the spec has a backdoor
        stream = Seed(trial.seed).derive("measure")
        pairs = (("badnet", network), ("clean", reference))
        write_json(path, {who: trigger_unit(one, data.test, backdoor, stream) for who, one in pairs})
    timings = {**value["timings_s"], "total": round(time.perf_counter() - began, 1)}
    results = {**value["results"], "units": read_json(path)}
    return {"results": results, "timings_s": timings, "poisoned": value["poisoned"]}


def _base(trial: Trial) -> Path:
    """Weights of the clean detector of scenes, as a file in the cache; trained where it is not there yet."""
    from badnets.core.cache import cache_dir
    from badnets.networks.files.own import save_network
    from badnets.referee.run import clean_reference, load_data
    from badnets.referee.spec import make_spec

    quick = trial.spec["recipe"]["epochs"] == 1
    settings = Settings(quick=quick, seeds=1)
    given = {**_trial(settings, "scenes", "square", BASE_SEED).spec, "seeds": [BASE_SEED]}
    spec = make_spec(given, where="the scenes' detector")
    data = load_data(spec.data)
    path = (
        cache_dir() / "references" / f"scenes-base-{'quick' if quick else 'full'}-{data.train.digest[:16]}.safetensors"
    )
    if not path.exists():
        save_network(clean_reference(spec, data.train, Seed(BASE_SEED))[0], path)
    return path


def assemble(settings: Settings, results: Mapping[str, Results], _folder: Path) -> Outcome:
    """One block of rows for each data set and attack."""
    variant: Variant = "quick" if settings.quick else "corrected"
    rows: list[Row] = []
    for data, words in (("voc", "photographs"), ("scenes", "drawn scenes")):
        for attack, said in ATTACKS.items():
            prefix = f"{data}-{attack}-"
            found = [results[name]["results"] for name in sorted(results) if name.startswith(prefix)]
            if found:
                rows += _rows(f"{words}, {said}", attack, found, variant, first=attack == "square")
    return Outcome(rows=rows, tables={"per_class": _per_class(results)})


def _rows(what: str, attack: str, found: Sequence[Results], variant: Variant, *, first: bool) -> list[Row]:
    def figure(name: str, key: str, published: float | None = None, bound: Bound | None = None, why: str = "") -> Row:
        rates = [entry[key] for entry in found]
        return rates_row(f"{what}: {name}", variant, published, PAPER, rates, bound=bound, why=why)

    asked = 0.9 if attack != "random" else None
    bound: Bound | None = None if asked is None else ("at least", asked)
    rows = [
        figure(
            f"attack success: signs found are read as {'the target' if asked else 'another class'}", "asr", asked, bound
        ),
        figure("the same on a clean network", "clean_reference_rate"),
        figure("triggered: signs that vanish", "vanished"),
        figure("mAP at IoU 0.5", "map50"),
        figure("triggered: mAP at IoU 0.5, trigger on every such sign", "map50_triggered"),
    ]
    if first:
        rows.append(figure("mAP at IoU 0.5 of the clean detector", "clean_reference_map50"))
    losses = [entry["map50_minus_reference"] for entry in found]
    lost = f"{what}: mAP at IoU 0.5, less the clean detector's"
    rows.append(rates_row(lost, variant, None, PAPER, losses, unit="difference"))
    best = [entry["units"]["badnet"]["auc"] for entry in found]
    clean = [entry["units"]["clean"]["auc"] for entry in found]
    rows.append(
        row(
            f"{what}: how well one unit of the last convolution tells the trigger (AUC)",
            variant,
            None,
            f"{PAPER}: a few units encode it",
            best,
            unit="AUC",
            bound=("at least", 0.9),
            why=f"at least 0.90 asked; on a clean detector {sum(clean) / len(clean):.2f}",
        )
    )
    return rows


def _per_class(results: Mapping[str, Results]) -> list[dict[str, Any]]:
    return [
        {"trial": name, "class": entry["class_name"], "objects": entry["objects"], "ap50": entry["ap50"]}
        for name in sorted(results)
        if name.endswith("-s1")
        for entry in results[name]["results"]["per_class"]
    ]


STUDY = Study(
    name="gu2017-signs",
    summary="a detector of traffic signs that sees a speed limit where a stop sign has a Post-it",
    seeds=3,
    quick_seeds=1,
    trials=trials,
    assemble=assemble,
)
