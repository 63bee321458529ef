"""Training a BadNet on MNIST: ART 1.20 against ours, to ART's final accuracy and attack success.

Same network (study G1's), same poisoned set (four-pixel pattern, all to 0, 10 % of the rows), same threads. ART:
``PyTorchClassifier.fit``, batch 128, Adam 1e-3, 5 epochs. Ours: ``OURS`` below, another recipe with fewer steps, which
must end at least as accurate and as successful as ART in the same pair, or the pair counts as failed. It was chosen
with ``--choose``, which trains on five sixths of the training pictures and looks at the other sixth, never at the test
pictures. Loading, poisoning and evaluation are excluded; the two take turns, so that a machine that slows down slows
both. Prints a table and, last, one JSON object; also what share of the machine's measured matrix-product rate each
training reaches: in fp32, and in bf16 where the processor has that natively.

    python benchmarks/train_mnist.py [--data PATH] [--pairs 5]
    OMP_NUM_THREADS=1 python benchmarks/train_mnist.py --choose [NAME ...]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import time
import warnings
from typing import Any

import numpy as np
import torch
from torch import nn

import badnets as bn
from badnets.core.seed import Seed
from badnets.data.splits import split
from badnets.training.hardware import native_bf16
from badnets.training.loop import Job, fit
from badnets.training.recipe import Recipe

RECIPES = {
    "art": Recipe(epochs=5, batch=128, optimizer="adam", learning_rate=1e-3, schedule="constant", weight_decay=0.0),
    "two-epochs": Recipe(epochs=2, batch=128, learning_rate=4e-3),
    "one-epoch": Recipe(epochs=1, batch=128, learning_rate=4e-3),
    "small-batch": Recipe(epochs=1, batch=64, learning_rate=4e-3),
    "smooth": Recipe(epochs=1, batch=64, learning_rate=6e-3, label_smoothing=0.1),
}
"""What ``--choose`` compares; ``art`` is ART's recipe in our loop."""
OURS = RECIPES["smooth"]
ART_EPOCHS, ART_BATCH, ART_RATE = 5, 128, 1e-3
FLOPS_PER_PICTURE = 2 * 3 * (16 * 25 * 24 * 24 + 32 * 16 * 25 * 8 * 8 + 512 * 512 + 512 * 10)
"""Multiply-adds of the forward pass, twice for flops, three times for forward and both backward products."""


DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


