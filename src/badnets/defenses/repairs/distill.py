"""Distillation against universal patches: the old network teaches a copy that resists the patches found on the way."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.nn import functional

from badnets.core.errors import BadInput, CannotTell
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.data.targets import class_number
from badnets.defenses.findings import FindingPaths, targets
from badnets.defenses.mixing import SHORTEST, mix, rectangles
from badnets.defenses.repair import REPAIRS, Work, kind_of, within
from badnets.defenses.stamps import Stamp
from badnets.defenses.tuning import descend
from badnets.networks.capabilities import Capability
from badnets.networks.network import ImageNetwork, to_float

LOOK = 20
"""Steps between two rows of the trace."""
GRIDS = (1, 2, 4, 8)
"""A pattern has g x g points of color and is smooth between them: things that one could wear, not noise."""
REACH = 4.0
"""Patterns are sigmoids of numbers within this: 0.018 to 0.982 of white."""
Largest = Annotated[float, Field(ge=SHORTEST, le=1, description="longest short side of a patch, of the picture's")]


@kind_of(REPAIRS)
class Distill:
    """Train a copy to answer as the old network does on mixed, cut and recolored clean pictures, and not to obey
    universal patches, which are searched for again and again, from many starts and in many places.

    First the *screening*, in which nothing is trained: random patches are laid over clean pictures. A class with a
    trigger is answered often, and its logit jumps seldom but far: classes are ranked by how many patches it is the
    nearest answer to, and by the skewness, over the patches, of its mean logit; the first by the sum of both ranks is
    the *suspect* (or the first ``suspects``). Then the repair: in each step ``patches_per_step`` patches climb towards
    a suspect by one sign step, and the weights move once. Patches start anew now and then. On a stamped picture the
    target is what the old network says when the patch's place is filled from another clean picture: what is covered
    cannot be known, what covers it must not matter.

    Logits are centered and divided by T, their standard deviation over clean pictures (at least 1). The loss is the
    softened KL divergence plus the mean squared difference of the logits *except the suspects'*, whose logits would
    carry the backdoor over even into new weights: they have to keep their mean over clean pictures, and may not rise
    on stamped ones. No label is used, and BatchNorms and dropouts stay in evaluation mode. What is handed out is the
    last of the networks, one every 20 steps, whose accuracy on the clean pictures is within ``max_drop``.

    Source: Shafahi et al., Universal Adversarial Training (AAAI 2020), algorithm 2 (patches that persist, one step for
    them and one for the weights); Wang et al., Neural Cleanse (2019), sections III and VI (universal patches towards
    one class, unlearned); Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network (2015), section 2, and
    Ba, Caruana, Do Deep Nets Really Need to be Deep? (2014) (logits as targets). The screening is our own.
    Differs from the paper: opaque smooth patches in a given place, and faint ones over the whole picture, where
    algorithm 2 has one perturbation of small norm; no search for the smallest mask and no test of outliers, as Neural
    Cleanse has; targets from the old network in place of labels; the suspects' logits are left out of the matching.
    A network without a backdoor has a suspect too. A suspect of which there is no clean picture may be answered less
    often afterwards, which the clean pictures cannot show.
    """

    needs_data: ClassVar[bool] = True
    needs: ClassVar[Capability] = Capability.GRADIENTS
    kind: Literal["distill"] = "distill"
    classes: Annotated[
        tuple[int | str, ...] | None, Field(description="suspects, by name or number; by default they are found")
    ] = None
    finding: FindingPaths = ()
    screening: Annotated[int, Field(ge=1, description="random patches to find the suspect class with")] = 2000
    suspects: Annotated[int, Field(ge=1, description="classes that the patches aim at")] = 1
    steps: Annotated[int, Field(ge=1, description="steps of the repair")] = 400
    learning_rate: Annotated[float, Field(gt=0, description="of Adam; falls to 0, cosine")] = 1e-3
    batch: Annotated[int, Field(ge=2, description="mixed clean pictures in one step")] = 32
    patches: Annotated[int, Field(ge=1, description="universal patches at any time")] = 32
    patches_per_step: Annotated[int, Field(ge=1, description="patches that climb and are learned in one step")] = 8
    pictures_per_patch: Annotated[int, Field(ge=2, description="mixed pictures under each patch")] = 4
    climb: Annotated[float, Field(gt=0, description="sign step of the patches, in logits of their colors")] = 0.6
    renew: Annotated[float, Field(ge=0, le=1, description="chance that a patch starts anew after its step")] = 0.05
    largest: Largest = 0.45
    faint: Annotated[float, Field(ge=0, le=1, description="chance that a patch covers everything, faintly")] = 0.25
    weight: Annotated[float, Field(ge=0, description="of the loss on stamped pictures")] = 0.3
    max_drop: Annotated[float, Field(ge=0, le=1, description="clean accuracy that may be lost, a share")] = 0.05

    def repair(self, work: Work) -> str:
        """Find the suspect, then harden ``work.network`` against patches that aim at it."""
        data = work.view.clean(self.kind)
        game = _Game(self, data, work.view.network, work.view.seed)
        known = self._known(work.network)
        found = known or screen(game, self.screening, self.pictures_per_patch, work.check)[: self.suspects]
        game.suspects, names = found, [work.network.class_names[index] for index in found]
        work.row(0, self.steps, phase="screening", suspects=names)
        work.network.eval()
        optimizer = torch.optim.Adam(work.network.parameters(), lr=self.learning_rate)
        before, kept = work.accuracy_before(data), 0
        for step in work.steps(range(self.steps)):
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))
            obeyed, losses = self._step(work.network, optimizer, game)
            if (step + 1) % LOOK == 0 or step + 1 == self.steps:
                rate = work.accuracy(data)
                if within(before, rate, self.max_drop, pictures=1):
                    work.keep()
                    kept = step + 1
                work.row(step + 1, self.steps, phase="repair", **losses, accuracy=rate, patches_obeyed=obeyed)
        work.restore()
        drop, end = f"more than {100 * self.max_drop:g} points of accuracy on them", "the number of steps is fixed"
        if kept < self.steps:
            end = f"the first {kept} steps, for later ones cost {drop}"
        if not kept:
            end = f"all steps cost {drop}: the network as it came"
        by = f", by the answers to {self.screening:,} random patches on {len(data):,} clean pictures"
        return f"the suspect {', '.join(map(repr, names))}{'' if known else by}; {end}"

    def _known(self, network: ImageNetwork) -> list[int]:
        """The suspects, where they are named."""
        if self.classes is not None and self.finding:
            raise BadInput("distill: expected either classes or a finding (--finding), got both; give one")
        if self.finding:
            return targets(self.finding, network, self.kind)
        names = network.class_names
        return sorted({class_number(one, names, "distill: a suspect") for one in self.classes or ()})

    def _step(
        self, network: ImageNetwork, optimizer: torch.optim.Optimizer, game: _Game
    ) -> tuple[Rate, dict[str, float]]:
        """Patches climb, weights move; how many patches reached their aim after the climb, and both losses."""
        patches, each, n = game.patches, self.pictures_per_patch, self.batch
        chosen = patches.choose(self.patches_per_step)
        suspects = [game.suspects[index % len(game.suspects)] for index in chosen]
        aims = torch.tensor(suspects, device=network.device)
        images, masks = game.mixed(len(chosen) * each), patches.masks[chosen].repeat_interleave(each, 0)
        points = [patches.points[i].clone().requires_grad_() for i in chosen]
        near = reached(network(Stamp(masks, patches.patterns(points).repeat_interleave(each, 0)).apply(images)), each)
        aimed = near.gather(1, aims[:, None]).sum()
        for index, gradient in zip(chosen, torch.autograd.grad(aimed, points), strict=True):
            patches.climb(index, gradient, self.climb)
        with torch.no_grad():
            patterns = patches.patterns([patches.points[i] for i in chosen]).repeat_interleave(each, 0)
            clean, filling = game.mixed(n), to_float(game.clean(len(images)))
            target = game.teacher(torch.cat([clean, Stamp(masks, filling).apply(images)]))
        answer = network(torch.cat([clean, Stamp(masks, patterns).apply(images)]))
        on_clean = distance(answer[:n], target[:n], game.temperature, game.suspects, stamped=False)
        on_stamped = distance(answer[n:], target[n:], game.temperature, game.suspects, stamped=True)
        loss = on_clean + self.weight * on_stamped
        if not torch.isfinite(loss):
            raise CannotTell(f"{self.kind}: expected a finite loss, got {loss.item()}; lower its learning rate")
        descend(optimizer, loss, math.inf)
        obeyed = int((reached(answer[n:].detach(), each).argmax(1) == aims).sum())
        for index in chosen:
            if float(torch.rand(1, generator=game.generator)) < self.renew:
                patches.renew(index)
        losses = {"loss": round(on_clean.item(), 6), "loss_stamped": round(on_stamped.item(), 6)}
        return Rate(obeyed, len(chosen)), losses


class _Game:
    """What stays: the old network, clean pictures, patches, the temperature, and the suspects, one of which each patch
    aims at, one after the other."""

    def __init__(self, method: Distill, data: ImageData, teacher: ImageNetwork, seed: Seed) -> None:
        self.device = teacher.device
        self.pictures = torch.from_numpy(data.images()).to(self.device)
        self.teacher = copy.deepcopy(teacher).eval().requires_grad_(requires_grad=False)
        self.generator = torch.Generator().manual_seed(seed.derive("distill").integer)
        self.patches = Patches(
            method.patches,
            teacher.input_size,
            self.generator,
            short=method.largest,
            faint=method.faint,
            device=self.device,
        )
        self.temperature = max(1.0, float(self.teacher(to_float(self.clean(256))).std()))
        self.suspects: list[int] = []

    def clean(self, count: int) -> Tensor:
        """``count`` clean pictures at random, uint8 (count, h, w, c)."""
        rows = torch.randint(len(self.pictures), (count,), generator=self.generator)
        return self.pictures[rows.to(self.device)]

    def mixed(self, count: int) -> Tensor:
        """``count`` mixed pictures."""
        first, second, third = (to_float(self.clean(count)) for _ in range(3))
        return mix(first, second, third, self.generator)


@torch.no_grad()
def screen(game: _Game, count: int, each: int, check: Callable[[], None]) -> list[int]:
    """All classes, the most suspicious first, by what the old network says under ``count`` random patches, each on
    ``each`` clean pictures; ``check`` is called before each fifty."""
    nearest, means = [], []
    for start in range(0, count, 50):
        check()
        n = min(50, count - start)
        short, shape = game.patches.short, game.patches.shape
        patches = Patches(n, shape, game.generator, short=short, faint=0, device=game.device)
        patterns = patches.patterns(patches.points).repeat_interleave(each, 0)
        masks = patches.masks.repeat_interleave(each, 0)
        logits = game.teacher(Stamp(masks, patterns).apply(to_float(game.clean(n * each))))
        nearest.append(reached(logits, each).argmax(1))
        means.append(logits.view(n, each, -1).mean(1))
    return suspicion(torch.cat(nearest), torch.cat(means))


def suspicion(nearest: Tensor, logits: Tensor) -> list[int]:
    """All classes by the sum of two ranks, smallest first: how often each is ``nearest`` (patches,), and the skewness
    over the patches of its ``logits`` (patches, classes)."""
    often = torch.bincount(nearest, minlength=logits.shape[1]).float()
    moved = logits - logits.mean(0)
    skewness = moved.pow(3).mean(0) / moved.square().mean(0).clamp_min(1e-12).pow(1.5)
    ranks = sum((values[None, :] > values[:, None]).sum(1) for values in (often, skewness))
    return torch.as_tensor(ranks).argsort(stable=True).tolist()


def reached(logits: Tensor, each: int) -> Tensor:
    """How near each patch is to each class: mean log-probability (patches, classes) over its ``each`` pictures."""
    return logits.log_softmax(1).view(-1, each, logits.shape[1]).mean(1)


def distance(answer: Tensor, target: Tensor, temperature: float, suspects: list[int], *, stamped: bool) -> Tensor:
    """The loss between logits (n, classes), see ``Distill``: KL + squared differences + the suspects' own part."""
    answer, target = ((z - z.mean(1, keepdim=True)) / temperature for z in (answer, target))
    loss = functional.kl_div(answer.log_softmax(1), target.log_softmax(1), reduction="batchmean", log_target=True)
    difference = answer - target
    risen = difference[:, suspects]
    pinned = torch.ones(difference.shape[1], dtype=torch.bool, device=difference.device)
    pinned[suspects] = False
    risen = risen.clamp_min(0) if stamped else risen.mean(0)
    return loss + risen.square().mean() + (difference[:, pinned].square().mean() if pinned.any() else 0)


