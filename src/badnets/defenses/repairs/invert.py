"""Unlearning of triggers that are worked out from the network and clean pictures alone, the least changes that send
pictures to a class."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.data.targets import class_number
from badnets.defenses.findings import FindingPaths, Lead, leads
from badnets.defenses.mixing import mix
from badnets.defenses.repair import REPAIRS, Work, kind_of
from badnets.defenses.stamps import ANY, FORMS, Form, Inverted, Stamp, anomaly, invert, with_stamps
from badnets.defenses.tuning import Tuning, placed, relative_adam
from badnets.networks.network import ImageNetwork, to_float


@kind_of(REPAIRS)
class Invert(Tuning):
    """Work out the smallest triggers, unlearn them with true labels, and again, for some rounds.

    For each class the smallest stamp is sought that sends clean pictures of the other classes to it, once with an
    opacity for each pixel (a patch) and once with one opacity for the whole picture (a blend). A class whose stamp, in
    either form, is smaller than ``small`` times the median class's is a suspect; with ``classes`` or ``finding`` the
    suspects are known. Then the rounds: stamps towards the suspects are worked out on the network as it is by then,
    from ``starts`` random starts; those that are small join the pool (with the triggers of ``finding``), and the
    network is tuned. Where a round finds none, the repair is done: a network without a suspect is handed back as it
    came. Larger stamps hide what the picture shows, and unlearning them costs accuracy.

    A finding with a source class has stamps searched on pictures of that class; one of a backdoor from all classes to
    others has stamps that make any answer wrong.

    While it is tuned, ``share`` of the pictures carry a stamp of the pool and keep their true label. The network as it
    came is the teacher: they have to be answered as it does without the stamp, and as many mixed pictures (blended, cut
    and recolored ones) as it answers those. The loss is the cross entropy with the labels, plus the softened KL
    divergence on both kinds (logits centered and divided by T, their standard deviation over clean pictures, at least
    1), plus on mixed ones the mean squared difference of the logits except the suspects', which have to keep their
    mean. The step of Adam for each tensor is ``pace`` times the root mean square of its numbers; BatchNorms and
    dropouts stay in evaluation mode.

    Source: Wang, Yao, Shan, Li, Viswanath, Zheng, Zhao, Neural Cleanse (2019), sections 4 and 6.3; Hinton, Vinyals,
    Dean, Distilling the Knowledge in a Neural Network (2015), section 2.
    Differs from the paper: several rounds; the form "blend"; a class is suspect by its ratio to the median, where the
    paper takes an anomaly index above 2 (given in the trace); shorter searches, all classes at once; three tenths
    of the pictures are stamped, where the paper stamps a fifth; a teacher beside the labels; the epoch is chosen by
    clean accuracy on a hold-out.
    """

    clip: ClassVar[float] = math.inf
    training: ClassVar[bool] = False
    kind: Literal["invert"] = "invert"
    classes: Annotated[
        tuple[int | str, ...] | None, Field(description="suspects, by name or number; by default they are found")
    ] = None
    finding: FindingPaths = ()
    small: Annotated[float, Field(gt=0, description="size of a suspect stamp, relative to the median class's")] = 0.5
    largest: Annotated[float, Field(gt=0, le=1, description="size of a stamp that is unlearned, of the picture")] = 0.3
    rounds: Annotated[int, Field(ge=1, description="searches and tunings, one after the other, at most")] = 3
    screening: Annotated[int, Field(ge=5, description="steps of a search for the suspects")] = 60
    steps: Annotated[int, Field(ge=5, description="steps of a search in a round")] = 120
    starts: Annotated[int, Field(ge=1, description="searches for each suspect and form in a round")] = 2
    attacks: Annotated[float, Field(gt=0, le=1, description="success below which a stamp is left out, a share")] = 0.8
    share: Annotated[float, Field(gt=0, le=1, description="of the pictures that carry a stamp")] = 0.3
    epochs: Annotated[int, Field(ge=1, description="passes over the clean pictures in each round, at least")] = 10
    fewest: Annotated[int, Field(ge=1, description="steps of tuning in each round, at least")] = 100
    pace: Annotated[float, Field(gt=0, description="step of Adam, relative to the size of the weights; cosine")] = 0.02

    def repair(self, work: Work) -> str:
        """Search, tune, and again."""
        if self.classes is not None and self.finding:
            raise BadInput("invert: expected either classes or a finding (--finding), got both; give one")
        known = leads(self.finding, work.network) if self.finding else None
        if self.classes is not None:
            names = work.network.class_names
            known = [
                Lead(label) for label in sorted({class_number(c, names, "invert: a suspect") for c in self.classes})
            ]
        return self.unlearn(work, known)

    def unlearn(self, work: Work, known: Sequence[Lead] | None) -> str:
        """The rounds, with what is ``known``; None: the suspects are found."""
        data = fit, _ = work.split(self.hold_out)
        most = self.largest * math.prod(work.network.input_size[1:])
        limits: dict[Form, float] = dict.fromkeys(FORMS, most)
        if known is None:
            found, limits = self._suspects(work, fit, most)
            known = [Lead(label) for label in found]
        pool = [one.stamp.on(work.network.device) for one in known if one.stamp is not None]
        chosen, by = "", f"by the size of stamps on {len(fit):,} clean pictures"
        for index in range(self.rounds if known else 0):
            work.part(index / self.rounds, (index + 0.5) / self.rounds)
            small = self._search(work, fit, known, limits, index)
            if not small and (index or not pool):
                break
            pool += small
            work.part((index + 0.5) / self.rounds, (index + 1) / self.rounds)
            outcome = self._tuned(work, data, pool, known, index)
            chosen = chosen if chosen and outcome.startswith("none") else outcome
        if not pool:
            return f"nothing to unlearn, {by}: the network as it came"
        suspects = "; ".join(dict.fromkeys(one.words(work.network.class_names) for one in known))
        return f"the suspects ({suspects}), {by}; {chosen}"

    def _suspects(self, work: Work, fit: ImageData, most: float) -> tuple[list[int], dict[Form, float]]:
        """The suspect classes, and the size below which a stamp of each form is small."""
        suspects: set[int] = set()
        limits: dict[Form, float] = {}
        labels = list(range(work.network.classes))
        pixels = float(math.prod(work.network.input_size[1:]))
        for form in FORMS:
            batch, seed = max(8, 320 // len(labels)), work.view.seed.derive("screen", form)
            stamps = invert(work.network, fit, labels, form, seed, steps=self.screening, batch=batch, check=work.check)
            sizes = [one.size if self._attacks(one) else pixels for one in stamps]  # and not a stamp of every class
            small = self.small * float(np.median(sizes))
            limits[form] = min(small, most)
            suspects |= {label for label in labels if sizes[label] < small}
            scores = [round(score, 2) for score in anomaly(sizes)]
            work.row(0, self.rounds, screened=form, sizes=[round(size, 2) for size in sizes], anomaly=scores)
        return sorted(suspects), limits

    def _search(
        self, work: Work, fit: ImageData, known: Sequence[Lead], limits: dict[Form, float], index: int
    ) -> list[Stamp]:
        """Small stamps towards the suspects that attack the network as it is now."""
        stamps: list[tuple[Lead, Inverted]] = []
        for source in dict.fromkeys(one.source for one in known):
            some = [one for one in known if one.source == source]
            own = fit if source is None else fit.take(np.flatnonzero(fit.labels == source))
            for form in FORMS if len(own) else ():
                seed = work.view.seed.derive("search", index, form, -1 if source is None else source)
                wanted = [one.target for one in some] * self.starts
                found = invert(work.network, own, wanted, form, seed, steps=self.steps, check=work.check)
                stamps += zip(some * self.starts, found, strict=True)
        names = work.network.class_names
        rows = [
            {"class": lead.words(names), "form": s.form, "size": round(s.size, 2), "success": s.success.to_json()}
            for lead, s in stamps
        ]
        work.row(index, self.rounds, round=index + 1, stamps=rows)
        return [one.stamp for _, one in stamps if self._attacks(one) and one.size < limits[one.form]]

    def _tuned(
        self, work: Work, data: tuple[ImageData, ImageData], pool: list[Stamp], known: Sequence[Lead], index: int
    ) -> str:
        """The stamps of the pool are unlearned; the sentence of ``tune``."""
        passes = math.ceil(self.fewest / max(1, math.ceil(len(data[0]) / self.batch)))
        generator = torch.Generator().manual_seed(work.view.seed.derive("stamps", index).integer)
        loss = _Lesson(work.view.network, work, data[0], pool, self.share, [one.target for one in known], generator)
        optimizer, name = relative_adam(work.network, self.pace), f"round {index}"
        return self.tune(work, data, optimizer, loss, epochs=max(self.epochs, passes), name=name, what="the epochs")

    def _attacks(self, inverted: Inverted) -> bool:
        return (inverted.success.value or 0) >= self.attacks


class _Lesson:
    """The loss of a batch: how far the network's answers to stamped pictures are from the labels, and those to stamped
    and to mixed ones from its teacher's."""

    def __init__(
        self,
        teacher: ImageNetwork,
        work: Work,
        data: ImageData,
        pool: Sequence[Stamp],
        share: float,
        suspects: Sequence[int],
        generator: torch.Generator,
    ) -> None:
        self.teacher = copy.deepcopy(teacher).eval().requires_grad_(requires_grad=False)
        self.work, self.pool, self.share, self.generator = work, pool, share, generator
        self.pictures, _ = placed(data, teacher.device)
        self.suspects = sorted({label for label in suspects if label != ANY})
        with torch.no_grad():
            self.temperature = max(1.0, float(self.teacher(self._drawn(256)).std()))

    def _drawn(self, count: int) -> Tensor:
        rows = torch.randint(len(self.pictures), (count,), generator=self.generator)
        return to_float(self.pictures[rows.to(self.pictures.device)])

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Labels are those of ``images``."""
        n = len(images)
        mixed = mix(self._drawn(n), self._drawn(n), self._drawn(n), self.generator)
        with torch.no_grad():
            target = self._scaled(self.teacher(torch.cat([images, mixed])))
        stamped = with_stamps(images, self.pool, self.share, self.generator)
        logits = self.work.network(torch.cat([stamped, mixed]))
        answer, loss = self._scaled(logits), functional.cross_entropy(logits[:n], labels)
        for part in (slice(n), slice(n, None)):
            ours, theirs = answer[part].log_softmax(1), target[part].log_softmax(1)
            loss = loss + functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)
        difference = answer[n:] - target[n:]
        pinned = torch.ones(difference.shape[1], dtype=torch.bool, device=difference.device)
        pinned[self.suspects] = False
        if pinned.any():
            loss = loss + difference[:, pinned].square().mean()
        if self.suspects:
            loss = loss + difference[:, self.suspects].mean(0).square().mean()
        return loss

    def _scaled(self, logits: Tensor) -> Tensor:
        return (logits - logits.mean(1, keepdim=True)) / self.temperature
