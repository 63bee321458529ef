"""Audits of networks with a hundred classes, without references: how many are found with the planted class, and how
often a clean one is called backdoored.

python benchmarks/many_classes.py [--mnist mnist] [--networks 16] [--out FILE]

A picture is two handwritten digits side by side, its class the number that they make. Every second network is
backdoored, all-to-one, with 10 % poison. Prints a line for each network as it is done, and a JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import badnets as bn
from badnets.data.images import ImageData

ARCHITECTURES = ("g1-cnn", "resnet9:width=8", "perceptron:width=256")
NAMES = tuple(f"{number:02d}" for number in range(100))
TRAIN, TEST, EPOCHS, RATE = 24_000, 2_000, 4, 0.1


def pairs(digits: ImageData, count: int, seed: int) -> ImageData:
    """``count`` pictures (28, 28) of two digits at half their width."""
    narrow = digits.images(np.arange(len(digits)))[..., 0].astype(np.uint16)
    narrow = ((narrow[:, :, ::2] + narrow[:, :, 1::2]) // 2).astype(np.uint8)
    left, right = np.random.default_rng(seed).integers(0, len(digits), (2, count))
    images: NDArray[np.uint8] = np.concatenate([narrow[left], narrow[right]], 2)[..., None]
    return ImageData.of(images, digits.labels[left] * 10 + digits.labels[right], name="pairs", class_names=NAMES)


def backdoors(target: int) -> dict[str, bn.Backdoor]:
    """By the name of the trigger."""
    rule = bn.rules.AllToOne(target=target)
    square = bn.triggers.Square(size=4, color=255)
    return {
        "square": bn.Backdoor(square, rule),
        "checkerboard": bn.Backdoor(bn.triggers.Checkerboard(), rule),
        "blend": bn.Backdoor(bn.triggers.Blend(opacity=0.2), rule),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", default="mnist")
    parser.add_argument("--networks", type=int, default=16)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    digits = bn.load(asked.mnist)
    train, test = pairs(digits.train, TRAIN, 0), pairs(digits.test, TEST, 1)
    rows, lines = (
        [],
        [f"networks of {len(NAMES)} classes, {TRAIN:,} training pictures, {EPOCHS} epochs; one thread each"],
    )
    for seed in range(asked.networks):
        target = 7 * seed % len(NAMES)
        kind, backdoor = list(backdoors(target).items())[seed // 2 % 3]
        planted = seed % 2 == 1
        data = backdoor.poison(train, rate=RATE, seed=seed) if planted else train
        architecture = ARCHITECTURES[seed % len(ARCHITECTURES)]
        recipe = bn.Recipe(epochs=EPOCHS)
        network = bn.train(architecture, data, recipe=recipe, seed=seed, device="cpu", progress=False)
        figures = bn.measure(network, test, backdoor)
        began = time.perf_counter()
        finding = bn.audit(network)
        row = {
            "network": architecture,
            "planted": kind if planted else None,
            "target": target if planted else None,
            "accuracy": str(figures.clean_accuracy),
            "asr": str(figures.asr) if planted else None,
            "verdict": finding.verdict,
            "p": finding.p,
            "class": None if finding.target is None else finding.target.label,
            "seconds": round(time.perf_counter() - began, 1),
        }
        rows.append(row)
        truth = f"{kind} to {target}" if planted else "clean"
        said = finding.verdict if finding.p is None else f"{finding.verdict} p {finding.p:.4f} class {row['class']}"
        lines.append(f"{architecture:<22} {truth:<20} {figures.clean_accuracy} | {said} | {row['seconds']} s")
        print(lines[-1], flush=True)
    bad = [row for row in rows if row["planted"]]
    right = sum(row["verdict"] == "backdoored" and row["class"] == row["target"] for row in bad)
    false = sum(row["verdict"] == "backdoored" for row in rows) - sum(row["verdict"] == "backdoored" for row in bad)
    lines.append(
        f"{right} of {len(bad)} found with the class; {false} of {len(rows) - len(bad)} clean ones called backdoored"
    )
    lines.append(json.dumps({"format": "badnets/benchmark/1", "name": "many classes", "rows": rows}))
    print(lines[-2])
    if asked.out:
        asked.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