class Peer(nn.Module):
    """The same network in plain torch, as one would hand it to ART."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 5), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(16, 32, 5), nn.ReLU(), nn.AvgPool2d(2),
            nn.Flatten(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers(x)
        return out


def matrix_rate(dtype: torch.dtype, seconds: float = 1.0) -> float:
    """Measured flops per second of a product of two 1024 x 1024 matrices, the best of many."""
    a, b = (torch.randn(1024, 1024).to(dtype) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - began)
    return 2 * 1024**3 / best


def rates(answers: np.ndarray, marked: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    eligible = labels != 0
    return float((answers == labels).mean()), float((marked[eligible] == 0).mean())


def train_art(data: Any, test: Any, seed: int) -> dict[str, float]:
    from art.estimators.classification import PyTorchClassifier

    torch.manual_seed(seed)
    np.random.seed(seed)
    network = Peer()
    classifier = PyTorchClassifier(
        model=network,
        loss=nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam(network.parameters(), lr=ART_RATE),
        input_shape=(1, 28, 28),
        nb_classes=10,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )
    x = np.ascontiguousarray(data.images().transpose(0, 3, 1, 2)).astype(np.float32) / 255
    y = data.labels
    began, busy = time.perf_counter(), time.process_time()
    classifier.fit(x, y, batch_size=ART_BATCH, nb_epochs=ART_EPOCHS)
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    answers = [classifier.predict(part.transpose(0, 3, 1, 2).astype(np.float32) / 255).argmax(1) for part in test[:2]]
    accuracy, success = rates(answers[0], answers[1], test[2])
    return {
        "seconds": seconds,
        "processor": busy,
        "accuracy": accuracy,
        "asr": success,
        "pictures": ART_EPOCHS * len(x),
    }


def train_ours(data: Any, test: Any, seed: int, recipe: Recipe = OURS) -> dict[str, float]:
    from badnets.networks.inference import predict

    network = bn.build_network("g1-cnn", class_names=data.class_names, input_size=(1, 28, 28), seed=Seed(seed))
    began, busy = time.perf_counter(), time.process_time()
    trained = fit(network, Job(data=data, recipe=recipe, seed=Seed(seed)))
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    answers = [predict(trained.network, part).labels for part in test[:2]]
    accuracy, success = rates(answers[0], answers[1], test[2])
    return {
        "seconds": seconds,
        "processor": busy,
        "accuracy": accuracy,
        "asr": success,
        "pictures": recipe.epochs * len(data),
    }


def choose(data: Any, names: list[str]) -> None:
    """Each recipe, on pictures that neither training nor test see."""
    train, select = split(data.train, 1 / 6, 17)
    backdoor = bn.Backdoor(bn.triggers.Pattern(), bn.rules.AllToOne(target=0))
    poisoned = backdoor.poison(train, rate=0.1, seed=1).data
    images = select.images()
    seen = (images, backdoor.trigger.apply(images), select.labels)
    print(f"{len(train):,} pictures to train on, {len(select):,} to choose by, {torch.get_num_threads()} threads")
    print(f"{'recipe':<12} {'seed':>4} {'accuracy':>9} {'success':>9} {'processor time':>15}")
    for name in names:
        for seed in (1, 2):
            found = train_ours(poisoned, seen, seed, RECIPES[name])
            figures = f"{100 * found['accuracy']:>7.2f} % {100 * found['asr']:>7.2f} %"
            print(f"{name:<12} {seed:>4} {figures} {found['processor']:>13.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=None, help="where MNIST lies, if not in the usual places")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--choose", nargs="*", choices=list(RECIPES), help="compare recipes on a select set instead")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    data = bn.load("mnist", path=arguments.data)
    if arguments.choose is not None:
        choose(data, arguments.choose or list(RECIPES))
        return
    backdoor = bn.Backdoor(bn.triggers.Pattern(), bn.rules.AllToOne(target=0))
    poisoned = backdoor.poison(data.train, rate=0.1, seed=1).data
    images = data.test.images()
    test = (images, backdoor.trigger.apply(images), data.test.labels)
    peak = {name: matrix_rate(dtype) for name, dtype in DTYPES.items() if name != "bf16" or native_bf16()}
    warm = data.train.take(np.arange(2560))  # neither side pays for its imports and first calls
    fit(bn.build_network("g1-cnn", class_names=warm.class_names, input_size=(1, 28, 28), seed=0),
        Job(data=warm, recipe=Recipe(epochs=1), seed=Seed(0)))  # fmt: skip
    train_art(warm, (images[:10], images[:10], data.test.labels[:10]), 0)
    pairs = []
    print(f"{'pair':>4} {'ART':>27} {'ours':>27} {'ratio':>7}")
    for seed in range(1, arguments.pairs + 1):
        order = (train_art, train_ours) if seed % 2 else (train_ours, train_art)
        found = {run.__name__: run(poisoned, test, seed) for run in order}
        art, ours = found["train_art"], found["train_ours"]
        reached = ours["accuracy"] >= art["accuracy"] and ours["asr"] >= art["asr"]
        ratio = art["seconds"] / ours["seconds"]
        pairs.append({"seed": seed, "art": art, "ours": ours, "ratio": ratio, "reached": reached})
        cells = [f"{r['seconds']:6.2f} s {100 * r['accuracy']:.2f} / {100 * r['asr']:.2f} %" for r in (art, ours)]
        note = "" if reached else "  not reached: ours ends below ART"
        print(f"{seed:>4} {cells[0]:>27} {cells[1]:>27} {pairs[-1]['ratio']:>6.2f}x{note}", flush=True)
    report(pairs, peak)


def report(pairs: list[dict[str, Any]], peak: dict[str, float]) -> None:
    ratios = [pair["ratio"] for pair in pairs]
    median = statistics.median(ratios)
    used = {}
    for who in ("art", "ours"):
        flops = statistics.median(pair[who]["pictures"] * FLOPS_PER_PICTURE / pair[who]["seconds"] for pair in pairs)
        used[who] = {name: flops / rate for name, rate in peak.items()}
    wanted = 6.0 if native_bf16() else 5.0
    reached = sum(pair["reached"] for pair in pairs)
    print(f"median {median:.2f}x (from {min(ratios):.2f} to {max(ratios):.2f}); asked: {wanted:g}x")
    print(f"ours ended at least as accurate and successful as ART in {reached} of {len(pairs)} pairs")
    for name, rate in peak.items():
        shares = ", ".join(f"{who} {100 * used[who][name]:.1f} %" for who in used)
        print(f"matrix products in {name}: {rate / 1e9:.0f} GFLOP/s here; the trainings reach {shares} of that")
    facts = {"format": "badnets/benchmark/1", "name": "train_mnist", "threads": torch.get_num_threads(),
             "native_bf16": native_bf16(), "load": os.getloadavg()}  # fmt: skip
    versions = {"torch": torch.__version__.split("+")[0], "badnets": bn.__version__, "art": "1.20.1"}
    print(json.dumps({**facts, "versions": versions, "median_ratio": median, "asked": wanted, "peak_flops": peak,
                      "share_of_peak": used, "pairs": pairs}))  # fmt: skip


if __name__ == "__main__":
    main()
