"""Neural Cleanse, class by class as published, against the detectors of ``badnets audit``, on one network.

The peer is the published procedure (``badnets.studies.audit.published``): for one class after the other, up to 1,000
rounds of 31 batches of 32 from 1,000 clean pictures, and an early stop. Ours are ``mask`` (the same masks, all classes
in one batch) and ``perturbation`` (what an audit runs by default). Each of ``--repeats`` repeats runs ours, the peer on
one class of the turn, and ours again, so that a machine that slows down slows both; the peer's time is the median of
its classes times their number. Prints the mask of each class by both, the ratio of times, and, last, one JSON object.

    python benchmarks/audit.py --data mnist [--network FILE] [--repeats 10] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

import badnets as bn
from badnets.audits.detector import Suspect
from badnets.audits.detectors.mask import Mask
from badnets.audits.detectors.perturbation import Perturbation
from badnets.core.seed import Seed
from badnets.data.splits import draw
from badnets.defenses.repair import DefenderView
from badnets.studies.audit.published import SAMPLE, smallest_mask

WANTED = 10.0


def main() -> None:
    """Run, print, and say whether ours is as much faster as wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--network", type=Path)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    splits = bn.load(asked.data)
    network = bn.open(asked.network, clean=splits.test) if asked.network else bn.train("g1-cnn", splits.train, seed=1)
    network.eval().requires_grad_(requires_grad=False)
    data = splits.test.take(np.sort(draw(splits.test, SAMPLE, Seed(1))))
    suspect = Suspect(DefenderView(network=network, data=data, seed=Seed(1)))

    def ours(detector: Mask | Perturbation) -> tuple[float, np.ndarray]:
        began = time.perf_counter()
        sizes = detector.sizes(suspect)
        return time.perf_counter() - began, sizes

    seconds: dict[str, list[float]] = {"mask": [], "perturbation": [], "published": []}
    theirs: dict[int, float] = {}
    masks = np.zeros((1, network.classes))
    for repeat in range(asked.repeats):
        target = repeat % network.classes
        for _ in range(2):
            took, masks = ours(Mask())
            seconds["mask"].append(took)
            took, _ = ours(Perturbation())
            seconds["perturbation"].append(took)
            if target not in theirs or repeat >= network.classes:
                began = time.perf_counter()
                theirs[target] = smallest_mask(network, data, target, Seed(repeat))
                seconds["published"].append(time.perf_counter() - began)
    for target, size in sorted(theirs.items()):
        print(f"class {target}: mask {np.exp(masks[0, target]):.1f} pixels, as published {size:.1f}")
    whole = statistics.median(seconds["published"]) * network.classes
    ratios = {name: whole / statistics.median(seconds[name]) for name in ("mask", "perturbation")}
    result = {
        "peer_s": round(whole, 1),
        "ours_s": {name: round(statistics.median(seconds[name]), 2) for name in ratios},
        "ratio": {name: round(ratio, 1) for name, ratio in ratios.items()},
        "masks": {str(t): [round(float(np.exp(masks[0, t])), 2), round(s, 2)] for t, s in sorted(theirs.items())},
        "wanted": WANTED,
        "reached": min(ratios.values()) >= WANTED,
        "threads": asked.threads,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
