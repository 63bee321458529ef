"""Unlearning of triggers: of one that is known, and of those that are worked out from the network and clean pictures
alone, the least changes that send pictures to a class."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from badnets.core.cache import MAP_ABOVE
from badnets.core.errors import BadInput
from badnets.core.files import read_bytes
from badnets.core.limits import MEMBER
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.core.text import brief
from badnets.data.formats.decode import DAMAGED, decode_stamp
from badnets.data.formats.npz_file import NpzFile
from badnets.data.images import ImageData
from badnets.data.overlay import grey
from badnets.data.targets import class_number
from badnets.defenses.repair import REPAIRS, Work, kind_of
from badnets.defenses.tuning import Loss, Tuning, draw, sgd
from badnets.networks.network import ImageNetwork

Form = Literal["patch", "blend"]
"""``patch``: an opacity for each pixel; ``blend``: one opacity for the whole picture."""
FORMS: tuple[Form, ...] = ("patch", "blend")

WINDOW = 5
"""Steps over which the success is counted before the weight of the mask changes."""
ENOUGH = 0.95
"""Share of a window's pictures on which a stamp has to succeed."""
WEIGHT = 1e-3
"""Of the mask's sum in the loss, at first."""
AT_ONCE = 3 << 19
"""Numbers in the pictures of one pass, at most, whatever the number of targets: 512 pictures of 32x32 in color."""
JUDGES = 500
"""Pictures, at most, on which a stamp's success is counted in the end."""


@kind_of(REPAIRS)
class Unlearn(Tuning):
    """Train on with clean pictures, a share of which carries a given trigger and keeps its true label.

    ``trigger`` is a file: a PNG of the network's picture size, whose alpha is the mask, or an ``.npz`` with ``mask``
    (h, w) and ``pattern`` (h, w, c), as floats in 0..1 or as bytes.

    Source: Wang, Yao, Shan, Li, Viswanath, Zheng, Zhao, Neural Cleanse (2019), section 6.3 (unlearning).
    Differs from the paper: half of the pictures carry the trigger and there are up to ten passes, where the paper
    stamps a fifth and passes once; the epoch is chosen by clean accuracy on a hold-out.
    """

    clip: ClassVar[float] = math.inf
    kind: Literal["unlearn"] = "unlearn"
    trigger: Annotated[str, Field(description="PNG with alpha, or .npz with mask and pattern")]
    share: Annotated[float, Field(gt=0, le=1, description="of the pictures that carry the trigger")] = 0.5
    epochs: Annotated[int, Field(ge=1, description="passes over the clean pictures")] = 10
    learning_rate: Annotated[float, Field(gt=0, description="of SGD with momentum 0.9")] = 0.003

    def repair(self, work: Work) -> str:
        """SGD on the cross entropy with the true labels."""
        stamp = read_stamp(Path(self.trigger), work.network.input_size).on(work.network.device)
        optimizer = sgd(work.network, self.learning_rate, decay=5e-4)
        generator = torch.Generator().manual_seed(work.view.seed.derive("stamps").integer)
        loss = stamped_loss(work.network, [stamp], self.share, generator)
        return self.tune(work, work.split(self.hold_out), optimizer, loss, epochs=self.epochs)


