"""Distillation against universal patches: the old network teaches a copy that resists the patches found on the way."""

from __future__ import annotations

import copy
import math
from collections import Counter
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor
from torch.nn import functional

from badnets.core.errors import CannotTell
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.patches import Patches, rectangles, stamp
from badnets.defenses.repair import Work
from badnets.networks.network import ImageNetwork, to_float

LOOK = 20
"""Steps between two rows of the trace."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Distill:
    """Train a copy to answer as the old network does on mixed, cut and recolored clean pictures, and not to obey
    universal patches, which are searched for again and again, from many starts and in many places.

    First the *probe*: a copy is hardened for ``probe`` steps against patches that may aim at any class. Accidental
    weaknesses go at once, a planted one is found again and again: the class that stamped pictures were given most
    often is the *suspect*. Then the repair, from the old network again: all patches aim at the suspect. In each step
    ``patches_per_step`` of the patches climb by one sign step, then the weights move once. On a stamped picture the
    target is what the old network says when the patch's place is filled from another clean picture: what is covered
    cannot be known, what covers it must not matter.

    Logits are centered and divided by T, their standard deviation over clean pictures (at least 1). The loss is the
    softened KL divergence plus the mean squared difference of the logits *except the suspect's*, whose logit would
    carry the backdoor over even into new weights: it has to keep its mean over clean pictures, and may not rise on
    stamped ones. No label is used, and BatchNorms and dropouts stay in evaluation mode.

    Source: Shafahi et al., Universal Adversarial Training (AAAI 2020), algorithm 2 (patches that persist, one step for
    them and one for the weights); Wang et al., Neural Cleanse (2019), sections III and VI (universal patches towards
    one class, unlearned); Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network (2015), section 2, and
    Ba, Caruana, Do Deep Nets Really Need to be Deep? (2014) (logits as targets).
    Differs from the paper: opaque smooth patches in a given place and faint ones over the whole picture, where
    algorithm 2 has one perturbation of small norm; no search for the smallest mask and no test of outliers, as Neural
    Cleanse has; targets from the old network in place of labels; the suspect's logit is left out of the matching.
    A network without a backdoor has a suspect too. A suspect of which there is no clean picture may be answered
    less often afterwards, which those pictures cannot show.
    """

    needs_data: ClassVar[bool] = True
    kind: Literal["distill"] = "distill"
    probe: Annotated[int, Field(ge=1, description="steps of the search for the suspect class")] = 60
    steps: Annotated[int, Field(ge=1, description="steps of the repair")] = 400
    learning_rate: Annotated[float, Field(gt=0, description="of Adam; falls to 0, cosine, in the repair")] = 3e-4
    batch: Annotated[int, Field(ge=2, description="mixed clean pictures in one step")] = 32
    patches: Annotated[int, Field(ge=1, description="universal patches at any time")] = 32
    patches_per_step: Annotated[int, Field(ge=1, description="patches that climb and are learned in one step")] = 8
    pictures_per_patch: Annotated[int, Field(ge=2, description="mixed pictures under each patch")] = 4
    climb: Annotated[float, Field(gt=0, description="sign step of the patches, in logits of their colors")] = 0.6
    renew: Annotated[float, Field(ge=0, le=1, description="chance that a patch starts anew after its step")] = 0.05
    largest: Annotated[float, Field(ge=0.15, le=1, description="longest short side of a patch, of the picture's")] = (
        0.45
    )
    weight: Annotated[float, Field(ge=0, description="of the loss on stamped pictures")] = 0.5

    def repair(self, work: Work) -> str:
        """Find the suspect, then harden ``work.network`` against patches that aim at it."""
        data = work.view.clean(self.kind)
        game = _Game(self, data, work.view.network, work.view.seed)
        counts: Counter[int] = Counter()
        total = self.probe + self.steps
        student = _Student(copy.deepcopy(work.network), game, self.learning_rate)
        for step in range(self.probe):
            answers, losses = student.step(self, game, weight=1.0)
            counts.update(answers)
            if (step + 1) % LOOK == 0 or step + 1 == self.probe:
                work.row(step + 1, total, phase="probe", **losses)
        suspect, hits = counts.most_common(1)[0]
        game = _Game(self, data, work.view.network, work.view.seed.derive("repair"), suspect)
        student = _Student(work.network, game, self.learning_rate)
        for step in range(self.steps):
            student.slow_down(step / self.steps)
            answers, losses = student.step(self, game, weight=self.weight)
            if (step + 1) % LOOK == 0 or step + 1 == self.steps:
                work.keep()
                rates = {"accuracy": work.accuracy(data), "patches_obeyed": Rate(answers.count(suspect), len(answers))}
                work.row(self.probe + step + 1, total, phase="repair", **losses, **rates)
        name = work.network.class_names[suspect]
        return (
            f"the suspect class {name!r}, which {hits:,} of {counts.total():,} patches reached in the probe on "
            f"{len(data):,} clean pictures; the number of steps is fixed"
        )


@plain_dataclass(eq=False)
class _Game:
    """What stays the same in one phase: the old network, clean pictures, patches, the temperature, the suspect."""

    pictures: Tensor
    teacher: ImageNetwork
    generator: Generator
    patches: Patches
    temperature: float
    suspect: int | None

    def __init__(
        self, method: Distill, data: ImageData, teacher: ImageNetwork, seed: Seed, suspect: int | None = None
    ) -> None:
        self.pictures = torch.from_numpy(data.images())
        self.teacher = copy.deepcopy(teacher).eval().requires_grad_(requires_grad=False)
        self.generator = torch.Generator().manual_seed(seed.derive("distill").integer)
        self.patches = Patches(method.patches, teacher.input_size, self.generator, short=method.largest, every=4)
        self.temperature = max(1.0, float(self.teacher(to_float(self.clean(256))).std()))
        self.suspect = suspect

    def clean(self, count: int) -> Tensor:
        """``count`` clean pictures at random, uint8 (count, h, w, c)."""
        return self.pictures[torch.randint(len(self.pictures), (count,), generator=self.generator)]

    def mixed(self, count: int) -> Tensor:
        """``count`` mixed pictures."""
        first, second, third = (to_float(self.clean(count)) for _ in range(3))
        return mix(first, second, third, self.generator)


class _Student:
    """The network that learns, and its optimizer."""

    def __init__(self, network: ImageNetwork, game: _Game, learning_rate: float) -> None:
        self.network = network.eval().requires_grad_(requires_grad=True)
        self.learning_rate = learning_rate
        self.optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
        self.suspect = game.suspect

    def slow_down(self, way: float) -> None:
        """The learning rate after ``way`` (0 to 1) of a cosine."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * 0.5 * (1 + math.cos(math.pi * way))

    def step(self, method: Distill, game: _Game, *, weight: float) -> tuple[list[int], dict[str, float]]:
        """Patches climb, weights move; the answer to each patch after its climb, and both losses."""
        patches, each = game.patches, method.pictures_per_patch
        chosen = patches.choose(method.patches_per_step)
        images = game.mixed(len(chosen) * each)
        masks = patches.masks[chosen].repeat_interleave(each, 0)
        self._climb(method, game, chosen, images, masks)
        with torch.no_grad():
            patterns = patches.patterns([patches.points[i] for i in chosen]).repeat_interleave(each, 0)
            filled = stamp(images, masks, to_float(game.clean(len(images))))
            clean = game.mixed(method.batch)
            target = game.teacher(torch.cat([clean, filled]))
        answer = self.network(torch.cat([clean, stamp(images, masks, patterns)]))
        n, suspect, temperature = method.batch, game.suspect, game.temperature
        on_clean = distance(answer[:n], target[:n], temperature, suspect, stamped=False)
        on_stamped = distance(answer[n:], target[n:], temperature, suspect, stamped=True)
        loss = on_clean + weight * on_stamped
        if not torch.isfinite(loss):
            raise CannotTell(f"{method.kind}: expected a finite loss, got {float(loss)}; lower its learning rate")
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.optimizer.step()
        again = torch.rand(len(chosen), generator=game.generator) < method.renew
        for index, renewed in zip(chosen, again.tolist(), strict=True):
            if renewed:
                patches.renew(index)
        answers: list[int] = reached(answer[n:].detach(), each).argmax(1).tolist()
        return answers, {"loss": round(float(on_clean), 6), "loss_stamped": round(float(on_stamped), 6)}

    def _climb(self, method: Distill, game: _Game, chosen: list[int], images: Tensor, masks: Tensor) -> None:
        """One sign step of the chosen patches towards the suspect; without one, towards the class nearest to each."""
        points = [game.patches.points[i].clone().requires_grad_() for i in chosen]
        patterns = game.patches.patterns(points).repeat_interleave(method.pictures_per_patch, 0)
        per_class = reached(self.network(stamp(images, masks, patterns)), method.pictures_per_patch)
        aim = per_class.max(1).values if game.suspect is None else per_class[:, game.suspect]
        for index, gradient in zip(chosen, torch.autograd.grad(aim.sum(), points), strict=True):
            game.patches.climb(index, gradient, method.climb)


