"""The whole curve of pruning: what a network answers with 0, 1, 2 ... channels silenced.

What comes before the pruned channels does not change with them. So those features are computed once, and at each step
only the rest of the network runs, and only for the pictures in which the channel is active at all: for the others the
answer stays what it was. Where the channels are read by plain convolutions and dense layers, even these need not run:
what the channel added to their outputs is taken away again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional

from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.networks.inference import check_input
from badnets.networks.network import ImageNetwork
from badnets.networks.surgery.channels import check_channels, silence
from badnets.networks.surgery.graph import ChannelSite, Halves, goes_straight, layer_of, site, split

MEMORY = 2 << 30
"""Bytes of features that are kept; the features of further pictures are computed again at each step."""
_FEW = 100
_FRESH = 10  # steps after which the readers' outputs are computed anew, or rounding errors would add up
_CLOSE = 128  # roundings between two best logits that may change places when they are computed in another way


@dataclass(frozen=True, eq=False)
class SweepStep:
    """After ``number`` channels were silenced, ``channel`` the last (None at step 0): ``answers``, by the name of the
    set, the predicted class of each picture (n,) int64."""

    number: int
    channel: int | None
    answers: Mapping[str, NDArray[np.int64]]


def pruning_sweep(
    network: ImageNetwork,
    layer: str | None,
    order: Sequence[int],
    sets: Mapping[str, ImageData],
    *,
    batch: int = 1000,
    memory: int = MEMORY,
    on_batch: Callable[[], None] = lambda: None,
) -> Iterator[SweepStep]:
    """Silence the channels of ``layer`` in ``order``, one a step, and give the answers to ``sets`` after each.

    The first step is number 0, nothing silenced; there are ``len(order)`` more. Answers are those that ``predict`` with
    the same ``batch`` gives for the pruned network: where two classes are so close that rounding decides, the whole
    batch is computed as ``predict`` does it. ``network`` is not changed; whoever stops iterating has all steps until
    then. At most ``memory`` bytes of features are kept; beyond it the sweep becomes slower. ``on_batch`` is called
    before each batch of each step.
    Raises ``BadInput`` at once, not at the first step: for layers as ``site`` does, for channels that are not there or
    named twice, for pictures of another size.
    """
    work = copy.deepcopy(network).eval()
    where = site(work, layer)
    check_channels(where, order)
    if not sets:
        raise BadInput("expected a set of pictures to sweep over, got none")
    for data in sets.values():
        check_input(network, data.shape, f"pictures of {data.name}")
    halves = split(where.traced, where.cut)
    return _Sweep(work, where, halves, plain_reading(where, halves), batch, memory, on_batch).steps(list(order), sets)


@dataclass(frozen=True, eq=False)
class Reading:
    """Layers that are linear in the maps at the cut, and ``rest``, the pass from their outputs to the answer. ``rest``
    takes the outputs and then what crosses the cut besides the maps. With ``plain`` they lie in memory in the usual
    order, otherwise as the layers leave them, which may be channels last."""

    readers: Sequence[Any]
    channels: int
    rest: fx.GraphModule
    plain: bool

    def sums(self, maps: Tensor) -> list[Tensor]:
        """The readers' outputs for maps (n, c, h, w)."""
        outputs = (reader(maps.flatten(1) if isinstance(reader, nn.Linear) else maps) for reader in self.readers)
        return [self._laid(output) for output in outputs]

    def share(self, maps: Tensor, channel: int) -> list[Tensor]:
        """What ``channel`` alone, with maps (n, 1, h, w), adds to each of these outputs."""
        return [self._share(reader, maps, channel) for reader in self.readers]

    def _share(self, reader: Any, maps: Tensor, channel: int) -> Tensor:
        columns = reader.weight.shape[1] // self.channels
        weight = reader.weight[:, channel * columns : (channel + 1) * columns]
        if isinstance(reader, nn.Linear):
            return functional.linear(maps.flatten(1), weight)
        return torch.conv2d(maps, self._laid(weight), None, reader.stride, reader.padding, reader.dilation)

    def _laid(self, value: Tensor) -> Tensor:
        return value.contiguous() if self.plain else value


def plain_reading(where: ChannelSite, halves: Halves) -> Reading | None:
    """The reading of a site, or None where the channels take another way than straight into plain layers."""
    traced, names = where.traced, [tap.name for tap in where.readers]
    nodes = [node for node in traced.graph.nodes if node.op == "call_module" and str(node.target) in names]
    readers: list[Any] = [layer_of(traced, node) for node in nodes]
    straight = len(nodes) == len(names) and all(goes_straight(traced, where.cut, node) for node in nodes)
    plain = all(isinstance(r, nn.Linear) or (r.groups == 1 and r.padding_mode == "zeros") for r in readers)
    if where.others or not nodes or not straight or not plain:
        return None
    rest = split(traced, *nodes)
    # In the order in which they are handed over; a reader's other inputs would be missing there.
    if rest.across != (*nodes, *halves.across[1:]):
        return None
    # Flattening costs nothing in the usual order; but what a shortcut is added to should lie as the shortcut does.
    return Reading(readers, where.channels, rest.head, plain=len(halves.across) == 1)


@dataclass(eq=False)
class _Part:
    """One batch of one set: its rows and the answers so far. ``features`` are what crosses the cut, unless there is no
    memory for them; ``sums`` the outputs of the readers, ``age`` steps old; ``size`` the largest logit that each
    picture has had, by which rounding errors are judged."""

    data: ImageData
    rows: NDArray[np.int64]
    answers: Tensor
    size: Tensor
    features: tuple[Any, ...] | None
    sums: list[Tensor] | None = None
    age: int = 0


