"""Unlearning of triggers that are worked out from the network itself."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.core.errors import BadInput, nearest
from badnets.data.images import ImageData
from badnets.defenses.inversion import Form, Inverted, Stamp, anomaly, invert
from badnets.defenses.registry import REPAIRS
from badnets.defenses.repair import Work
from badnets.defenses.repairs.unlearn import stamped_step
from badnets.defenses.tuning import Tuning, sgd

FORMS: tuple[Form, ...] = ("patch", "blend")


@REPAIRS.add
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Invert(Tuning):
    """Work out the smallest triggers, unlearn them with true labels, and again, for some rounds.

    For each class the smallest stamp is sought that sends clean pictures of the other classes to it, once with an
    opacity for each pixel (a patch) and once with one opacity for the whole picture (a blend). A class whose stamp, in
    either form, is smaller than ``small`` times the median class's is a suspect. Its stamps join the pool, and the
    network is tuned on clean pictures, ``share`` of which carry a stamp of the pool and keep their true label. In each
    further round stamps towards the suspects are worked out on the network as it is by then, from ``starts`` random
    starts; those that are small join the pool. Where a round finds none, the repair is done: a network without a
    suspect is handed back as it came. Larger stamps hide what the picture shows, and unlearning them costs accuracy.

    Source: Wang, Yao, Shan, Li, Viswanath, Zheng, Zhao, Neural Cleanse (2019), sections 4 and 6.3.
    Differs from the paper: several rounds; the form "blend"; a class is suspect by its ratio to the median, where the
    paper takes an anomaly index above 2 (given in the trace); shorter searches, all classes at once; half of the
    pictures are stamped, where the paper stamps a fifth; the epoch is chosen by clean accuracy on a hold-out.
    """

    kind: Literal["invert"] = "invert"
    classes: Annotated[
        tuple[int | str, ...] | None, Field(description="suspects, by name or number; by default they are found")
    ] = None
    small: Annotated[float, Field(gt=0, description="size of a suspect stamp, relative to the median class's")] = 0.5
    rounds: Annotated[int, Field(ge=1, description="searches and tunings, one after the other, at most")] = 3
    steps: Annotated[int, Field(ge=5, description="of a search")] = 60
    starts: Annotated[int, Field(ge=1, description="searches for each suspect and form in a round")] = 2
    attacks: Annotated[float, Field(gt=0, le=1, description="success below which a stamp is left out, a share")] = 0.8
    share: Annotated[float, Field(gt=0, le=1, description="of the pictures that carry a stamp")] = 0.5
    epochs: Annotated[int, Field(ge=1, description="passes over the clean pictures in each round")] = 8
    learning_rate: Annotated[float, Field(gt=0, description="of SGD with momentum 0.9")] = 0.003

    def repair(self, work: Work) -> str:
        """Search, tune, and again."""
        data = fit, _ = work.split(self.hold_out)
        suspects, limits = self._suspects(work, fit)
        pool: list[Stamp] = []
        chosen = ""
        for index in range(self.rounds if suspects else 0):
            found = self._search(work, fit, suspects, limits, index)
            if not found:
                break
            pool += found
            optimizer = sgd(work.network, self.learning_rate, decay=5e-4)
            generator = torch.Generator().manual_seed(work.view.seed.derive("stamps", index).integer)
            step = stamped_step(work.network, optimizer, pool, self.share, generator)
            name, what = f"round {index}", "the epochs"
            told = self.tune(work, step, data, optimizer, epochs=self.epochs, name=name, what=what)
            chosen = chosen if chosen and told.startswith("none") else told
        if not pool:
            return f"nothing to unlearn, by the size of stamps on {len(fit):,} clean pictures: the network as it came"
        names = ", ".join(work.network.class_names[target] for target in suspects)
        return f"the suspects ({names}), by the size of stamps on {len(fit):,} clean pictures; {chosen}"

    def _suspects(self, work: Work, fit: ImageData) -> tuple[list[int], dict[Form, float]]:
        """The suspect classes, and the size below which a stamp of each form is small."""
        if self.classes is not None:
            named = sorted({_class_number(name, work.network.class_names) for name in self.classes})
            return named, dict.fromkeys(FORMS, math.inf)
        suspects: set[int] = set()
        limits: dict[Form, float] = {}
        targets = list(range(work.network.classes))
        pixels = float(math.prod(work.network.input_size[1:]))
        for form in FORMS:
            batch, seed = max(8, 320 // len(targets)), work.view.seed.derive("screen", form)
            found = invert(work.network, fit, targets, form, seed, steps=self.steps, batch=batch, check=work.check)
            sizes = [one.size if self._attacks(one) else pixels for one in found]  # and not a stamp of every class
            limits[form] = self.small * float(np.median(sizes))
            suspects |= {target for target in targets if sizes[target] < limits[form]}
            scores = [round(score, 2) for score in anomaly(sizes)]
            work.row(0, self.rounds, screened=form, sizes=[round(size, 2) for size in sizes], anomaly=scores)
        return sorted(suspects), limits

    def _search(
        self, work: Work, fit: ImageData, suspects: list[int], limits: dict[Form, float], index: int
    ) -> list[Stamp]:
        """Small stamps towards the suspects that attack the network as it is now."""
        found: list[Inverted] = []
        for form in FORMS:
            seed = work.view.seed.derive("search", index, form)
            found += invert(work.network, fit, suspects * self.starts, form, seed, steps=self.steps, check=work.check)
        rows = [
            {
                "class": work.network.class_names[one.target],
                "form": one.form,
                "size": round(one.size, 2),
                "success": one.success.to_json(),
            }
            for one in found
        ]
        work.row(index, self.rounds, round=index + 1, stamps=rows)
        return [one.stamp for one in found if self._attacks(one) and one.size < limits[one.form]]

    def _attacks(self, found: Inverted) -> bool:
        return (found.success.value or 0) >= self.attacks


def _class_number(name: int | str, known: tuple[str, ...]) -> int:
    if isinstance(name, str) and name in known:
        return known.index(name)
    number = int(name) if isinstance(name, int) or name.isdecimal() else -1
    if not 0 <= number < len(known):
        hint = nearest(str(name), known)
        raise BadInput(f"invert: expected one of the network's {len(known)} classes, got {name!r}; {hint}")
    return number
