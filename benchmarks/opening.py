"""Whether networks that others published are opened without a hint, and answer as their authors' code does.

python benchmarks/opening.py FOLDER --mnist mnist --cifar cifar10-jpeg.tar.gz

``FOLDER`` holds a folder for each network: ``original.*`` as it was published, and ``meta.json`` with ``input_size``,
``clean_correct`` (how many of 10,000 test pictures its author's architecture, in plain torch, reads right) and
``triggers``. Each is opened with clean training pictures and nothing else. Prints a line for each, and one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import badnets as bn
from badnets.networks.inference import align_classes, predict_data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mnist", default="mnist")
    parser.add_argument("--cifar", default="cifar10")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    sets: dict[int, bn.Splits] = {}
    rows = []
    for meta in sorted(asked.folder.glob("*/meta.json")):
        told = json.loads(meta.read_text())
        channels = told["input_size"][0]
        if channels not in sets:
            sets[channels] = bn.load(asked.mnist if channels == 1 else asked.cifar)
        data = sets[channels]
        began = time.perf_counter()
        network = bn.open(meta.with_name(told["original"]), clean=data.train)
        seconds = time.perf_counter() - began
        test = align_classes(data.test, network)
        right = int((predict_data(network, test).labels == test.labels).sum())
        found = network.provenance["input_range"]["chosen"]
        row = {"name": told["name"], "network": network.provenance["network"], "range": found, "seconds": seconds}
        rows.append({**row, "right": right, "published": told["clean_correct"], "of": told["clean_of"]})
        print(
            f"{told['name']:<28} {right:>6,} right, {told['clean_correct']:>6,} in its author's code; {found}; "
            f"{seconds:.1f} s; {row['network']}",
            flush=True,
        )
    print(json.dumps({"format": "badnets/benchmark/1", "name": "opening", "rows": rows}))


if __name__ == "__main__":
    main()
