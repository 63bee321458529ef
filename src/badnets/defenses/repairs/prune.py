"""Pruning of the channels that clean pictures hardly use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from badnets.core.errors import BadInput
from badnets.core.rate import Rate
from badnets.core.text import percent
from badnets.data.images import ImageData
from badnets.defenses.repair import REPAIRS, Work, kind_of, within
from badnets.measures.classification import accuracy
from badnets.networks.capabilities import Capability
from badnets.networks.surgery.channels import Point, check_channels, rank_channels, shrink, silence
from badnets.networks.surgery.graph import site
from badnets.networks.surgery.sweep import pruning_sweep

Layer = Annotated[str | None, Field(description="convolution; by default the last one that can be pruned")]
At = Annotated[Point, Field(description="rank after the first activation, or after the pooling that follows")]
Means = NDArray[np.float64]
Allows = Callable[[int, Rate, Rate, Rate], bool]
"""Whether step ``number`` may be pruned, from accuracy before all, after the step before, and after this step."""


@kind_of(REPAIRS)
class Prune:
    """Silence channels of a convolution one by one, least active on clean pictures first, while accuracy holds.

    Channels are ranked by their mean activation, and accuracy is taken, on all clean pictures that the defender has,
    the paper's validation set. It stops before the first step after which accuracy has fallen by more than
    ``max_drop`` (0.05 are 5 points). The trace is the whole curve, to the last channel: ``kept`` says which steps are
    in the result. With ``convention`` "published" the allowance is measured from 100 % and the step that uses it up is
    still carried out, as study C1 does it. ``channels`` asks for an exact number instead, and ``order`` for an order;
    with both no data is needed.

    Source: Liu, Dolan-Gavitt, Garg, Fine-Pruning (2018), section 3.1, and the authors' face/conv_output_prune.py.
    Differs from the paper: the batch norms behind a channel are silenced with it; the allowance is a setting; the
    authors rank after the pooling (``at`` "pool").
    """

    needs: ClassVar[Capability] = Capability.SURGERY
    kind: Literal["prune"] = "prune"
    layer: Layer = None
    at: At = "activation"
    first: Annotated[Literal["least-active", "most-active"], Field(description="which channels go first")] = (
        "least-active"
    )
    order: Annotated[tuple[int, ...] | None, Field(description="channels in the order of pruning; no ranking")] = None
    channels: Annotated[int | None, Field(ge=0, description="how many to prune, whatever it costs")] = None
    max_drop: Annotated[float, Field(ge=0, le=1, description="clean accuracy that may be lost, a share")] = 0.05
    convention: Annotated[
        Literal["before", "published"],
        Field(description="stop before the step that breaks the allowance; or C1's: after it, counted from 100 %"),
    ] = "before"
    shrink: Annotated[bool, Field(description="take the channels out: a smaller network, same answers")] = False

    @property
    def needs_data(self) -> bool:
        """Not when order and number are given."""
        return self.order is None or self.channels is None

    def repair(self, work: Work) -> str:
        """Rank, sweep, prune."""
        data = work.view.clean(self.kind) if self.needs_data else work.view.data
        where = site(work.network, self.layer)
        order, means = list(self.order or ()), np.zeros(0)
        if data is not None:
            means = rank_channels(work.network, data, where.layer, at=self.at, on_batch=work.check)
        if self.order is None:
            order = ranking(means if self.first == "least-active" else -means)
        check_channels(where, order)
        if self.channels is not None and self.channels > len(order):
            raise BadInput(f"prune: expected at most the {len(order)} channels of the order, got {self.channels}")
        if data is None:
            pruned = order[: self.channels]
            silence(work.network, where, pruned)
        else:
            pruned = sweep(work, where.layer, order, means, data, self._allows)
        if self.shrink:
            work.network = shrink(work.network, where.layer)
        what = f"{len(pruned)} channels of {where.layer}"
        if self.channels is not None or data is None:
            return f"{what}, as asked for"
        on = f"accuracy on all {len(data):,} clean pictures"
        if not pruned:
            return f"no channel: already the first would cost more than {percent(self.max_drop)} points of {on}"
        return f"{what}, by {on}"

    def _allows(self, number: int, before: Rate, last: Rate, now: Rate) -> bool:
        if self.channels is not None:
            return number <= self.channels
        if self.convention == "before":
            return within(before, now, self.max_drop)
        return within(Rate(last.total, last.total), last, self.max_drop)


def ranking(means: Means) -> list[int]:
    """Channels from the lowest mean to the highest; equal ones by number."""
    return [int(channel) for channel in np.argsort(means, kind="stable")]


def sweep(work: Work, layer: str, order: Sequence[int], means: Means, data: ImageData, allows: Allows) -> list[int]:
    """Silence ``order`` in ``work.network`` up to the first step that ``allows`` refuses; the channels silenced.

    One row for each step of the whole curve on ``data``: ``pruned`` (how many), ``channel``, ``mean_activation``,
    ``clean_accuracy``, ``kept``.
    """
    where, pruned, going = site(work.network, layer), list[int](), True
    before = last = Rate(0, 0)
    for step in pruning_sweep(work.network, layer, order, {"clean": data}, on_batch=work.check):
        channel, mean, now = step.channel, None, accuracy(step.answers["clean"], data.labels)
        if channel is None:
            before = now
        else:
            mean, going = float(means[channel]), going and allows(step.number, before, last, now)
            if going:
                silence(work.network, where, [channel])
                pruned.append(channel)
                work.keep()
        last = now
        row = {"pruned": step.number, "channel": channel, "mean_activation": mean, "clean_accuracy": now, "kept": going}
        work.row(step.number, len(order), **row)
    return pruned
