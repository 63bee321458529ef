"""Neural Cleanse, class by class as published, against the detectors of ``badnets audit``, on one network.

The peer is the published procedure (Wang et al. 2019, and the authors' visualizer.py): for one class after the other
mask and pattern behind a tanh, Adam 0.1 with betas 0.5 and 0.9, batches of 32 from 1,000 clean pictures, up to 1,000
rounds of 31 batches, the weight of the mask doubled or divided by 2**1.5 after five rounds, and an early stop. Written
here in plain torch, from the description. Ours are ``mask`` (the same masks, all classes in one batch) and
``perturbation`` (what an audit runs by default). Each of ``--repeats`` repeats runs ours, the peer on one class of the
turn, and ours again, so that a machine that slows down slows both; the peer's time is the median of its classes times
their number. Prints the mask of each class by both, the ratio of times, and, last, one JSON object.

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
from torch.nn import functional

import badnets as bn
from badnets.audits.detector import Suspect
from badnets.audits.detectors.mask import Mask
from badnets.audits.detectors.perturbation import Perturbation
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.data.splits import draw
from badnets.defenses.repair import DefenderView
from badnets.networks.network import ImageNetwork

WANTED = 10.0
BATCH, SAMPLE, ROUNDS, PATIENCE, ENOUGH, UP = 32, 1000, 1000, 5, 0.99, 2.0


def published(network: ImageNetwork, data: ImageData, target: int, seed: int) -> float:
    """The mask's sum for one class."""
    generator = torch.Generator().manual_seed(seed)
    c, h, w = network.input_size
    images = network.floats(data.images())
    mask = torch.rand(1, 1, h, w, generator=generator).logit().div(2).requires_grad_()
    pattern = torch.rand(1, c, h, w, generator=generator).logit().div(2).requires_grad_()
    optimizer = torch.optim.Adam([mask, pattern], lr=0.1, betas=(0.5, 0.9))
    weight, best, first_best, ups, downs, still, began = 0.0, float("inf"), float("inf"), 0, 0, 0, False
    raised = lowered = False
    for _ in range(ROUNDS):
        hits = seen = 0
        for _ in range(SAMPLE // BATCH):
            rows = torch.randint(len(images), (BATCH,), generator=generator)
            opacity, color = (torch.tanh(one) / 2 + 0.5 for one in (mask, pattern))
            logits = network((1 - opacity) * images[rows] + opacity * color)
            wanted = torch.full((BATCH,), target)
            loss = functional.cross_entropy(logits, wanted) + weight * opacity.sum()
            mask.grad, pattern.grad = torch.autograd.grad(loss, [mask, pattern])
            optimizer.step()
            hits += int((logits.argmax(1) == wanted).sum())
            seen += BATCH
        size, success = float((torch.tanh(mask) / 2 + 0.5).sum()), hits / seen
        if success >= ENOUGH and size < best:
            best = size
        if best < float("inf"):
            still = still + 1 if best >= first_best else 0
            first_best = min(first_best, best)
        if raised and lowered and still >= 5 * PATIENCE:
            break
        if not began:
            if success >= ENOUGH:
                began, weight = True, 1e-3
            continue
        ups, downs = (ups + 1, 0) if success >= ENOUGH else (0, downs + 1)
        if ups >= PATIENCE:
            ups, weight, raised = 0, weight * UP, True
        elif downs >= PATIENCE:
            downs, weight, lowered = 0, weight / UP**1.5, True
    return best


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
                theirs[target] = published(network, data, target, repeat)
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
