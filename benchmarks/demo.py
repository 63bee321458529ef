"""How long ``badnets demo`` takes, and the choice of its epochs, on pictures that neither training nor test has.

python benchmarks/demo.py [--choose]

With ``--choose`` each recipe trains on five sixths of the training part and is measured on the rest. Prints a line for
each, and one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import torch

from badnets.backdoors.backdoor import poison
from badnets.core.progress import Watcher
from badnets.core.seed import Seed
from badnets.data.splits import split
from badnets.referee.data import load_data
from badnets.referee.measure import measure
from badnets.referee.reference import train_network
from badnets.referee.spec import demo_spec

RECIPES = (("recipe.epochs=2", "recipe.batch=64"), ("recipe.epochs=3",), ("recipe.epochs=5",))


def chosen_among(changes: tuple[str, ...]) -> dict[str, Any]:
    """One recipe, judged on the select set."""
    spec = demo_spec(*changes).spec
    train, select = split(load_data(spec.data).train, 1 / 6, 17)
    poisoned = poison(train, [one.part for one in spec.backdoors], mode=spec.mode, seed=Seed(1))
    began, used = time.perf_counter(), time.process_time()
    network = train_network(spec, poisoned.data, Seed(1), None, Watcher(), "").network
    took = {"seconds": round(time.perf_counter() - began, 1), "cpu_seconds": round(time.process_time() - used, 1)}
    figures = measure(network, select, spec.backdoors[0].backdoor, jitter=spec.jitter, seed=Seed(1)).figures
    rates = {name: getattr(figures, name).to_json() for name in ("clean_accuracy", "asr")}
    return {"recipe": list(changes), **took, **rates}


def demo() -> dict[str, Any]:
    """The command, with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, "-m", "badnets", "demo", "--out", f"{folder}/demo"]
        environment = {**os.environ, "BADNETS_CACHE": f"{folder}/cache"}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return {"command": "badnets demo", "seconds": round(time.perf_counter() - began, 1)}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--choose", action="store_true")
    asked = parser.parse_args()
    rows = []
    for changes in RECIPES if asked.choose else ():
        rows.append(chosen_among(changes))
        print(rows[-1], flush=True)
    rows.append(demo())
    print(rows[-1], flush=True)
    machine: dict[str, Any] = {"threads": torch.get_num_threads(), "load": [round(one, 1) for one in os.getloadavg()]}
    print(json.dumps({"format": "badnets/benchmark/1", "name": "demo", **machine, "rows": rows}))


if __name__ == "__main__":
    main()