@kind_of(REPAIRS)
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

    clip: ClassVar[float] = math.inf
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
        chosen, by = "", f"by the size of stamps on {len(fit):,} clean pictures"
        for index in range(self.rounds if suspects else 0):
            small = self._search(work, fit, suspects, limits, index)
            if not small:
                break
            pool += small
            optimizer = sgd(work.network, self.learning_rate, decay=5e-4)
            generator = torch.Generator().manual_seed(work.view.seed.derive("stamps", index).integer)
            loss, name = stamped_loss(work.network, pool, self.share, generator), f"round {index}"
            outcome = self.tune(work, data, optimizer, loss, epochs=self.epochs, name=name, what="the epochs")
            chosen = chosen if chosen and outcome.startswith("none") else outcome
        if not pool:
            return f"nothing to unlearn, {by}: the network as it came"
        return f"the suspects ({', '.join(work.network.class_names[target] for target in suspects)}), {by}; {chosen}"

    def _suspects(self, work: Work, fit: ImageData) -> tuple[list[int], dict[Form, float]]:
        """The suspect classes, and the size below which a stamp of each form is small."""
        if self.classes is not None:
            known = work.network.class_names
            named = sorted({class_number(name, known, "unlearn: a suspect") for name in self.classes})
            return named, dict.fromkeys(FORMS, math.inf)
        suspects: set[int] = set()
        limits: dict[Form, float] = {}
        targets = list(range(work.network.classes))
        pixels = float(math.prod(work.network.input_size[1:]))
        for form in FORMS:
            batch, seed = max(8, 320 // len(targets)), work.view.seed.derive("screen", form)
            stamps = invert(work.network, fit, targets, form, seed, steps=self.steps, batch=batch, check=work.check)
            sizes = [one.size if self._attacks(one) else pixels for one in stamps]  # and not a stamp of every class
            limits[form] = self.small * float(np.median(sizes))
            suspects |= {target for target in targets if sizes[target] < limits[form]}
            scores = [round(score, 2) for score in anomaly(sizes)]
            work.row(0, self.rounds, screened=form, sizes=[round(size, 2) for size in sizes], anomaly=scores)
        return sorted(suspects), limits

    def _search(
        self, work: Work, fit: ImageData, suspects: list[int], limits: dict[Form, float], index: int
    ) -> list[Stamp]:
        """Small stamps towards the suspects that attack the network as it is now."""
        stamps: list[Inverted] = []
        for form in FORMS:
            seed = work.view.seed.derive("search", index, form)
            stamps += invert(work.network, fit, suspects * self.starts, form, seed, steps=self.steps, check=work.check)
        names = work.network.class_names
        rows = [
            {"class": names[s.target], "form": s.form, "size": round(s.size, 2), "success": s.success.to_json()}
            for s in stamps
        ]
        work.row(index, self.rounds, round=index + 1, stamps=rows)
        return [one.stamp for one in stamps if self._attacks(one) and one.size < limits[one.form]]

    def _attacks(self, inverted: Inverted) -> bool:
        return (inverted.success.value or 0) >= self.attacks


@dataclass(frozen=True, eq=False)
class Stamp:
    """``(1 - mask) x + mask * pattern``: ``mask`` (1, h, w) and ``pattern`` (c, h, w), both in 0..1; or n of each."""

    mask: Tensor
    pattern: Tensor

    def apply(self, images: Tensor) -> Tensor:
        """Floats (n, c, h, w) in 0..1 with the stamp."""
        return (1 - self.mask) * images + self.mask * self.pattern

    def on(self, device: torch.device) -> Stamp:
        """The same on ``device``."""
        return Stamp(self.mask.to(device), self.pattern.to(device))


def stamped_loss(network: nn.Module, stamps: Sequence[Stamp], share: float, generator: torch.Generator) -> Loss:
    """The cross entropy with true labels, where ``share`` of the pictures carry one of ``stamps`` each."""
    return lambda images, labels: functional.cross_entropy(
        network(with_stamps(images, stamps, share, generator)), labels
    )


def with_stamps(images: Tensor, stamps: Sequence[Stamp], share: float, generator: torch.Generator) -> Tensor:
    """Floats (n, c, h, w), new ones: the first ``share`` of them, rounded, carry one of ``stamps`` each, at random."""
    count = round(share * len(images))
    if not count:
        return images.clone()
    which = torch.randint(len(stamps), (count,), generator=generator).to(images.device)
    masks, patterns = torch.stack([s.mask for s in stamps]), torch.stack([s.pattern for s in stamps])
    return torch.cat([Stamp(masks[which], patterns[which]).apply(images[:count]), images[count:]])


def read_stamp(path: Path, input_size: tuple[int, int, int]) -> Stamp:
    """The trigger in a file, for pictures of ``input_size`` (c, h, w); ``BadInput`` for anything else."""
    c, h, w = input_size
    try:
        if path.suffix.lower() == ".npz" and path.stat():
            file = NpzFile(path, map_above=MAP_ABOVE)
            mask, pattern = _unit(file.array("mask")), _unit(file.array("pattern"))
        else:
            picture = decode_stamp(read_bytes(path, MEMBER, "a trigger"), path)
            mask = _unit(picture[..., 3])
            pattern = _unit(grey(picture[None, ..., :3])[0] if c == 1 else picture[..., :3])
    except FileNotFoundError:
        raise BadInput(f"unlearn: expected a trigger at {path}, got nothing; check the path") from None
    except KeyError:
        raise BadInput(f"{path}: expected arrays named mask and pattern, got others; name them so") from None
    except DAMAGED as error:
        got = brief(error)
        raise BadInput(f"expected a picture or .npz with a trigger in {path}, got something else ({got})") from None
    pattern = pattern[..., None] if pattern.ndim == 2 else pattern
    if mask.shape != (h, w) or pattern.shape != (h, w, c):
        got = f"{'x'.join(map(str, mask.shape))} and {'x'.join(map(str, pattern.shape))}"
        raise BadInput(f"{path}: expected a mask of {h}x{w} and a pattern of {h}x{w}x{c}, got {got}; resize it")
    if not (mask.min() >= 0 and mask.max() <= 1 and pattern.min() >= 0 and pattern.max() <= 1):
        raise BadInput(f"{path}: expected mask and pattern in 0..1 or as bytes, got other values; scale them")
    return Stamp(torch.from_numpy(mask)[None], torch.from_numpy(pattern).permute(2, 0, 1).contiguous())


def _unit(values: NDArray[np.generic]) -> NDArray[np.float32]:
    return values.astype(np.float32) / np.float32(255 if values.dtype == np.uint8 else 1)


@dataclass(frozen=True, eq=False)
class Inverted:
    """A stamp towards class ``target``; ``size`` is the sum of its mask, in pixels, and ``success`` the share of the
    other classes' clean pictures that it sends there."""

    target: int
    form: Form
    stamp: Stamp
    size: float
    success: Rate


def invert(
    network: ImageNetwork,
    data: ImageData,
    targets: Sequence[int],
    form: Form,
    seed: Seed,
    *,
    steps: int = 150,
    batch: int = 32,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Inverted]:
    """For each target the smallest stamp found that sends at least ``ENOUGH`` of a window's pictures to it.

    Adam with betas 0.5 and 0.9 on mask and pattern, both behind a tanh, from random starts; the loss is the cross
    entropy towards the target plus a weight times the mask's sum. The weight starts at ``WEIGHT`` for each target on
    its own; after ``WINDOW`` steps it grows 1.5-fold where the stamp succeeded and shrinks 1.5 ** 1.5-fold where it
    did not. Where no window succeeded, the last state is given back; look at ``success``, which is counted on up to
    ``JUDGES`` pictures of ``data``, less the target's own. ``check`` is called before each step.

    Source: Wang, Yao, Shan, Li, Viswanath, Zheng, Zhao, Neural Cleanse (2019), equations 2 and 3, and the authors'
    visualizer.py.
    Differs from the paper: several targets at once (as many as ``AT_ONCE`` has room for, then the next), 150 steps in
    place of epochs, and the form ``blend``.
    """
    network.eval()
    judges = data.take(np.sort(seed.derive("judges").rng.permutation(len(data))[:JUDGES]))
    count = max(1, AT_ONCE // (math.prod(network.input_size) * min(batch, len(data))))
    for first in range(0, len(targets), count):
        some = targets[first : first + count]
        start = seed.derive("start", first) if first else seed.derive("start")
        search = _Search(network, some, form, start)
        for index, (images, _) in enumerate(draw(data, batch, steps, seed.derive("pictures"), network.device)):
            check()
            search.step(images)
            if (index + 1) % WINDOW == 0:
                search.judge()
            search.optimizer.step()
        for target, stamp in zip(some, search.stamps(), strict=True):
            check()
            success = stamp_success(network, judges, target, stamp)
            yield Inverted(target, form, stamp, float(stamp.mask.sum()), success)


class _Search:
    """Masks (k, 1, h, w) or (k, 1, 1, 1) and patterns (k, c, h, w) of k targets, behind a tanh, and the best so far."""

    def __init__(self, network: ImageNetwork, targets: Sequence[int], form: Form, seed: Seed) -> None:
        c, h, w = network.input_size
        k, generator, device = len(targets), torch.Generator().manual_seed(seed.integer), network.device
        shape = (k, 1, h, w) if form == "patch" else (k, 1, 1, 1)
        self.network = network
        self.masks = (torch.randn(shape, generator=generator) * 0.5 - 2).to(device).requires_grad_()
        self.patterns = torch.randn((k, c, h, w), generator=generator).to(device).requires_grad_()
        self.optimizer = torch.optim.Adam([self.masks, self.patterns], lr=0.1, betas=(0.5, 0.9))
        self.targets = torch.tensor(list(targets), device=device)
        self.weights, self.best = (torch.full((k,), value, device=device) for value in (WEIGHT, torch.inf))
        self.hits, self.sizes = (torch.zeros(k, device=device) for _ in range(2))
        self.kept = [self.masks.detach().clone(), self.patterns.detach().clone()]

    def step(self, images: Tensor) -> None:
        """Gradients of each target's own loss, its hits and its mask's size; all targets in one pass."""
        k, (_, h, w) = len(self.targets), self.network.input_size
        mask, pattern = _squashed(self.masks), _squashed(self.patterns)
        stamped = ((1 - mask[:, None]) * images + mask[:, None] * pattern[:, None]).flatten(0, 1)
        logits = self.network(stamped.contiguous(memory_format=torch.channels_last))
        answers = self.targets.repeat_interleave(len(images))
        losses = functional.cross_entropy(logits, answers, reduction="none").view(k, -1).mean(1)
        sizes = mask.expand(-1, 1, h, w).sum((1, 2, 3))
        total = (losses + self.weights * sizes).sum()
        self.masks.grad, self.patterns.grad = torch.autograd.grad(total, [self.masks, self.patterns])
        self.hits += (logits.argmax(1) == answers).view(k, -1).float().mean(1)
        self.sizes = sizes.detach()

    def judge(self) -> None:
        """At a window's end: keep what succeeded and is smaller, and change the weights of the masks."""
        works = self.hits >= ENOUGH * WINDOW
        better = (works & (self.sizes < self.best)) | self.best.isinf()
        for kept, now in zip(self.kept, (self.masks, self.patterns), strict=True):
            kept[better] = now.detach()[better]
        self.best = torch.where(works & better, self.sizes, self.best)
        self.weights = torch.where(works, self.weights * 1.5, self.weights / 1.5**1.5)
        self.hits.zero_()

    def stamps(self) -> list[Stamp]:
        """The best of each target; the last state where none succeeded."""
        _, _, h, w = self.patterns.shape
        pairs = zip(_squashed(self.kept[0]), _squashed(self.kept[1]), strict=True)
        return [Stamp(mask.expand(1, h, w).clone(), pattern) for mask, pattern in pairs]


def _squashed(value: Tensor) -> Tensor:
    return torch.tanh(value) / 2 + 0.5


@torch.inference_mode()
def stamp_success(network: ImageNetwork, data: ImageData, target: int, stamp: Stamp) -> Rate:
    """The share of the pictures of other classes that ``stamp`` sends to ``target``."""
    others = data.take(np.flatnonzero(data.labels != target))
    batches = (stamp.apply(network.floats(images)) for _, images in others.batches(1000))
    answers = [network(images).argmax(1).cpu().numpy() for images in batches]
    return Rate.of(np.concatenate(answers) == target) if answers else Rate(0, 0)


def anomaly(sizes: Sequence[float]) -> list[float]:
    """How much smaller each size is than the median, in median absolute deviations times 1.4826 (above 2: suspect).

    Sizes above the median give negative numbers. Source: Neural Cleanse, section 4.2.
    """
    values = np.asarray(sizes, float)
    median = np.median(values)
    deviation = 1.4826 * np.median(np.abs(values - median))
    return [float((median - value) / deviation) if deviation else 0.0 for value in values]
