"""The pruning sweep of DeepID's conv_3 (study C1): all 60 steps over 10,000 pictures, against running the whole network
again at each step.

The peer prunes the same channels in the same order and asks ``predict`` after each, with the batch at which it is
fastest here, found beforehand; with ``--same-batch`` also with the sweep's own. Answers must be equal, picture by
picture, at every step. In each repeat the sweep runs in full, and the peer does its share of
the 61 passes before and after it, so that a machine that slows down slows both.

Two cases: ``random`` weights and pictures of noise, in which nearly every channel is active in every picture: the worst
case; and, where the shared data is, ``lab3``: a real network and blends of real faces, with dead channels and sparse
ones. Prints a table and, last, one JSON object.

    python benchmarks/pruning_sweep.py [--data FOLDER] [--pictures 10000] [--repeats 3] [--threads 2] [--same-batch]
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import badnets as bn
from badnets.core.seed import Seed
from badnets.data.formats.arrays import read_hdf5
from badnets.data.images import ImageData
from badnets.networks.files.foreign import open_foreign
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network
from badnets.networks.surgery.channels import prune_channels, rank_channels
from badnets.networks.surgery.sweep import pruning_sweep

LAYER, BATCH, WANTED = "conv_3", 1000, 20.0
Answers = list[NDArray[np.int64]]
Case = tuple[ImageNetwork, ImageData]


def noise(count: int, _: Path) -> Case:
    names = [str(number) for number in range(1283)]
    network = build_network("deepid", class_names=names, input_size=(3, 55, 47), seed=1)
    pictures = Seed(1).derive("noise").rng.integers(0, 256, (count, 55, 47, 3), np.uint8)
    return network, ImageData.of(pictures, np.zeros(count, np.int64), class_names=names)


def faces(count: int, folder: Path) -> Case:
    """Blends of two faces, clean or with sunglasses."""
    network = open_foreign(folder / "lab3_bd_weights.h5", arch="deepid", input_range="0-255")
    sets = [read_hdf5(folder / name, name=name) for name in ("clean_faces.h5", "sunglasses_faces.h5")]
    given = np.concatenate([data.images() for data in sets]).astype(np.float32)
    rng = Seed(1).derive("blends").rng
    first, second = rng.integers(0, len(given), (2, count))
    share = rng.random((count, 1, 1, 1), np.float32)
    blends = np.concatenate(
        [
            np.rint(part * given[a] + (1 - part) * given[b]).astype(np.uint8)
            for part, a, b in zip(*(np.array_split(x, 100) for x in (share, first, second)), strict=True)
        ]
    )
    return network, ImageData.of(blends, np.zeros(count, np.int64), class_names=network.class_names)


CASES: dict[str, Callable[[int, Path], Case]] = {"random": noise, "lab3": faces}


def again_and_again(
    network: ImageNetwork, order: list[int], data: ImageData, batch: int
) -> Iterator[NDArray[np.int64]]:
    network = copy.deepcopy(network)
    yield predict_data(network, data, batch=batch).labels
    for channel in order:
        prune_channels(network, LAYER, [channel])
        yield predict_data(network, data, batch=batch).labels


def fastest_batch(network: ImageNetwork, data: ImageData) -> int:
    some = data.take(np.arange(min(1000, len(data))))
    seconds = {}
    for batch in (50, 100, 200, 500, 1000):
        times = []
        for _ in range(3):
            began = time.perf_counter()
            predict_data(network, some, batch=batch)
            times.append(time.perf_counter() - began)
        seconds[batch] = min(times)
    return min(seconds, key=lambda batch: seconds[batch])


def some_steps(steps: Iterator[NDArray[np.int64]], count: int, into: Answers) -> float:
    """Seconds for the next ``count`` passes of the peer."""
    began = time.perf_counter()
    for _, answers in zip(range(count), steps, strict=False):
        into.append(answers)
    return time.perf_counter() - began


def race(network: ImageNetwork, order: list[int], data: ImageData, batch: int, repeats: int) -> dict[str, Any]:
    """The peer's 61 passes, spread around ``repeats`` full sweeps; a ratio for each."""
    peer: Answers = []
    steps = again_and_again(network, order, data, batch)
    share = -(-(len(order) + 1) // (2 * repeats))
    ours, theirs = [], []
    swept: list[NDArray[np.int64]] = []
    for _ in range(repeats):
        done = len(peer)
        before = some_steps(steps, share, peer)
        began = time.perf_counter()
        swept = [step.answers["pictures"] for step in pruning_sweep(network, LAYER, order, {"pictures": data})]
        ours.append(time.perf_counter() - began)
        seconds = before + some_steps(steps, share, peer)
        theirs.append(seconds / (len(peer) - done) * (len(order) + 1))
    equal = len(peer) == len(swept) and all(np.array_equal(a, b) for a, b in zip(peer, swept, strict=True))
    ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
    return {"batch": batch, "ours_s": ours, "peer_s": theirs, "ratios": ratios, "equal": equal,
            "median_ratio": statistics.median(ratios)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BADNETS_DATA", "data")) / "csaw-hackml")
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--same-batch", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found = []
    print(f"{'case':<8} {'idle':>4} {'peer batch':>10} {'peer':>9} {'sweep':>8} {'times faster':>24}  answers")
    for name, make in CASES.items():
        if name == "lab3" and not arguments.data.is_dir():
            print(f"lab3     not run: {arguments.data} is absent; give --data")
            continue
        network, data = make(arguments.pictures, arguments.data)
        means = rank_channels(network, data, LAYER, at="pool")
        order = np.argsort(means, kind="stable").tolist()
        own = (BATCH,) if arguments.same_batch else ()
        for batch in dict.fromkeys((fastest_batch(network, data), *own)):
            result = {"case": name, "idle_channels": int((means == 0).sum()),
                      **race(network, order, data, batch, arguments.repeats)}  # fmt: skip
            found.append(result)
            row(result)
    facts = {"format": "badnets/benchmark/1", "name": "pruning_sweep", "threads": torch.get_num_threads()}
    versions = {"torch": torch.__version__.split("+")[0], "badnets": bn.__version__}
    print(f"asked: {WANTED:g}x and equal answers")
    print(json.dumps({**facts, "versions": versions, "pictures": arguments.pictures, "asked": WANTED, "races": found}))


def row(result: dict[str, Any]) -> None:
    low, high = min(result["ratios"]), max(result["ratios"])
    ratio = f"{result['median_ratio']:.1f} ({low:.1f} to {high:.1f})"
    peer, ours = (f"{statistics.median(result[key]):.1f} s" for key in ("peer_s", "ours_s"))
    equal = "all equal" if result["equal"] else "NOT EQUAL"
    case = f"{result['case']:<8} {result['idle_channels']:>4} {result['batch']:>10}"
    print(f"{case} {peer:>9} {ours:>8} {ratio:>24}  {equal}", flush=True)


if __name__ == "__main__":
    main()
