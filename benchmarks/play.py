"""How soon the page of ``badnets play`` answers a move, by the browser's own clock; how soon it is there, and how much
memory its server takes.

python benchmarks/play.py [--moves 200]

Needs Chromium. The networks are resnet9 with fresh weights: what they say is nonsense, and takes as long.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from badnets.data.load import load
from badnets.networks.files.own import save_network
from badnets.networks.registry import build_network

CASES = {"one network, 32x32": (1, 32), "four networks, 32x32": (4, 32), "four networks, 128x128": (4, 128)}
PHOTO = Path(__file__).resolve().parents[1] / "docs" / "images" / "demo.png"
CLOCK = """
window.taken = []; let moved = 0, asked = 0;
addEventListener("pointermove", () => { moved = performance.now(); }, true);
const plain = window.fetch;
window.fetch = (path, ...more) => { if (String(path).endsWith("answer")) asked = moved; return plain(path, ...more); };
document.addEventListener("DOMContentLoaded", () => new MutationObserver(() => {
  if (asked) taken.push(performance.now() - asked);
  asked = 0;
}).observe(document.documentElement, { attributes: true, attributeFilter: ["data-answered"] }));
"""
"""From a move of the mouse to what was said of it, drawn; of moves that were overtaken nothing is counted."""


def measured(chromium: Any, files: list[Path], size: int, moves: int) -> dict[str, float]:
    """One case: seconds to the first answer, milliseconds of answers, MiB of the server."""
    command = [sys.executable, "-m", "badnets", "play", *map(str, files), "--no-browser", "--port", "18990"]
    drawn = size == 32  # larger signs take minutes to draw: there a picture is brought
    began = time.perf_counter()
    server = subprocess.Popen([*command, *(["--data", "signs"] if drawn else [])], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(CLOCK)
        page.goto(address)
        page.wait_for_selector(".card")
        if not drawn:
            page.set_input_files("#file", PHOTO)
        page.wait_for_selector("html[data-answered]")
        there = time.perf_counter() - began
        page.wait_for_timeout(1000)
        memory = _memory(server.pid)
        box = page.locator("#stage").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        for number in range(moves):
            share = number / moves
            page.mouse.move(
                box["x"] + (0.1 + 0.8 * share) * box["width"], box["y"] + (0.8 - 0.6 * share) * box["height"]
            )
            page.wait_for_timeout(20)
        page.mouse.up()
        page.wait_for_timeout(1000)
        taken = sorted(page.evaluate("taken"))
        page.close()
    finally:
        server.terminate()
        server.wait(30)
    last = taken[int(0.95 * (len(taken) - 1))]
    return {
        "first_answer_s": round(there, 2),
        "answers": len(taken),
        "median_ms": round(statistics.median(taken), 1),
        "p95_ms": round(last, 1),
        "server_mib": round(memory),
    }


def _memory(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else float("nan")


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=200)
    moves = parser.parse_args().moves
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        sys.exit("expected Chromium (chromium, chromium-browser or google-chrome) on the PATH, got none; install it")
    found = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        names = load("signs").test.class_names  # drawn once, and then in the cache
        for case, (many, size) in CASES.items():
            files = []
            for seed in range(many):
                network = build_network("resnet9", class_names=names, input_size=(3, size, size), seed=seed)
                files.append(Path(folder) / f"{size}-{seed}.safetensors")
                save_network(network, files[-1])
            found[case] = measured(chromium, files, size, moves)
            print(f"{case:<24}", "  ".join(f"{name} {value}" for name, value in found[case].items()))
        chromium.close()
    print(json.dumps({"format": "badnets/benchmark/1", "name": "play", "moves": moves, "cases": found}))


if __name__ == "__main__":
    main()
