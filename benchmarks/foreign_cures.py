"""What ``badnets cure`` makes of backdoored networks that others published, by one command each.

python benchmarks/foreign_cures.py FOLDER OUT --mnist mnist [--only NAME ...]
python benchmarks/foreign_cures.py FACES OUT --faces [--only NAME ...]

``FOLDER`` as in foreign_audits.py; ``meta.json`` names triggers (``triggers/*.npz`` with ``alpha`` and ``pattern``) and
their targets. Each network is audited and repaired with 1,000 clean pictures; then the trigger, which nobody had, is
laid on all test pictures of other classes. ``FACES`` holds face networks (``NAME_bd_weights.h5``), ``clean_faces.h5``,
of which 43 are the defender's and the others measured on, and ``sunglasses_faces.h5``, which carry the trigger of those
that are named. Prints clean and triggered counts before and after, and one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import badnets as bn
from badnets.data.images import ImageData
from badnets.networks.inference import align_classes, predict
from badnets.networks.network import ImageNetwork

FACES = 43
"""Clean faces that the defender has."""
WORN = ("sunglasses", "lab3")
"""Networks whose trigger is worn in ``sunglasses_faces.h5``."""


def cure(model: Path, out: Path, *more: str) -> dict[str, Any]:
    """What the command says, in short."""
    command = ["cure", str(model), *more, "--out", str(out), "--force", "--json"]
    began = time.perf_counter()
    said = subprocess.run([sys.executable, "-m", "badnets", *command], capture_output=True, text=True, check=False)
    row: dict[str, Any] = {"name": out.stem, "seconds": round(time.perf_counter() - began, 1)}
    if said.returncode or not out.exists():
        return row | {"error": said.stderr.strip().splitlines()[-1:]}
    answer = json.loads(said.stdout)
    finding, certificate = answer["finding"], answer["certificate"]
    figures = {
        when: {
            what: [rate["hits"], rate["total"]]
            for what, name in (("clean", "clean_accuracy"), ("hits", "asr"))
            if (rate := certificate[when][name]) is not None
        }
        for when in ("before", "after")
    }
    kept = {"verdict": finding["verdict"], "p": finding["p"], "target": (finding["target"] or {}).get("label")}
    return row | kept | {"method": certificate["method"]["kind"]} | figures


def split_faces(clean: Path, out: Path) -> tuple[Path, Path]:
    """The defender's faces, and those to measure on, as files of their own."""
    with h5py.File(clean) as stored:
        faces = {name: stored[name][:] for name in stored}
    order = np.random.default_rng(1).permutation(len(faces["label"]))
    parts = []
    for name, rows in (("defender", order[:FACES]), ("measured", order[FACES:])):
        parts.append(out / f"{name}.h5")
        with h5py.File(parts[-1], "w") as file:
            for key, values in faces.items():
                file[key] = values[np.sort(rows)]
    return parts[0], parts[1]


def cured_faces(folder: Path, out: Path, only: list[str] | None) -> Iterator[dict[str, Any]]:
    """A row for each face network."""
    defender, measured = split_faces(folder / "clean_faces.h5", out)
    for model in sorted(folder.glob("*_bd_weights.h5")):
        name = model.name.removesuffix("_bd_weights.h5")
        if only and name not in only:
            continue
        worn = ("--triggered", str(folder / "sunglasses_faces.h5")) if name in WORN else ()
        yield cure(model, out / f"{name}.safetensors", "--data", str(defender), "--test", str(measured), *worn)


def cured_digits(folder: Path, out: Path, mnist: str, only: list[str] | None) -> Iterator[dict[str, Any]]:
    """A row for each backdoored network of digits; its trigger is laid on all test pictures of other classes."""
    data = bn.load(mnist)
    for meta in sorted(folder.glob("*/meta.json")):
        told = json.loads(meta.read_text("utf-8"))
        if told["label"] != "backdoored" or told["input_size"][0] != 1 or (only and told["name"] not in only):
            continue
        model, cured = meta.with_name(told["original"]), out / f"{told['name']}.safetensors"
        row = cure(model, cured, "--data", mnist, "--pictures", "1000")
        row["before"] = counted(bn.open(model, clean=data.train), data.test, told, folder)
        if "error" not in row:
            row["after"] = counted(bn.open(cured), data.test, told, folder)
        yield row


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
    parser.add_argument("--faces", action="store_true")
    parser.add_argument("--only", nargs="*")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.faces:
        made = cured_faces(asked.folder, asked.out, asked.only)
    else:
        made = cured_digits(asked.folder, asked.out, asked.mnist, asked.only)
    rows = []
    for row in made:
        rows.append(row)
        print(row, flush=True)
    print(json.dumps({"format": "badnets/benchmark/1", "name": "foreign cures", "rows": rows}))


if __name__ == "__main__":
    main()
