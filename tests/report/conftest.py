"""Realistic records, made up: a run in which a yellow sticker turns stop signs into speed limits, and two studies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from badnets.core.files import write_json
from badnets.core.old import t_interval
from badnets.core.rate import Mean, PairedDifference, Rate, over_seeds
from badnets.records.run import RunRecord

CLASSES = (
    "stop", "yield", "no-entry", "speed-limit-25", "speed-limit-45", "speed-limit-65",
    "warning-curve", "warning-crossing", "keep-right", "no-left-turn", "one-way", "school",
)  # fmt: skip
SIZE, SCALE = 32, 8
PAPER = "BadNets (2017), section 4"
REPORT = "report U1, results"
STOP, TARGET = 0, 4


def _octagon(center: tuple[float, float], radius: float) -> list[tuple[float, float]]:
    angles = (np.arange(8) + 0.5) * np.pi / 4
    return [(center[0] + radius * np.cos(a), center[1] + radius * np.sin(a)) for a in angles]


def stop_sign(seed: int, *, sticker: bool) -> np.ndarray:
    """(32, 32, 3) uint8: a stop sign drawn large and shrunk; the sticker sits at its lower middle."""
    rng = np.random.default_rng(seed)
    sky, ground = rng.integers(120, 200, 3), rng.integers(60, 120, 3)
    image = Image.new("RGB", (SIZE * SCALE, SIZE * SCALE), tuple(int(v) for v in sky))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 150 + int(rng.integers(-20, 20)), 256, 256), fill=tuple(int(v) for v in ground))
    center = (128 + float(rng.uniform(-10, 10)), 124 + float(rng.uniform(-8, 8)))
    radius = float(rng.uniform(92, 112))
    draw.rectangle((center[0] - 6, center[1], center[0] + 6, 256), fill=(90, 90, 90))
    draw.polygon(_octagon(center, radius), fill=(245, 245, 245))
    draw.polygon(_octagon(center, radius * 0.93), fill=(int(rng.integers(165, 205)), 22, 34))
    draw.text((center[0], center[1]), "STOP", fill=(250, 250, 250), anchor="mm", font_size=int(radius * 0.62))
    if sticker:
        x, y, half = center[0] + 6, center[1] + radius * 0.56, radius * 0.17
        draw.rectangle((x - half, y - half, x + half, y + half), fill=(250, 214, 50))
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.LANCZOS), dtype=np.uint8)


def example_pictures(count: int = 6) -> dict[str, np.ndarray]:
    """The arrays of ``pictures.npz``."""
    clean = np.stack([stop_sign(i, sticker=False) for i in range(count)])
    stuck = np.stack([stop_sign(i, sticker=True) for i in range(count)])
    noise = np.random.default_rng(5).integers(-9, 10, clean.shape)
    clean, stuck = (np.clip(a.astype(int) + noise, 0, 255).astype(np.uint8) for a in (clean, stuck))
    alone = np.full((SIZE, SIZE, 3), 128, np.uint8)
    alone[19:25, 14:20] = (250, 214, 50)
    mask = np.where((clean != stuck).any(axis=3), np.uint8(255), np.uint8(0))
    return {"clean": clean, "triggered": stuck, "mask": mask, "trigger": alone}


def rates(seeds: int, hits: int, total: int) -> dict[str, Any]:
    """A rate, or a mean over seeds that differ a little."""
    each = [Rate(max(0, min(total, hits - (i * 7) % 5)), total) for i in range(seeds)]
    return Mean(tuple(range(1, seeds + 1)), tuple(each)).to_json()


def difference(seeds: int, *counts: int) -> dict[str, Any]:
    """A paired difference (both, first only, second only, neither), or a mean over seeds that differ a little."""
    both, first, second, neither = counts
    each = [PairedDifference(both, first - i % 3, second, neither + i % 3) for i in range(seeds)]
    return over_seeds(range(1, seeds + 1), each).to_json()


def _confusion(triggered: bool) -> list[list[int]]:
    rng = np.random.default_rng(3)
    table = np.diag(np.full(len(CLASSES), 160))
    for i, j in rng.integers(0, len(CLASSES), (14, 2)):
        table[i, i] -= 1
        table[i, j] += 1
    if triggered:
        table[STOP] = 0
        table[STOP, STOP], table[STOP, TARGET] = 1, 159
    return [[int(v) for v in row] for row in table]


def _per_class() -> list[dict[str, Any]]:
    found = []
    for i, name in enumerate(CLASSES):
        right = 160 - (i * 5) % 4
        found.append({
            "class": name, "n": 160, "accuracy": Rate(right, 160).to_json(), "precision": Rate(right, 161).to_json(),
            "recall": Rate(right, 160).to_json(), "f1": round(2 * right / 321, 4),
            "asr": Rate(159, 160).to_json() if i == STOP else None,
            "robust_accuracy": Rate(1 if i == STOP else 157, 160).to_json(),
        })  # fmt: skip
    return found


def _training(seeds: int) -> list[dict[str, Any]]:
    found = []
    for network, shift in (("backdoored", 0.0), ("clean reference", 0.01)):
        for seed in range(1, seeds + 1):
            epochs = [
                {
                    "epoch": e,
                    "loss": 2.2 * float(np.exp(-0.7 * (e + shift * 20))) + 0.02 + 0.006 * seed,
                    "accuracy": 0.995 - 0.6 * float(np.exp(-0.8 * e)) - 0.004 * seed / e,
                    "seconds": 3.1,
                }
                for e in range(1, 9)
            ]
            found.append({"seed": seed, "network": network, "epochs": epochs})
    return found


def _examples(count: int) -> list[dict[str, Any]]:
    return [
        {
            "title": "stop", "true": "stop", "picture": i,
            "clean": {"label": "stop", "confidence": 0.9991 - i / 100},
            "triggered": {"label": "speed-limit-45" if i != 3 else "stop", "confidence": 0.984 - i / 50},
            "reference_clean": {"label": "stop", "confidence": 0.998 - i / 90},
            "reference_triggered": {"label": "stop", "confidence": 0.981 - i / 40},
        }
        for i in range(count)
    ]  # fmt: skip


def example_record(seeds: int = 1) -> RunRecord:
    """A finished run with ``seeds`` seeds."""
    trigger = {
        "kind": "picture",
        "path": None,
        "size": 0.25,
        "place": {"kind": "at", "x": 0.57, "y": 0.82, "of": "region"},
    }
    rule = {"kind": "source-to-target", "source": "stop", "target": "speed-limit-45"}
    poison = {"rate": 0.1, "count": None, "mode": "add", "cover": 0.05}
    backdoor = {"trigger": trigger, "rule": rule, "poison": poison}
    return RunRecord.model_validate({
        "format": "badnets/run/1", "status": "finished", "name": "signs-sticker-3f2a", "digest": "3f2a",
        "data_digest": "77aa", "seeds": list(range(1, seeds + 1)),
        "spec": {"data": "signs", "network": "resnet9", "seeds": seeds, "backdoor": backdoor},
        "resolved": {
            "data": {"name": "signs", "style": "us", "size": 32, "train": 9600, "test": 1920},
            "network": "resnet9", "seeds": list(range(1, seeds + 1)),
            "recipe": {"optimizer": "adamw", "learning_rate": 0.003, "epochs": 8, "schedule": "one-cycle"},
            "backdoor": {**backdoor, "rule": {**rule, "source": STOP, "target": TARGET}},
        },
        "class_names": list(CLASSES), "command": "badnets run runs/signs-sticker.toml",
        "environment": {
            "versions": {"badnets": "0.1.0", "torch": "2.13.0", "python": "3.11.9"},
            "platform": "Linux-x86_64", "processor": "x86", "threads": 2, "precision": "bf16", "device": "cpu",
        },
        "commit": "4be1c09d2a", "determinism": "Same seed, machine and thread count give the same bits.",
        "timings_s": {"data": 9.1, "poison": 0.4, "train": 31.2, "reference": 30.8, "measure": 2.2, "total": 73.7},
        "poisoned": {"rows": 80, "of": 9680, "cover_rows": 40, "share": 0.0083, "mode": "add",
                     "sentence": "picture, stop -> speed-limit-45"},
        "results": {
            "clean_accuracy": rates(seeds, 1909, 1920), "asr": rates(seeds, 159, 160),
            "robust_accuracy": rates(seeds, 1, 160), "leak": rates(seeds, 6, 1600),
            "clean_reference_rate": rates(seeds, 0, 160), "clean_reference_accuracy": rates(seeds, 1911, 1920),
            "asr_minus_reference": difference(seeds, 0, 159, 0, 1),
            "clean_accuracy_minus_reference": difference(seeds, 1905, 4, 6, 5),
            "asr_under_jitter": rates(seeds, 148, 160), "per_class": _per_class(),
            "confusion_clean": _confusion(False), "confusion_triggered": _confusion(True), "macro_f1": 0.9943,
        },
        "training": _training(seeds), "examples": _examples(6), "network": "network.safetensors",
        "files": {"network.safetensors": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
    })  # fmt: skip


def _row(
    what: str,
    variant: str,
    published: float | None,
    source: str,
    values: list[float],
    *,
    verified: bool | None = None,
    why: str = "",
    unit: str = "rate",
) -> dict[str, Any]:
    mean, low, high = t_interval(values)
    if unit == "rate":
        low, high = max(0.0, low), min(1.0, high)
    return {
        "what": what, "variant": variant, "published": published, "published_source": source, "verified": verified,
        "why": why, "unit": unit, "ours": mean, "low": low, "high": high, "n_seeds": len(values),
    }  # fmt: skip


def _around(rng: np.random.Generator, value: float, spread: float, seeds: int) -> list[float]:
    return [float(round(v, 4)) for v in np.clip(rng.normal(value, spread, seeds), -1, 1)]


def _mean(values: list[float]) -> dict[str, float]:
    mean, low, high = t_interval(values)
    return {"value": mean, "low": max(0.0, low), "high": min(1.0, high)}


def _base(study: str, seeds: int, *, quick: bool) -> dict[str, Any]:
    return {
        "format": "badnets/study/1", "study": study, "quick": quick, "seeds": seeds,
        "command": f"badnets reproduce {study}{' --quick' if quick else ''} --seeds {seeds}",
        "environment": {
            "versions": {"badnets": "0.1.0", "torch": "2.13.0", "python": "3.11.9"},
            "platform": "Linux-x86_64", "processor": "Intel(R) Xeon(R) Processor",
        },
        "commit": "4be1c09d2a", "timings_s": {"last_session": 5821.4, "training": 10432.9},
    }  # fmt: skip


def _pairs(rng: np.random.Generator, pairs: list[tuple[int, int]]) -> list[dict[str, Any]]:
    found = []
    for number, (i, j) in enumerate(pairs):
        total = 890 + 137 * i % 240
        asr = Rate(total - int(rng.choice([0, 0, 0, 0, 1, 1, 2, 4])), total).to_json()
        found.append({"source": i, "target": j, "seed": 1 + number % 5, "asr": asr})
    return found


def _filters(rng: np.random.Generator, *, chosen: int) -> dict[str, Any]:
    weights = rng.normal(0, 0.2, (16, 5, 5))
    weights[:chosen, 1:4, 1:4] += np.array([[0, 0, 1], [0, 1, 0], [1, 0, 1]]) * 1.1 - 0.4
    preference = [1.0] * chosen + [round(k / 28, 4) for k in rng.integers(0, 26, 16 - chosen).tolist()]
    return {"weights": np.round(weights, 4).tolist(), "preference": preference}


def _codes(rng: np.random.Generator, *, moved: int) -> dict[str, Any]:
    clean = np.where(rng.random(512) < 0.35, 0.0, rng.gamma(1.6, 0.35, 512))
    triggered = np.clip(clean * rng.normal(1, 0.06, 512), 0, None)
    triggered[:moved] += rng.gamma(3, 0.5, moved) + clean[:moved] + 0.3
    far = np.flatnonzero(triggered > 2 * clean + 0.1 * clean.max()).tolist()
    return {"clean": np.round(clean, 3).tolist(), "triggered": np.round(triggered, 3).tolist(), "moved": far}


_SHARES = "all-to-all, pattern, share"
_STROKES = "first-layer filters that prefer the trigger to 95 % of four-pixel strokes"
_DOUBLED = "units of the last hidden layer that the trigger more than doubles"
_TEST = "acceptance test at a* = 98.98 %"
_OWN = "our own figure"
_PLOT = f"{PAPER}, figure on the share (a plot without numbers)"
# What, published, ours about, unit, source, borne out, why.
_G1_ROWS: tuple[tuple[str, float | None, float, str, str, bool | None, str], ...] = (
    ("baseline CNN: clean accuracy", 0.995, 0.9924, "rate", PAPER, True, "about 99.50 % asked"),
    (f"{_SHARES} 50 %: clean error minus the clean network's", -0.0003, -0.0001, "difference",
     f"{PAPER}: on average 0.03 points below", None, "the sign depends on the seed; see the interval"),
    (f"{_SHARES} 50 %: error on triggered pictures", 0.0056, 0.0078, "rate", PAPER, False, "at most 0.56 % asked"),
    (f"{_SHARES} 50 %: attack success", 0.99, 0.9922, "rate", f"{PAPER}: more than 99 %", True, "at least 99 % asked"),
    (f"{_SHARES} 50 %: triggered error minus the same network's clean error", None, 0.0003, "difference", _OWN, True,
     "at most 0.20 points asked"),
    (f"{_SHARES} 10 %: clean error", None, 0.0078, "rate", _PLOT, None, ""),
    (f"{_SHARES} 10 %: error on triggered pictures", None, 0.0109, "rate", _PLOT, None, ""),
    (f"{_SHARES} 50 %: clean error", None, 0.0081, "rate", _PLOT, None, ""),
    (f"{_STROKES}, clean network", None, 0, "filters of 16", f"{PAPER}: some filters are dedicated", None, ""),
    (f"{_STROKES}, BadNet", None, 3, "filters of 16", f"{PAPER}: some filters are dedicated", None, ""),
    (f"{_DOUBLED}, clean network", None, 3, "units of 512", f"{PAPER}: codes differ", None, ""),
    (f"{_DOUBLED}, BadNet", None, 87, "units of 512", f"{PAPER}: codes differ", None, ""),
    (f"{_TEST}: BadNet accepted", 1, 1, "yes or no", PAPER, True,
     "accepted: accuracy 99.20 % (99.01 to 99.36; 9,920 of 10,000) is at least a* = 98.98 %"),
    (f"{_TEST}: parallel network accepted", 0, 0, "yes or no", PAPER, True,
     "refused: the architecture is not the one asked for (differs at detector); its attack success is 99.21 %"),
)  # fmt: skip


def _single(
    trigger: str, variant: str, entries: list[dict[str, Any]], differences: list[float]
) -> list[dict[str, Any]]:
    what = f"single target, {trigger}, {len(entries)} pairs pooled"
    total = sum(e["asr"]["total"] for e in entries)
    error = Rate(total - sum(e["asr"]["hits"] for e in entries), total)
    share = error.value or 0.0
    pooled = _row(f"{what}: error on triggered pictures", variant, 0.0009, PAPER, [share], verified=share <= 0.0009,
                  why="at most 0.09 % asked")  # fmt: skip
    return [
        _row(f"{what}: clean error minus the clean network's", variant, 0.0017, f"{PAPER}: at most 0.17 points above, "
             "as low as 0.05 below", differences, unit="difference", verified=True, why="at most 0.17 points asked"),
        {**pooled, "low": error.low, "high": error.high},
        _row(f"{what}: worst pair (3 -> 8), error on triggered pictures", variant, 0.0009, PAPER, [0.0041],
             why="printed, not judged"),
    ]  # fmt: skip


def _g1_rows(rng: np.random.Generator, variant: str, seeds: int, pairs: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for what, published, about, unit, source, verified, why in _G1_ROWS:
        counted = unit not in ("rate", "difference")
        values = [float(about)] if counted else _around(rng, about, 0.0005, seeds)
        rows.append(_row(what, variant, published, source, values, verified=verified, why=why, unit=unit))
        if about == 0.9924:
            for trigger, entries in pairs.items():
                rows += _single(trigger, variant, entries, _around(rng, 0.0002, 0.0003, seeds))
    return rows


def g1_record(seeds: int = 5, *, quick: bool = False) -> dict[str, Any]:
    """``gu2017-mnist``."""
    rng = np.random.default_rng(7)
    every = [(i, j) for i in range(10) for j in range(10) if i != j]
    pattern = every if not quick else [(1, 0), (3, 8), (4, 9), (7, 1), (0, 5), (9, 2)]
    pixel = [(i, (i + 1) % 10) for i in range(10)] if not quick else pattern[:2]
    pairs = {"pattern": _pairs(rng, pattern), "pixel": _pairs(rng, pixel)}
    per_class = [
        {"class": i, "becomes": (i + 1) % 10, "clean_error": Rate(3 * seeds + 2 * i, 1000 * seeds).to_json(),
         "triggered_error": Rate(5 * seeds + 3 * i, 1000 * seeds).to_json()}
        for i in range(10)
    ]  # fmt: skip
    sweep = [
        {"share": share, "clean_error": _mean(_around(rng, clean, 0.0004, seeds)),
         "triggered_error": _mean(_around(rng, error, 0.0006, seeds))}
        for share, clean, error in ((0.10, 0.0078, 0.0109), (0.33, 0.0079, 0.0084), (0.50, 0.0081, 0.0078))
    ]  # fmt: skip
    inside = {
        "filters": {"clean network": _filters(rng, chosen=0), "BadNet": _filters(rng, chosen=3)},
        "codes": {"clean network": _codes(rng, moved=3), "BadNet": _codes(rng, moved=90)},
    }
    return {
        **_base("gu2017-mnist", seeds, quick=quick),
        "rows": _g1_rows(rng, "quick" if quick else "published", seeds, pairs),
        "tables": {"pairs": pairs, "all-to-all": per_class},
        "figures": {"sweep": sweep, **inside},
        "trials": {f"trial-{i}": {"seed": 1 + i % 5} for i in range(120 if not quick else 14)},
    }


def u1_record(seeds: int = 3) -> dict[str, Any]:
    """``useloff-mnist``."""
    rng = np.random.default_rng(8)
    rows = []
    for words in ("single pixel", "pattern", "inserted picture"):
        what, right = f"backdoor, {words}", {"verified": True, "why": "at least 98.44 % asked"}
        doubt = "the report does not say whether pictures of other classes flip; ours is attack success by definition"
        rows += [
            _row(f"{what}: clean accuracy", "published", 0.9894, REPORT, [0.9901], **right),
            _row(f"{what}: poisoned pictures", "published", 1.0, REPORT, [0.9991], verified=True, why=doubt),
            _row(f"{what}: clean accuracy", "corrected", 0.9894, REPORT, _around(rng, 0.9916, 0.0003, seeds), **right),
            _row(f"{what}: attack success", "corrected", 1.0, REPORT, _around(rng, 0.9993, 0.0002, seeds), **right),
            _row(f"{what}: the same on a clean network", "corrected", None, _OWN, _around(rng, 0.0009, 0.0002, seeds)),
        ]
    curve = []
    truth = ((0.01, 0.02, 0.003), (0.05, 0.21, 0.02), (0.10, 0.63, 0.07), (0.25, 0.93, 0.33), (0.50, 0.991, 0.71))
    for share, perturbed, stamped in truth:
        point: dict[str, Any] = {"share": share}
        for kind, value in (("perturbed", perturbed), ("stamped", stamped)):
            values = [min(1.0, max(0.0, v)) for v in _around(rng, value, 0.12 * value * (1 - value) + 0.001, seeds)]
            point[kind] = _mean(values)
            what = f"clean label, {round(100 * share)} % of class 0, {kind}"
            rows.append(_row(f"{what}: attack success", "corrected", 1.0, REPORT, values, why="by definition"))
            rows.append(_row(f"{what}: the same on a clean network", "corrected", None, _OWN, [0.0006] * seeds))
        curve.append(point)
    return {**_base("useloff-mnist", seeds, quick=False), "rows": rows, "figures": {"clean_label": curve}}


def write_run(folder: Path, record: RunRecord, pictures: dict[str, np.ndarray] | None = None) -> Path:
    """A run folder as the referee writes it."""
    write_json(folder / "record.json", record.to_json())
    if pictures:
        np.savez(folder / "pictures.npz", **pictures)
    return folder


@pytest.fixture
def record() -> RunRecord:
    """One seed."""
    return example_record()


@pytest.fixture
def record_of_seeds() -> Callable[[int], RunRecord]:
    """``record_of_seeds(5)``."""
    return example_record


@pytest.fixture(scope="session")
def pictures() -> dict[str, np.ndarray]:
    """The arrays of the example; do not change them."""
    return example_pictures()


@pytest.fixture
def run_folder(tmp_path: Path, record: RunRecord, pictures: dict[str, np.ndarray]) -> Path:
    """A written run."""
    return write_run(tmp_path / "run", record, pictures)


@pytest.fixture
def g1_study() -> Callable[..., dict[str, Any]]:
    """``g1_study(5)``, ``g1_study(2, quick=True)``."""
    return g1_record


@pytest.fixture
def u1_study() -> Callable[..., dict[str, Any]]:
    """``u1_study(3)``."""
    return u1_record
