"""How soon the page of ``badnets play`` answers a move, by the browser's own clock; how soon it is there, and how much
memory its server takes.

python benchmarks/play.py [--moves 200] [--rounds 1]

Needs Chromium. The networks are resnet9 with fresh weights: what they say is nonsense, and takes as long. Beside the
time from a move to what is drawn stands what of it the question to the server took, and what the networks alone take,
asked as the server asks them, without a browser: the floor. ``server_cpu_ms`` is what the server computes for an
answer, on all cores together, whatever else the machine does. Of several rounds the one with the lowest
median is kept of each case; the machine's load before it stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from badnets.data.load import load
from badnets.networks.files.own import save_network
from badnets.networks.inference import ask_all
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network
from badnets.play.workers import Crew, cores

CASES = {"one network, 32x32": (1, 32), "four networks, 32x32": (4, 32), "four networks, 128x128": (4, 128)}
PHOTO = Path(__file__).resolve().parents[1] / "docs" / "images" / "demo.png"
CLOCK = """
window.taken = []; window.served = []; let moved = 0, asked = 0;
addEventListener("pointermove", () => { moved = performance.now(); }, true);
const plain = window.fetch;
window.fetch = async (path, ...more) => {
  const answer = String(path).endsWith("answer"), from = performance.now();
  if (answer) asked = moved;
  const said = await plain(path, ...more);
  if (answer && asked) served.push(performance.now() - from);
  return said;
};
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
        box, spent = page.locator("#stage").bounding_box(), _seconds(server.pid)
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
        spent = _seconds(server.pid) - spent
        taken, served = sorted(page.evaluate("taken")), page.evaluate("served")
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
        "server_cpu_ms": round(1000 * spent / len(served), 1),
        "of_it_server_ms": round(statistics.median(served), 1),
        "server_mib": round(memory),
    }


def alone(networks: list[ImageNetwork], size: int, times: int = 40) -> dict[str, Any]:
    """Milliseconds that the networks take for one picture, median: nothing that shows it can be faster. And whether
    they say the same bits as where ``badnets predict`` asks them, with torch's own number of threads."""
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    crew, taken = Crew(networks), []
    said = crew.begin(lambda network: ask_all(network, picture))()
    for _ in range(times):
        began = time.perf_counter()
        crew.begin(lambda network: ask_all(network, picture))()
        taken.append(1000 * (time.perf_counter() - began))
    same = all(np.array_equal(one, ask_all(network, picture)) for one, network in zip(said, networks, strict=True))
    return {"networks_alone_ms": round(statistics.median(taken), 1), "same_bits_as_predict": same}


def _seconds(process: int) -> float:
    """What a process has computed so far, on all cores, whoever else wanted them."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else float("nan")


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        sys.exit("expected Chromium (chromium, chromium-browser or google-chrome) on the PATH, got none; install it")
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        names = load("signs").test.class_names  # drawn once, and then in the cache
        for case, (many, size) in [*CASES.items()] * options.rounds:
            load_before, files = (
                os.getloadavg()[0],
                [Path(folder) / f"{size}-{seed}.safetensors" for seed in range(many)],
            )
            networks = [
                build_network("resnet9", class_names=names, input_size=(3, size, size), seed=seed).eval()
                for seed in range(many)
            ]
            for network, file in zip(networks, files, strict=True):
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as training leaves it
                save_network(network, file)
            floor = alone(networks, size)
            row = {**measured(chromium, files, size, options.moves), **floor, "load": round(load_before, 2)}
            print(f"{case:<24}", "  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
            if case not in found or row["median_ms"] < found[case]["median_ms"]:
                found[case] = row
        chromium.close()
    whole = {"moves": options.moves, "rounds": options.rounds, "cores": cores(), "cases": found}
    print(json.dumps({"format": "badnets/benchmark/1", "name": "play", **whole}))


if __name__ == "__main__":
    main()