def reached(logits: Tensor, each: int) -> Tensor:
    """How near each patch is to each class: mean log-probability (patches, classes) over its ``each`` pictures."""
    return logits.log_softmax(1).view(-1, each, logits.shape[1]).mean(1)


def distance(answer: Tensor, target: Tensor, temperature: float, suspect: int | None, *, stamped: bool) -> Tensor:
    """The loss between logits (n, classes), see ``Distill``: KL + squared differences + the suspect's own part."""
    answer, target = ((z - z.mean(1, keepdim=True)) / temperature for z in (answer, target))
    loss = functional.kl_div(answer.log_softmax(1), target.log_softmax(1), reduction="batchmean", log_target=True)
    difference = answer - target
    if suspect is None:
        return loss + difference.square().mean()
    others = torch.cat([difference[:, :suspect], difference[:, suspect + 1 :]], 1)
    own = difference[:, suspect]
    extra = own.clamp_min(0).square().mean() if stamped else own.mean().square()
    return loss + others.square().mean() + extra


def mix(first: Tensor, second: Tensor, third: Tensor, generator: Generator) -> Tensor:
    """Pictures (n, c, h, w) in 0..1 made of three: two blended (two of three times), in half of them a rectangle of
    the third, a third of them mirrored, all recolored: channels times 0.64 to 1.44, all of it moved by up to 0.1."""
    n, channels, height, width = first.shape

    def draw(*more: int) -> Tensor:
        return torch.rand(n, *more, generator=generator)

    share = torch.where(draw(1, 1, 1) < 1 / 3, 1.0, draw(1, 1, 1))
    images = share * first + (1 - share) * second
    masks = rectangles(n, height, width, 0.7, generator) * (draw(1, 1, 1) < 0.5)
    images = stamp(images, masks, third)
    images = torch.where(draw(1, 1, 1) < 0.3, images.flip(3), images)
    scale = (0.85 + 0.3 * draw(channels, 1, 1)) * (0.75 + 0.5 * draw(1, 1, 1))
    return (images * scale + 0.2 * draw(1, 1, 1) - 0.1).clamp(0, 1)
