"""Unlearning of triggers that are worked out from the network itself."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.core.errors import BadInput, nearest
from badnets.data.images import ImageData
from badnets.defenses.inversion import Form, Inverted, anomaly, invert
from badnets.defenses.repair import Work
from badnets.defenses.repairs.unlearn import stamped_step
from badnets.defenses.tuning import sgd, tune
from badnets.training.recipe import AugmentName

FORMS: tuple[Form, ...] = ("patch", "blend")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Invert:
    """Work out the smallest triggers, unlearn them with true labels, and again, for some rounds.

    For each class the smallest stamp is sought that sends clean pictures of the other classes to it, once with an
    opacity for each pixel (a patch) and once with one opacity for the whole picture (a blend). Classes whose stamp is
    conspicuously small in either form (anomaly index above 2) are suspects, and so is the class with the smallest
    stamp of each form. In each round stamps towards the suspects are worked out on the network as it is by then, from
    ``starts`` random starts, and join the pool; then the network is tuned on clean pictures, ``share`` of which carry a
    stamp of the pool and keep their true label. Stamps that do not attack are left out.

    Source: Wang, Yao, Shan, Li, Viswanath, Zheng, Zhao, Neural Cleanse (2019), sections 4 and 6.3.
    Differs from the paper: several rounds, each with stamps of the network as it is by then; the form "blend"; the
    smallest stamps count as suspect without being outliers; shorter searches, all classes at once; the epoch is chosen
    by clean accuracy on a hold-out.
    """

    needs_data: ClassVar[bool] = True
    kind: Literal["invert"] = "invert"
    classes: Annotated[
        tuple[int | str, ...] | None, Field(description="suspects, by name or number; by default they are found")
    ] = None
    rounds: Annotated[int, Field(ge=1, description="searches and tunings, one after the other")] = 3
    steps: Annotated[int, Field(ge=5, description="of a search")] = 60
    starts: Annotated[int, Field(ge=1, description="searches for each suspect and form in a round")] = 2
    attacks: Annotated[float, Field(gt=0, le=1, description="success below which a stamp is left out, a share")] = 0.5
    share: Annotated[float, Field(gt=0, le=1, description="of the pictures that carry a stamp")] = 0.5
    epochs: Annotated[int, Field(ge=1, description="passes over the clean pictures in each round")] = 5
    learning_rate: Annotated[float, Field(gt=0, description="of SGD with momentum 0.9")] = 0.01
    batch: Annotated[int, Field(ge=2, description="pictures in one step")] = 64
    hold_out: Annotated[float, Field(gt=0, lt=1, description="share of the pictures to stop by")] = 0.2
    augment: Annotated[tuple[AugmentName, ...], Field(description="changes of the pictures while tuning")] = ("shift",)

    def repair(self, work: Work) -> str:
        """Search, tune, and again."""
        fit, held_out = work.split(self.hold_out)
        suspects = self._suspects(work, fit)
        pool: list[Inverted] = []
        for index in range(self.rounds):
            pool += self._search(work, fit, suspects, index)
            optimizer = sgd(work.network, self.learning_rate, decay=5e-4)
            generator = torch.Generator().manual_seed(work.view.seed.derive("stamps", index).integer)
            stamps = [found.stamp for found in pool]
            step = stamped_step(work.network, optimizer, stamps, self.share if stamps else 0, generator)
            tune(
                work,
                step,
                fit,
                held_out,
                epochs=self.epochs,
                batch=self.batch,
                augment=self.augment,
                anneal=optimizer,
                name=f"round {index}",
            )
        names = ", ".join(work.network.class_names[target] for target in suspects)
        return (
            f"the suspects ({names}), by the size of stamps on {len(fit):,} clean pictures; the epochs, by accuracy on "
            f"{len(held_out):,} held-out ones"
        )

    def _suspects(self, work: Work, fit: ImageData) -> list[int]:
        if self.classes is not None:
            return sorted({_class_number(name, work.network.class_names) for name in self.classes})
        suspects: set[int] = set()
        targets = list(range(work.network.classes))
        for form in FORMS:
            batch = max(8, 320 // len(targets))
            found = invert(
                work.network, fit, targets, form, work.view.seed.derive("screen", form), steps=self.steps, batch=batch
            )
            sizes = [one.size if _attacks(one, self.attacks) else float(work.network.input_size[1] * work.network.input_size[2]) for one in found]
            scores = anomaly(sizes)
            suspects |= {target for target in targets if scores[target] > 2} | {min(targets, key=sizes.__getitem__)}
            work.row(0, self.rounds, screened=form, sizes=[round(s, 2) for s in sizes], anomaly=[round(s, 2) for s in scores])
        return sorted(suspects)

    def _search(self, work: Work, fit: ImageData, suspects: list[int], index: int) -> list[Inverted]:
        found: list[Inverted] = []
        for form in FORMS:
            seed = work.view.seed.derive("search", index, form)
            found += invert(work.network, fit, suspects * self.starts, form, seed, steps=self.steps)
        rows: list[dict[str, Any]] = [
            {"class": work.network.class_names[one.target], "form": one.form, "size": round(one.size, 2), "success": one.success.to_json()}
            for one in found
        ]
        work.row(index, self.rounds, round=index + 1, stamps=rows)
        return [one for one in found if _attacks(one, self.attacks)]


def _attacks(found: Inverted, least: float) -> bool:
    return (found.success.value or 0) >= least


def _class_number(name: int | str, known: tuple[str, ...]) -> int:
    if isinstance(name, str) and name in known:
        return known.index(name)
    if isinstance(name, int) and 0 <= name < len(known):
        return name
    if isinstance(name, str) and name.isdecimal() and int(name) < len(known):
        return int(name)
    raise BadInput(f"invert: expected one of the network's {len(known)} classes, got {name!r}; {nearest(str(name), known)}")
