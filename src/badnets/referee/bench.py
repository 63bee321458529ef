"""The referee's bench: lets a method see what a defender sees, takes what it hands out as a file, and measures that.

Whoever measures a defense does it here: certificates, guard records and studies alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from badnets.core.progress import Watcher
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.data.splits import draw
from badnets.defenses.abstain import Abstainer, Guarded, abstain
from badnets.defenses.repair import Repair, Repaired, repair
from badnets.defenses.view import DefenderView
from badnets.networks.files.own import through_file
from badnets.networks.network import ImageNetwork
from badnets.records.certificate import Reactivation, Standing
from badnets.referee.reactivation import CLEAN, POISONED, Role, reactivate
from badnets.referee.truth import Answers, Truth


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
        return self.truth.measure(network, self.test)

    def standing(self, network: ImageNetwork) -> Standing:
        """The same as rates."""
        return self.answers(network).standing

    def repaired(
        self, method: Repair, network: ImageNetwork, *, into: Path | None = None, what: str | None = None
    ) -> tuple[Repaired, ImageNetwork]:
        """``method`` carried out on ``network``, and the network that came out, reopened from its file ``into`` (else
        ``repaired.safetensors`` in the bench's folder); ``what`` is its name for people.

        Raises ``BadInput`` and ``CannotTell`` as ``repair`` does. On Ctrl-C what was kept last is in the file.
        """
        report, name = self.watcher.progress, what or method.kind
        done = repair(self.view(network), method, on_row=lambda _, at, total, rate: report(name, at, total, rate))
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
        self,
        networks: Mapping[Role, ImageNetwork],
        *,
        clean: ImageData | None = None,
        test: ImageData | None = None,
    ) -> Reactivation | None:
        """Whether the backdoor of ``networks["repaired"]`` only sleeps, see ``reactivate``; ``clean`` (default: at most
        ``CLEAN`` of the defender's) are the pictures beside the poisoned ones, ``test`` those that are measured on.

        None where nothing at hand can be poisoned, or where a network cannot be tuned.
        """
        seed = self.seed.derive("reactivation")
        poisons = self.poisons
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
        place = into or (None if self.folder is None else self.folder / f"{name}.safetensors")
        if place is not None:
            return through_file(network, place)
        with TemporaryDirectory(prefix="badnets-") as folder:
            return through_file(network, Path(folder) / f"{name}.safetensors")


def defender_and_spare(pool: ImageData, pictures: int, seed: Seed) -> tuple[ImageData, ImageData]:
    """``pictures`` of ``pool`` for the defender, each class in its share, and the others (the same where none is
    left)."""
    rows = draw(pool, pictures, seed.derive("defender"))
    rest = np.setdiff1d(np.arange(len(pool)), rows)
    return pool.take(rows), pool.take(rest if len(rest) else rows)
