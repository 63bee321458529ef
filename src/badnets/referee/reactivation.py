"""Is a backdoor gone, or does it sleep? The repaired network is re-tuned on a handful of poisoned pictures.

A network that never had the backdoor hardly learns it from so few; one in which it sleeps remembers at once. So the
same is done to a clean network, which went through the same repair; and to the network before the repair: where that
one forgets its attack, re-tuning like this takes backdoors away, and says nothing of those that do not come back.

Source: Min, Qin, Zhang, Shen, Cheng, Uncovering, Explaining, and Mitigating the Superficial Safety of Backdoor Defense
(2024), section 3: the retuning attack, and its code (AISafety-HKUST/stable_backdoor_purification, ft_poison.py).
Differs from the paper: 10 poisoned pictures beside the clean ones instead of 5 among them; 64 pictures in a step
instead of 128; the clean network went through the same repair.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from badnets.core.progress import OnProgress
from badnets.core.rate import PairedDifference, Rate
from badnets.core.seed import Seed
from badnets.core.text import percent
from badnets.data.images import ImageData
from badnets.networks.network import ImageNetwork, to_float
from badnets.records.certificate import Reactivation
from badnets.referee.truth import Truth

POISONED, CLEAN, EPOCHS = 10, 1000, 5
"""How many poisoned and (at most) clean pictures, and how often they are gone through."""
LEARNING_RATE, BATCH = 0.01, 64
FORGOTTEN = 0.5
"""The share of its success that the attack on the network before the repair must keep; with less the test is void."""

Role = Literal["repaired", "clean_network", "backdoored"]


def reactivate(
    networks: Mapping[Role, ImageNetwork],
    truth: Truth,
    poisons: ImageData,
    clean: ImageData,
    test: ImageData,
    *,
    seed: Seed,
    on_epoch: OnProgress | None = None,
) -> Reactivation | None:
    """Re-tune a copy of each of ``networks`` (at least ``"repaired"``) in the same way, and measure the attack.

    ``difference`` is None without a ``clean_network``. It is ``void`` where the ``backdoored`` network, the one before
    the repair, keeps less than ``FORGOTTEN`` of its success. None for a network that cannot be tuned.
    """
    hits = {}
    report = on_epoch or (lambda *_: None)
    for number, (role, network) in enumerate(networks.items()):

        def told(epoch: int, first: int = number) -> None:
            report("re-tuning on poisoned pictures", first * EPOCHS + epoch, EPOCHS * len(networks), None)

        tuned = retune(network, poisons, clean, seed=seed, on_epoch=told)
        if tuned is None:
            return None
        hits[role] = truth.hits(tuned, test)
    rates = {role: Rate.of(yes) for role, yes in hits.items()}
    first = Rate.of(truth.hits(networks["backdoored"], test)) if "backdoored" in networks else None
    return Reactivation(
        before=Rate.of(truth.hits(networks["repaired"], test)),
        repaired=rates["repaired"],
        clean_network=rates.get("clean_network"),
        backdoored=rates.get("backdoored"),
        backdoored_before=first,
        difference=PairedDifference.of(hits["repaired"], hits["clean_network"]) if "clean_network" in hits else None,
        poisoned_pictures=len(poisons),
        clean_pictures=len(clean),
        epochs=EPOCHS,
        learning_rate=LEARNING_RATE,
        batch=BATCH,
        void=None if first is None else _void(first, rates["backdoored"]),
    )


def _void(before: Rate, after: Rate) -> str | None:
    """Why it proves nothing, if the network before the repair forgets its attack too."""
    if not before.hits or after.hits >= FORGOTTEN * before.hits:
        return None
    return (
        "the network before the repair forgets the attack when it is re-tuned like this, too (its success falls from "
        f"{percent(before.value)} % to {percent(after.value)} %), so that of the repaired network proves nothing"
    )


def retune(
    network: ImageNetwork,
    poisons: ImageData,
    clean: ImageData,
    *,
    seed: Seed,
    on_epoch: Callable[[int], None] | None = None,
) -> ImageNetwork | None:
    """A copy of ``network`` after ``EPOCHS`` of SGD (momentum 0.9) over poisoned and clean pictures, all layers.

    None where no gradient comes through, as in a network that only compares two others.
    """
    tuned = copy.deepcopy(network)
    tuned.requires_grad_(requires_grad=True)
    images = torch.from_numpy(np.concatenate([poisons.images(), clean.images()]))
    labels = torch.from_numpy(np.concatenate([poisons.labels, clean.labels]))
    optimizer = torch.optim.SGD(tuned.parameters(), lr=LEARNING_RATE, momentum=0.9)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed.derive("dropout").integer)  # dropout knows no generator of its own
        for epoch in range(EPOCHS):
            order = torch.from_numpy(seed.derive("order", epoch).rng.permutation(len(images)))
            tuned.train()
            for rows in torch.split(order, BATCH):
                if len(rows) < 2:  # BatchNorm needs two
                    continue
                optimizer.zero_grad()
                loss = functional.cross_entropy(tuned(to_float(images[rows])), labels[rows])
                if not loss.requires_grad:
                    return None
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                optimizer.step()
            if on_epoch is not None:
                on_epoch(epoch + 1)
    return tuned.eval()