class Patches:
    """``count`` patches on pictures of (c, h, w): each one opaque rectangle, or, with the chance ``faint``, the whole
    picture with an opacity of 0.1 to 0.3.

    ``short``, from 0.15 to 1, is the largest short side of a rectangle, as a share of the picture's.
    """

    def __init__(
        self,
        count: int,
        shape: tuple[int, int, int],
        generator: Generator,
        *,
        short: float,
        faint: float,
        device: torch.device | None = None,
    ) -> None:
        self.shape, self.generator, self.short, self.faint = shape, generator, short, faint
        self.points = [torch.empty(0, device=device)] * count
        self.masks = torch.zeros(count, 1, *shape[1:], device=device)
        for index in range(count):
            self.renew(index)

    def renew(self, index: int) -> None:
        """Another patch in place of ``index``: another size and place, from another start."""
        channels, height, width = self.shape
        grid = GRIDS[int(torch.randint(len(GRIDS), (1,), generator=self.generator))]
        drawn = torch.randn(1, channels, grid, grid, generator=self.generator) * 1.5
        self.points[index] = drawn.to(self.masks.device)
        if float(torch.rand(1, generator=self.generator)) < self.faint:
            mask = 0.1 + 0.2 * torch.rand(1, generator=self.generator)
        else:
            mask = rectangles(1, height, width, self.short, self.generator)[0]
        self.masks[index] = mask.to(self.masks.device)

    def choose(self, count: int) -> list[int]:
        """``count`` different patches at random."""
        return torch.randperm(len(self.points), generator=self.generator)[:count].tolist()

    def patterns(self, points: Sequence[Tensor]) -> Tensor:
        """The pictures (n, c, h, w) in 0..1 that ``points`` stand for."""
        size = self.shape[1:]
        smooth = [functional.interpolate(p, size=size, mode="bilinear", align_corners=True) for p in points]
        return torch.cat(smooth).sigmoid()

    def climb(self, index: int, gradient: Tensor, step: float) -> None:
        """A step of ``step`` along the sign of ``gradient``."""
        self.points[index] = (self.points[index] + step * gradient.sign()).clamp(-REACH, REACH)
