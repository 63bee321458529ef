"""The referee's bench: lets a method see what a defender sees, takes what it hands out as a file, and measures that,
for certificates, guard records and studies alike; and finds out whether a backdoor is gone or sleeps."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from badnets.core.files import temporary_folder
from badnets.core.progress import OnProgress, Watcher
from badnets.core.rate import PairedDifference, Rate
from badnets.core.seed import Seed
from badnets.core.text import percent
from badnets.data.images import ImageData
from badnets.data.splits import draw
from badnets.defenses.abstain import Abstainer, Guarded, abstain
from badnets.defenses.repair import DefenderView, Repair, Repaired, repair
from badnets.defenses.tuning import descend, sgd
from badnets.networks.device import own_stream
from badnets.networks.files.own import through_file
from badnets.networks.network import ImageNetwork, to_float
from badnets.records.certificate import Reactivation, Standing
from badnets.referee.truth import Answers, Truth

POISONED, CLEAN, EPOCHS = 10, 1000, 5
"""How many poisoned and (at most) clean pictures, and how often they are gone through."""
LEARNING_RATE, BATCH = 0.01, 64
FORGOTTEN = 0.5
"""The share of its success that the attack on the network before the repair must keep; with less the test is void."""

Role = Literal["repaired", "clean_network", "backdoored"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """What the referee has beside networks.

    ``defender``: the clean pictures that methods see; ``spare``: clean ones for poison, neither the defender's nor for
    testing; ``test`` and ``truth``: what is measured on. ``seed`` is of the referee's own draws, ``method_seed`` of the
    methods' (None: the same); ``budget_s`` is what a method may take. Networks are handed over as files in ``folder``
    (None: a temporary one).
    """

    defender: ImageData
    spare: ImageData
    test: ImageData
    truth: Truth
    seed: Seed
    method_seed: Seed | None = None
    budget_s: float | None = None
    folder: Path | None = None
    watcher: Watcher = field(default_factory=Watcher)

    def view(self, network: ImageNetwork) -> DefenderView:
        """What a defender sees of ``network``."""
        seed = self.method_seed or self.seed
        return DefenderView(network=network, data=self.defender, seed=seed, budget_s=self.budget_s)

    def answers(self, network: ImageNetwork) -> Answers:
        """What ``network`` says to every test picture."""
        self.watcher.mark(f"measuring on {len(self.test):,} test pictures")
        return self.truth.measure(network, self.test)

    def standing(self, network: ImageNetwork) -> Standing:
        """The same as rates."""
        return self.answers(network).standing

    def repaired(
        self, method: Repair, network: ImageNetwork, *, into: Path | None = None, what: str | None = None
    ) -> tuple[Repaired, ImageNetwork]:
        """``method`` carried out on ``network``, and the network that came out, reopened from its file ``into`` (else
        ``repaired.safetensors`` in the bench's folder); ``what`` is its name for people. Raises as ``repair``. On
        Ctrl-C what was kept last is in the file."""
        report, name = self.watcher.progress, what or method.kind
        done = repair(
            self.view(network),
            method,
            on_row=lambda _, at, total, rate: report(name, at, total, rate),
            say=lambda sentence: self.watcher.say(sentence.replace(method.kind, name, 1)),
        )
        done.network.provenance = {**network.provenance, "repaired": done.method}
        return done, self._reopened(done.network, into, "repaired")

    def guarded(
        self, method: Abstainer, network: ImageNetwork, *, refuse: float = 0.01, into: Path | None = None
    ) -> tuple[Guarded, ImageNetwork]:
        """The same of an abstainer, which may refuse the share ``refuse`` of clean pictures; raises as ``abstain``."""
        done = abstain(self.view(network), method, refuse=refuse, on_row=self.watcher.progress)
        done.network.provenance = {**network.provenance, "guarded": done.method}
        return done, self._reopened(done.network, into, "guarded")

    def reactivation(
        self, networks: Mapping[Role, ImageNetwork], *, clean: ImageData | None = None, test: ImageData | None = None
    ) -> Reactivation | None:
        """Whether the backdoor of ``networks["repaired"]`` only sleeps, see ``reactivate``; ``clean`` (default: at most
        ``CLEAN`` of the defender's) are the pictures beside the poisoned ones, ``test`` those that are measured on.
        None where nothing at hand can be poisoned, or where a network cannot be tuned."""
        seed, poisons = self.seed.derive("reactivation"), self.poisons
        if not len(poisons):
            return None
        beside = self.defender.take(draw(self.defender, CLEAN, seed.derive("clean"))) if clean is None else clean
        on = self.test if test is None else test
        return reactivate(networks, self.truth, poisons, beside, on, seed=seed, on_epoch=self.watcher.progress)

    @property
    def poisons(self) -> ImageData:
        """The few poisoned pictures of a reactivation; none where nothing can be poisoned."""
        return self.truth.poisons(self.spare, POISONED, self.seed.derive("reactivation"))

    def _reopened(self, network: ImageNetwork, into: Path | None, name: str) -> ImageNetwork:
        if into is None and self.folder is None:
            with temporary_folder() as folder:
                return through_file(network, folder / f"{name}.safetensors")
        return through_file(network, into or (self.folder or Path()) / f"{name}.safetensors")


def defender_and_spare(pool: ImageData, pictures: int, seed: Seed) -> tuple[ImageData, ImageData]:
    """``pictures`` of ``pool`` for the defender, each class in its share, and the others (the same where none is
    left)."""
    rows = draw(pool, pictures, seed.derive("defender"))
    rest = np.setdiff1d(np.arange(len(pool)), rows)
    return pool.take(rows), pool.take(rest if len(rest) else rows)


def reactivate(
    networks: Mapping[Role, ImageNetwork],
    truth: Truth,
    poisons: ImageData,
    clean: ImageData,
    test: ImageData,
    *,
    seed: Seed,
    on_epoch: OnProgress = lambda *_: None,
) -> Reactivation | None:
    """Re-tune a copy of each of ``networks`` (at least ``"repaired"``) on a few poisoned pictures, and measure the
    attack.

    A network that never had the backdoor hardly learns it from so few; one in which it sleeps remembers at once. So the
    same is done to a clean network, which went through the same repair; and to the network before the repair: where
    that one forgets its attack, re-tuning like this takes backdoors away, and says nothing of those that stay away.

    Source: Min, Qin, Zhang, Shen, Cheng, Uncovering, Explaining, and Mitigating the Superficial Safety of Backdoor
    Defense (2024), section 3: the retuning attack, and its code (AISafety-HKUST/stable_backdoor_purification,
    ft_poison.py). Differs from the paper: 10 poisoned pictures beside the clean ones instead of 5 among them; 64
    pictures in a step instead of 128; the clean network went through the same repair.

    ``difference`` is None without a ``clean_network``. It is ``void`` where the ``backdoored`` network, the one before
    the repair, keeps less than ``FORGOTTEN`` of its success. None for a network that cannot be tuned."""
    done, hits = count(1), {}

    def tell() -> None:
        on_epoch("re-tuning on poisoned pictures", next(done), EPOCHS * len(networks), None)

    for role, network in networks.items():
        tuned = retune(network, poisons, clean, seed=seed, on_epoch=tell)
        if tuned is None:
            return None
        hits[role] = truth.hits(tuned, test)
    rates = {role: Rate.of(yes) for role, yes in hits.items()}
    first = Rate.of(truth.hits(networks["backdoored"], test)) if "backdoored" in networks else None
    void = None
    if first is not None and first.hits and rates["backdoored"].hits < FORGOTTEN * first.hits:
        void = (
            "the network before the repair forgets the attack when it is re-tuned like this, too (its success falls "
            f"from {percent(first.value)} % to {percent(rates['backdoored'].value)} %), so that of the repaired "
            "network proves nothing"
        )
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
        void=void,
    )


def retune(
    network: ImageNetwork,
    poisons: ImageData,
    clean: ImageData,
    *,
    seed: Seed,
    on_epoch: Callable[[], None] = lambda: None,
) -> ImageNetwork | None:
    """A copy of ``network`` after ``EPOCHS`` of SGD (momentum 0.9) over poisoned and clean pictures, all layers; None
    where no gradient comes through, as in a network that only compares two others."""
    tuned = copy.deepcopy(network)
    tuned.requires_grad_(requires_grad=True)
    device = tuned.device
    images = torch.from_numpy(np.concatenate([poisons.images(), clean.images()])).to(device)
    labels = torch.from_numpy(np.concatenate([poisons.labels, clean.labels])).to(device)
    optimizer = sgd(tuned, LEARNING_RATE)
    with own_stream(seed.derive("dropout").integer, device):  # dropout knows no generator of its own
        for epoch in range(EPOCHS):
            order = torch.from_numpy(seed.derive("order", epoch).rng.permutation(len(images))).to(device)
            tuned.train()
            for rows in torch.split(order, BATCH):
                if len(rows) < 2:  # BatchNorm needs two
                    continue
                loss = functional.cross_entropy(tuned(to_float(images[rows])), labels[rows])
                if not loss.requires_grad:
                    return None
                descend(optimizer, loss, math.inf)
            on_epoch()
    return tuned.eval()
