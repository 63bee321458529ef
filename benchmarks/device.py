"""Seconds of training, measuring and one repair, on the CPU and on the card where there is one.

What ``badnets attack`` does with one seed, step by step: a BadNet and its clean reference are trained (``g1-cnn`` on
MNIST's shape, 5 epochs; with ``--network preact-resnet18 --data cifar10``, say, another), measured with and without
the trigger, and repaired by fine-tuning on 1,000 pictures. Each device warms up on a few pictures, which is not
counted. Without ``--data`` (a named set or a path) pictures are drawn: strokes of ten kinds in MNIST's size.
``--quick`` takes few pictures and one epoch, and shows within a minute that all of it runs. Prints a table and, last,
one JSON object: for each device its name, its seconds, and the figures that were measured, which must be about the
same.

    python benchmarks/device.py [--data mnist] [--network g1-cnn] [--epochs 5] [--devices cpu cuda] [--quick]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import badnets as bn
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.networks.device import card_of, find_device
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import parse_network
from badnets.referee.store import environment
from badnets.training.recipe import recipe_for

T = TypeVar("T")
PARTS = ("train", "train the reference", "measure", "repair")


def strokes(count: int, seed: int) -> ImageData:
    """``count`` pictures (28, 28, 1): a bright line at one of ten angles, somewhere, in noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    angle, shift = labels * np.pi / 10 + rng.normal(0, 0.05, count), rng.uniform(-4, 4, (2, count))
    rows, columns = np.mgrid[-13.5:14, -13.5:14]
    across = (rows[None] - shift[0, :, None, None]) * np.cos(angle)[:, None, None]
    across = across - (columns[None] - shift[1, :, None, None]) * np.sin(angle)[:, None, None]
    pixels = 255 * np.exp(-(across**2) / 3) + rng.normal(0, 30, across.shape)
    return ImageData.of(pixels.clip(0, 255).astype(np.uint8)[..., None], labels, class_names=list("0123456789"))


def first(data: ImageData, count: int) -> ImageData:
    """At most ``count`` of the pictures."""
    return data.take(np.arange(min(count, len(data))))


class Stopwatch:
    """Seconds by name, when a card has finished what it was given."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, dict.fromkeys(PARTS, 0.0)

    def __call__(self, part: str, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        done = work()
        if self.device.type != "cpu":
            torch.get_device_module(self.device).synchronize()
        self.seconds[part] += time.perf_counter() - began
        return done


def work(
    train: ImageData, test: ImageData, network: str, epochs: int, device: torch.device, pictures: int
) -> dict[str, Any]:
    """Everything on one device: its seconds and figures."""
    watch = Stopwatch(device)
    backdoor = bn.Backdoor(bn.triggers.Pattern(), bn.rules.AllToOne(target=0))
    poisoned = backdoor.poison(train, rate=0.1, seed=1)
    recipe = recipe_for(parse_network(network)[0], {"epochs": epochs})

    def trained(subject: ImageData) -> ImageNetwork:
        return bn.train(network, subject, recipe=recipe, seed=1, device=device, progress=False)

    bad = watch("train", lambda: trained(poisoned.data))
    clean = watch("train the reference", lambda: trained(train))
    before = watch("measure", lambda: bn.measure(bad, test, backdoor, reference=clean))
    few = first(train, pictures)
    view = bn.DefenderView(network=bad, data=few, seed=Seed(1))
    repaired = watch("repair", lambda: bn.repair(view, bn.repairs.FineTune(epochs=5)).network)
    after = watch("measure", lambda: bn.measure(repaired, test, backdoor))
    assert repaired.device == bad.device == device
    rates = {"clean accuracy": before.clean_accuracy, "attack success": before.asr, "repaired": after.asr}
    seconds = {name: round(value, 3) for name, value in watch.seconds.items()}
    return {
        "device": str(device),
        "card": card_of(device),
        "seconds": {**seconds, "total": round(sum(seconds.values()), 3)},
        "figures": {name: None if rate is None else rate.value for name, rate in rates.items()},
    }


def main() -> None:
    """Run on each device and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a named set or a path [drawn strokes]")
    parser.add_argument("--network", default="g1-cnn")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--devices", nargs="+", help="[cpu, and the best card]")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    count, tests, epochs, pictures = (1000, 300, 1, 100) if given.quick else (60_000, 10_000, 5, 1000)
    train, test = strokes(count, 1), strokes(tests, 2)
    if given.data:
        loaded = bn.load(given.data)
        train, test = first(loaded.train, count), first(loaded.test, tests)
    names = given.devices or list(dict.fromkeys(["cpu", str(find_device("auto"))]))
    devices = [find_device(name) for name in names]
    done = []
    for device in devices:
        work(first(train, 200), first(test, 100), given.network, 1, device, 100)
        done.append(work(train, test, given.network, given.epochs or epochs, device, pictures))
    table = Table("seconds", *(one["card"] or one["device"] for one in done))
    for part in (*PARTS, "total"):
        table.add_row(part, *(f"{one['seconds'][part]:.2f}" for one in done))
    for name in done[0]["figures"]:
        table.add_row(name, *(f"{100 * (one['figures'][name] or 0):.2f} %" for one in done))
    Console().print(table)
    about = {"data": given.data or "strokes", "pictures": [len(train), len(test)], "network": given.network}
    here = environment("auto", devices[-1])
    print(json.dumps({**about, "quick": given.quick, "environment": here.to_json(), "devices": done}))


if __name__ == "__main__":
    main()
