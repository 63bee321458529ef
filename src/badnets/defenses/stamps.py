"""Stamps: triggers as a mask and a pattern; how they are read, searched for in a network, and put on pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
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
from badnets.data.images import ImageData, Pixels
from badnets.data.overlay import grey
from badnets.defenses.tuning import Loss, draw
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
ANY = -1
"""The target of a stamp that may send a picture to any class but its own."""


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
    c = input_size[0]
    try:
        if path.suffix.lower() == ".npz" and path.stat():
            file = NpzFile(path, map_above=MAP_ABOVE)
            mask, pattern = _unit(file.array("mask")), _unit(file.array("pattern"))
        else:
            mask, pattern = _of_picture(decode_stamp(read_bytes(path, MEMBER, "a trigger"), path), c)
    except FileNotFoundError:
        raise BadInput(f"unlearn: expected a trigger at {path}, got nothing; check the path") from None
    except KeyError:
        raise BadInput(f"{path}: expected arrays named mask and pattern, got others; name them so") from None
    except DAMAGED as error:
        got = brief(error)
        raise BadInput(f"expected a picture or .npz with a trigger in {path}, got something else ({got})") from None
    return _fitting(mask, pattern, input_size, path)


def stamp_of_picture(content: bytes, input_size: tuple[int, int, int], where: object) -> Stamp:
    """The trigger in a picture's bytes, whose alpha is the mask; errors as those of ``read_stamp``."""
    try:
        mask, pattern = _of_picture(decode_stamp(content, where), input_size[0])
    except DAMAGED as error:
        raise BadInput(
            f"{where}: expected a picture of a trigger, got something else ({brief(error)}); it may be damaged"
        ) from None
    return _fitting(mask, pattern, input_size, where)


def _of_picture(picture: Pixels, channels: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    color = grey(picture[None, ..., :3])[0] if channels == 1 else picture[..., :3]
    return _unit(picture[..., 3]), _unit(color)


def _fitting(
    mask: NDArray[np.float32], pattern: NDArray[np.float32], input_size: tuple[int, int, int], where: object
) -> Stamp:
    c, h, w = input_size
    pattern = pattern[..., None] if pattern.ndim == 2 else pattern
    if mask.shape != (h, w) or pattern.shape != (h, w, c):
        got = f"{'x'.join(map(str, mask.shape))} and {'x'.join(map(str, pattern.shape))}"
        raise BadInput(f"{where}: expected a mask of {h}x{w} and a pattern of {h}x{w}x{c}, got {got}; resize it")
    if not (mask.min() >= 0 and mask.max() <= 1 and pattern.min() >= 0 and pattern.max() <= 1):
        raise BadInput(f"{where}: expected mask and pattern in 0..1 or as bytes, got other values; scale them")
    return Stamp(torch.from_numpy(mask)[None], torch.from_numpy(pattern).permute(2, 0, 1).contiguous())


def _unit(values: NDArray[np.generic]) -> NDArray[np.float32]:
    return values.astype(np.float32) / np.float32(255 if values.dtype == np.uint8 else 1)


@dataclass(frozen=True, eq=False)
class Inverted:
    """A stamp towards class ``target``, or ``ANY``; ``size`` is the sum of its mask, in pixels, and ``success`` the
    share of the other classes' clean pictures that it sends there."""

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
        for index, (images, labels) in enumerate(draw(data, batch, steps, seed.derive("pictures"), network.device)):
            check()
            search.step(images, labels)
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

    def step(self, images: Tensor, labels: Tensor) -> None:
        """Gradients of each target's own loss, its hits and its mask's size; all targets in one pass."""
        k, (_, h, w) = len(self.targets), self.network.input_size
        mask, pattern = _squashed(self.masks), _squashed(self.patterns)
        stamped = ((1 - mask[:, None]) * images + mask[:, None] * pattern[:, None]).flatten(0, 1)
        logits = self.network(stamped.contiguous(memory_format=torch.channels_last))
        answers = self.targets.repeat_interleave(len(images))
        losses = towards(logits, answers, labels.repeat(k)).view(k, -1).mean(1)
        sizes = mask.expand(-1, 1, h, w).sum((1, 2, 3))
        total = (losses + self.weights * sizes).sum()
        self.masks.grad, self.patterns.grad = torch.autograd.grad(total, [self.masks, self.patterns])
        self.hits += obeyed(logits.argmax(1), answers, labels.repeat(k)).view(k, -1).float().mean(1)
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


def towards(logits: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    """The loss (n,) of logits (n, classes) towards ``targets`` (n,): their cross entropy; for ``ANY`` that of "not the
    label"."""
    chances = logits.log_softmax(1)
    wanted = chances.gather(1, targets.clamp_min(0)[:, None])[:, 0]
    others = chances.scatter(1, labels[:, None], -math.inf).logsumexp(1)
    return -torch.where(targets == ANY, others, wanted)


def obeyed(answers: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    """Whether each answer is the target, or for ``ANY`` is not the label."""
    return torch.where(targets == ANY, answers != labels, answers == targets)


@torch.inference_mode()
def stamp_success(network: ImageNetwork, data: ImageData, target: int, stamp: Stamp) -> Rate:
    """The share of the pictures of other classes that ``stamp`` sends to ``target``; for ``ANY`` the share of those
    that are answered as labelled and with the stamp are not."""
    others = data.take(np.flatnonzero(data.labels != target))
    hits: list[NDArray[np.bool_]] = []
    for rows, images in others.batches(1000):
        clean, labels = network.floats(images), others.labels[rows]
        answers = network(stamp.apply(clean)).argmax(1).cpu().numpy()
        if target == ANY:
            right = network(clean).argmax(1).cpu().numpy() == labels
            hits.append((answers != labels)[right])
        else:
            hits.append(answers == target)
    return Rate.of(np.concatenate(hits)) if hits else Rate(0, 0)


def anomaly(sizes: Sequence[float]) -> list[float]:
    """How much smaller each size is than the median, in median absolute deviations times 1.4826 (above 2: suspect).

    Sizes above the median give negative numbers. Source: Neural Cleanse, section 4.2.
    """
    values = np.asarray(sizes, float)
    median = np.median(values)
    deviation = 1.4826 * np.median(np.abs(values - median))
    return [float((median - value) / deviation) if deviation else 0.0 for value in values]
