"""What ``badnets cure`` makes of backdoored networks that others published, by one command each.

python benchmarks/foreign_cures.py FOLDER OUT --mnist mnist [--only NAME ...]

``FOLDER`` as in foreign_audits.py; ``meta.json`` names triggers (``triggers/*.npz`` with ``alpha`` and ``pattern``) and
their targets. Each network is audited and repaired with 1,000 clean pictures; then the trigger, which nobody had, is
laid on all test pictures of other classes. Prints clean and triggered counts before and after, and one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import badnets as bn
from badnets.data.images import ImageData
from badnets.networks.inference import align_classes, predict
from badnets.networks.network import ImageNetwork


def counted(network: ImageNetwork, test: ImageData, told: dict[str, Any], folder: Path) -> dict[str, list[int]]:
    """Right answers, and hits of the first trigger, each with how many pictures were tried."""
    test = align_classes(test, network)
    images, labels = test.images(), test.labels
    trigger = told["triggers"][0]
    stored = np.load(folder / "triggers" / trigger["file"])
    shown = np.where(stored["alpha"][None, :, :, None] == 255, stored["pattern"].reshape(1, *test.shape), images)
    target = trigger["target"]
    wanted = (labels + 1) % network.classes if target == "next" else np.full_like(labels, target)
    rows = np.flatnonzero(labels != wanted)
    hits = int((predict(network, shown[rows].astype(np.uint8)).labels == wanted[rows]).sum())
    return {"clean": [int((predict(network, images).labels == labels).sum()), len(labels)], "hits": [hits, len(rows)]}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--mnist", default="mnist")
    parser.add_argument("--only", nargs="*")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    data = bn.load(asked.mnist)
    rows = []
    for meta in sorted(asked.folder.glob("*/meta.json")):
        told = json.loads(meta.read_text("utf-8"))
        if (
            told["label"] != "backdoored"
            or told["input_size"][0] != 1
            or (asked.only and told["name"] not in asked.only)
        ):
            continue
        model, out = meta.with_name(told["original"]), asked.out / f"{told['name']}.safetensors"
        before = counted(bn.open(model, clean=data.train), data.test, told, asked.folder)
        began = time.perf_counter()
        command = [
            "cure",
            str(model),
            "--data",
            asked.mnist,
            "--pictures",
            "1000",
            "--out",
            str(out),
            "--force",
            "--json",
        ]
        said = subprocess.run([sys.executable, "-m", "badnets", *command], capture_output=True, text=True, check=False)
        row: dict[str, Any] = {"name": told["name"], "seconds": round(time.perf_counter() - began, 1), "before": before}
        if said.returncode == 0 and out.exists():
            answer = json.loads(said.stdout)
            row["verdict"], row["p"] = answer["finding"]["verdict"], answer["finding"]["p"]
            row["method"] = answer["certificate"]["method"]["kind"]
            row["after"] = counted(bn.open(out), data.test, told, asked.folder)
        else:
            row["error"] = said.stderr.strip().splitlines()[-1:]
        rows.append(row)
        print({key: value for key, value in row.items() if key != "name"} | {"name": row["name"]}, flush=True)
    print(json.dumps({"format": "badnets/benchmark/1", "name": "foreign cures", "rows": rows}))


if __name__ == "__main__":
    main()