@dataclass(eq=False)
class _Sweep:
    network: ImageNetwork
    where: ChannelSite
    halves: Halves
    reading: Reading | None
    batch: int
    memory: int
    on_batch: Callable[[], None]

    def steps(self, order: Sequence[int], sets: Mapping[str, ImageData]) -> Iterator[SweepStep]:
        parts = {name: self._start(data) for name, data in sets.items()}
        for number, channel in enumerate([None, *order]):
            if channel is not None:
                silence(self.network, self.where, [channel])
                for part in chain.from_iterable(parts.values()):
                    self.on_batch()
                    self._advance(part, channel)
            yield SweepStep(number, channel, {name: _joined(batches) for name, batches in parts.items()})

    @torch.inference_mode()
    def _start(self, data: ImageData) -> list[_Part]:
        parts = []
        for rows, pictures in data.batches(self.batch):
            self.on_batch()
            features = self._features(pictures)
            logits = self._logits(features)
            part = _Part(data, rows, _exact(logits), logits.abs().amax(1), features)
            if self.reading is not None and _by_row(features, len(rows)):
                part.sums = self.reading.sums(features[0])
            self.memory -= sum(v.nbytes for v in (*features, *(part.sums or ())) if isinstance(v, Tensor))
            if self.memory < 0:
                part.features = part.sums = None
            parts.append(part)
        return parts

    @torch.inference_mode()
    def _advance(self, part: _Part, channel: int) -> None:
        """Bring the answers of a batch up to date, after ``channel`` was silenced."""
        if part.features is None:
            part.answers = _exact(self.halves.head(*self._features(part.data.images(part.rows))))
            return
        maps = part.features[0][:, channel : channel + 1].clone(memory_format=torch.contiguous_format)
        part.features[0][:, channel] = 0
        if not _by_row(part.features, len(part.rows)) or not all(tap.shared for tap in self.where.norms):
            part.answers = _exact(self._logits(part.features))
            return
        rows = (maps != 0).flatten(1).any(1).nonzero()[:, 0]
        if len(rows) and not _settle(part, rows, self._some(part, channel, maps, rows)):
            part.answers[rows] = _exact(self._logits(part.features))[rows]

    def _some(self, part: _Part, channel: int, maps: Tensor, rows: Tensor) -> Tensor:
        """Logits of the pictures ``rows``, up to rounding."""
        features: Any = part.features
        if self.reading is None or part.sums is None:
            return torch.as_tensor(self.halves.head(*(value.index_select(0, rows) for value in features)))
        if part.age >= _FRESH:
            part.sums, part.age = self.reading.sums(features[0]), 0
            sums = [value.index_select(0, rows) for value in part.sums]
        else:
            part.age += 1
            lost = self.reading.share(maps.index_select(0, rows), channel)
            sums = [value.index_select(0, rows).sub_(less) for value, less in zip(part.sums, lost, strict=True)]
            for value, new in zip(part.sums, sums, strict=True):
                value.index_copy_(0, rows, new)
        return torch.as_tensor(self.reading.rest(*sums, *(value.index_select(0, rows) for value in features[1:])))

    def _logits(self, features: tuple[Any, ...]) -> Tensor:
        """Those of a whole batch, from copies: the head may work in place, and the features are needed again."""
        copies = (value.clone() if isinstance(value, Tensor) else value for value in features)
        return torch.as_tensor(self.halves.head(*copies))

    def _features(self, pictures: NDArray[np.uint8]) -> tuple[Any, ...]:
        """What crosses the cut; computed for a few pictures at a time, which caches like, with the same bits."""
        floats = self.network.floats(pictures)
        some = (floats[start : start + _FEW] for start in range(0, len(floats), _FEW))
        parts = [self.halves.features(self.network.normalized(few)) for few in some]
        if len(parts) == 1:
            return tuple(parts[0])
        if all(_by_row(values, _FEW) for values in parts[:-1]):
            return tuple(torch.cat(values) for values in zip(*parts, strict=True))
        return tuple(self.halves.features(self.network.normalized(floats)))


def _by_row(values: tuple[Any, ...], rows: int) -> bool:
    """Whether each value has one row for each picture, so that some pictures can be computed without the rest."""
    return all(isinstance(value, Tensor) and len(value) == rows for value in values)


def _exact(logits: Tensor) -> Tensor:
    # The largest probability and not the largest logit, as ``predict`` has it: they differ where rounding makes a tie.
    return logits.float().softmax(1).max(1).indices


def _settle(part: _Part, rows: Tensor, logits: Tensor) -> bool:
    """Set the answers of ``rows``, unless a second class is nearer to the best than rounding can tell apart. Most
    answers are those of the step before, and to find the largest number is faster than to find where it is."""
    part.size[rows] = torch.maximum(part.size[rows], logits.abs().amax(1))
    best, answers = logits.amax(1), part.answers[rows]
    moved = (logits.gather(1, answers[:, None])[:, 0] != best).nonzero()[:, 0]
    answers[moved] = logits[moved].argmax(1)
    logits.scatter_(1, answers[:, None], -torch.inf)
    if not (best - logits.amax(1) > _CLOSE * torch.finfo(logits.dtype).eps * part.size[rows]).all():
        return False
    part.answers[rows] = answers
    return True


def _joined(parts: list[_Part]) -> NDArray[np.int64]:
    return np.concatenate([part.answers.cpu().numpy() for part in parts] or [np.zeros(0, np.int64)])
