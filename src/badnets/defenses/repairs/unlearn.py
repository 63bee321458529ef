"""Unlearning of triggers that are known: from a file, or from findings of audits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from badnets.core.errors import BadInput
from badnets.defenses.findings import FindingPaths, leads
from badnets.defenses.repair import REPAIRS, Work, kind_of
from badnets.defenses.repairs.invert import Invert
from badnets.defenses.stamps import read_stamp, stamped_loss
from badnets.defenses.tuning import Tuning, sgd


@kind_of(REPAIRS)
class Unlearn(Tuning):
    """Train on with clean pictures, a share of which carries a given trigger and keeps its true label; or unlearn what
    an audit found.

    ``trigger`` is a file: a PNG of the network's picture size, whose alpha is the mask, or an ``.npz`` with ``mask``
    (h, w) and ``pattern`` (h, w, c), as floats in 0..1 or as bytes. With ``finding`` in its place the triggers that
    audits worked out are the first stamps of ``invert``, with its settings, for one reconstructed mask seldom covers
    the real trigger: more stamps towards the class of the finding are searched for, and again after each round.

    Source: Wang, Yao, Shan, Li, Viswanath, Zheng, Zhao, Neural Cleanse (2019), section 6.3 (unlearning).
    Differs from the paper: half of the pictures carry the trigger and there are up to ten passes, where the paper
    stamps a fifth and passes once; the epoch is chosen by clean accuracy on a hold-out. With ``finding`` see
    ``invert``.
    """

    clip: ClassVar[float] = math.inf
    kind: Literal["unlearn"] = "unlearn"
    trigger: Annotated[str | None, Field(description="PNG with alpha, or .npz with mask and pattern")] = None
    finding: FindingPaths = ()
    share: Annotated[
        float | None,
        Field(gt=0, le=1, description="of the pictures that carry the trigger; by default 0.5, and 0.3 with a finding"),
    ] = None
    epochs: Annotated[int, Field(ge=1, description="passes over the clean pictures")] = 10
    learning_rate: Annotated[float, Field(gt=0, description="of SGD with momentum 0.9, for a trigger's file")] = 0.003

    def repair(self, work: Work) -> str:
        """SGD on the cross entropy with the true labels, or the rounds of ``invert``."""
        if (self.trigger is None) == (not self.finding):
            got = "neither" if self.trigger is None else "both"
            raise BadInput(
                f"unlearn: expected either a trigger (--set trigger=FILE) or a finding (--finding), got {got}"
            )
        if self.trigger is None:
            known = leads(self.finding, work.network, trigger=True)
            names = ("epochs", "hold_out", "max_drop", "batch", "augment")
            settings = {name: getattr(self, name) for name in names}
            settings |= {} if self.share is None else {"share": self.share}
            return Invert(**settings).unlearn(work, known)
        stamp = read_stamp(Path(self.trigger), work.network.input_size).on(work.network.device)
        optimizer = sgd(work.network, self.learning_rate, decay=5e-4)
        generator = torch.Generator().manual_seed(work.view.seed.derive("stamps").integer)
        loss = stamped_loss(work.network, [stamp], 0.5 if self.share is None else self.share, generator)
        return self.tune(work, work.split(self.hold_out), optimizer, loss, epochs=self.epochs)
