"""How long ``badnets --help`` and ``import badnets`` take, against an interpreter that does nothing and against torch.

python benchmarks/startup.py [--repeats 10]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import badnets": [sys.executable, "-c", "import badnets"],
    "badnets --help": [sys.executable, "-m", "badnets.cli.main", "--help"],
    "import torch": [sys.executable, "-c", "import torch"],
}


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    repeats = parser.parse_args().repeats
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeats + 1):  # they take turns; the first round only warms the disk's cache
        for name, command in COMMANDS.items():
            found[name].append(seconds(command))
    medians = {name: statistics.median(times[1:]) for name, times in found.items()}
    for name, median in medians.items():
        print(f"{name:<16} {1000 * median:7.0f} ms   {median / medians['import torch']:.2f} of importing torch")
    print(json.dumps({"format": "badnets/benchmark/1", "name": "startup", "median_s": medians, "repeats": repeats}))


if __name__ == "__main__":
    main()
