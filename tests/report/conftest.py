"""Realistic records, made up: a run in which a yellow sticker turns stop signs into speed limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from badnets.core.files import write_json
from badnets.core.rate import Mean, PairedDifference, Rate, over_seeds
from badnets.records.run import RunRecord

CLASSES = (
    "stop", "yield", "no-entry", "speed-limit-25", "speed-limit-45", "speed-limit-65",
    "warning-curve", "warning-crossing", "keep-right", "no-left-turn", "one-way", "school",
)  # fmt: skip
SIZE, SCALE = 32, 8
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


FIND_PROBLEMS = """() => {
  const found = [], wide = document.documentElement.clientWidth;
  const name = e => e.tagName + "." + (e.className.baseVal ?? e.className) + ": " + e.textContent.trim().slice(0, 40);
  const hidden = e => e.closest(".sr, title, desc, .scroll, pre, head, details:not([open])")
    || (e.closest("thead") && getComputedStyle(e.closest("thead")).position === "absolute");
  for (const e of document.querySelectorAll("body *")) {
    if (hidden(e)) continue;
    const box = e.getBoundingClientRect();
    if (box.width && (box.left < -1 || box.right > wide + 1)) found.push("outside the page: " + name(e));
    if (!e.closest("svg") && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline"
        && !e.querySelector(".sr, svg")) found.push("wider than its box: " + name(e));
  }
  for (const i of document.images) {
    if (!i.alt.trim()) found.push("picture without a text: " + i.src.slice(0, 40));
    if (!i.naturalWidth) found.push("picture that does not load: " + i.alt);
  }
  for (const s of document.querySelectorAll("svg[role=img]"))
    if (!s.querySelector("title")?.textContent.trim() && !s.getAttribute("aria-label")) found.push("nameless drawing");
  for (const s of document.querySelectorAll("svg:not([role=img]):not([aria-hidden])"))
    if (!s.parentElement.closest("svg")) found.push("drawing neither named nor hidden: " + name(s));
  return found;
}"""

FIND_PALE_TEXT = """() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (c !== "rgba(0, 0, 0, 0)") return c;
    }
    return "rgb(255, 255, 255)";
  };
  const pale = [];
  const texts = "h1, h2, h3, p, li, th, td, dt, dd, small, figcaption, span, code, svg text";
  for (const e of document.querySelectorAll(texts)) {
    if (!e.textContent.trim() || e.closest(".on-color, .count")) continue;
    const style = getComputedStyle(e);
    const drawn = e.closest("svg"), a = light(drawn ? style.fill : style.color);
    const b = light(behind(drawn?.parentElement ?? e));
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) pale.push(`${contrast.toFixed(2)} ${e.tagName} ${e.textContent.slice(0, 30)}`);
  }
  return pale;
}"""


@pytest.fixture(scope="module")
def open_page(browser: Any) -> Iterator[Callable[[Path, int, str], Any]]:
    """Opens a file at a width and in a look: "light", "dark", or in "another font", which is wide and everywhere the
    same; the page's ``seen`` are its requests and messages."""
    opened = []

    def start(path: Path, width: int, look: str) -> tuple[Any, list[str]]:
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(180_000)  # a busy machine is no fault of the page
        opened.append(page)
        page.emulate_media(color_scheme="dark" if look == "dark" else "light")
        seen: list[str] = []
        page.on("console", lambda message: seen.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: seen.append(f"error: {error}"))
        page.on("request", lambda request: seen.append(f"request: {request.url}"[:200]))
        page.goto(path.as_uri())
        if look == "another font":
            page.add_style_tag(content="* { font-family: monospace !important; letter-spacing: .02em !important; }")
        return page, [s for s in seen if not s.startswith("request: data:") and s != f"request: {path.as_uri()}"]

    yield start
    for page in opened:
        page.close()


@pytest.fixture
def problems() -> Callable[[Any], list[str]]:
    """What is wrong with an open page: parts outside it or wider than their box, pictures without a text, pale text."""

    def find(page: Any) -> list[str]:
        return [*page.evaluate(FIND_PROBLEMS), *page.evaluate(FIND_PALE_TEXT)]

    return find
