"""Channels of a convolution: how active they are, silencing or strengthening them for good, and taking them out.

Both sides need this: a defender prunes what clean pictures do not use, an attacker expects it. Layers are named as
inside ``network.body``; None stands for ``find_layer``'s choice.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.networks.inference import check_input
from badnets.networks.network import ImageNetwork, evaluating
from badnets.networks.surgery.graph import until
from badnets.networks.surgery.narrow import narrow, rows_of
from badnets.networks.surgery.sites import ChannelSite, convolutions, find_layer, site

__all__ = [
    "Point",
    "check_channels",
    "convolutions",
    "find_layer",
    "hold",
    "prune_channels",
    "pruned_channels",
    "rank_channels",
    "scale_channels",
    "shrink",
    "site",
]

Point = Literal["activation", "pool"]


@torch.inference_mode()
def rank_channels(
    network: ImageNetwork,
    data: ImageData,
    layer: str | None = None,
    *,
    at: Point = "activation",
    batch: int = 1000,
    on_batch: Callable[[], None] = lambda: None,
) -> NDArray[np.float64]:
    """The mean activation of each channel (C,) over the pictures of ``data`` and all positions.

    ``at`` the first activation after the convolution, or after the pooling that follows it; a layer that does both
    counts as either. ``on_batch`` is called before each batch.
    ``np.argsort(means, kind="stable")`` is the order of pruning, least active first.
    Raises ``BadInput`` without pictures, for pictures of another size, and where no pooling follows.
    """
    where = site(network, layer)
    node = where.activation if at == "activation" else where.pool
    if node is None:
        raise BadInput(f'expected a pooling after {where.layer!r}, got none; rank its channels at="activation"')
    if not len(data):
        raise BadInput(f"{data.name}: expected pictures to rank channels on, got none")
    check_input(network, data.shape, f"pictures of {data.name}")
    with evaluating(network):
        first = until(where.traced, node)
        total = torch.zeros(where.channels, dtype=torch.float64)
        positions = 0
        for _, pictures in data.batches(batch):
            on_batch()
            maps = first(network.normalized(network.floats(pictures)))
            maps = maps.reshape(len(maps), where.channels, -1)  # an activation may come after flattening
            positions += len(maps) * maps.shape[2]
            total += maps.sum((0, 2), dtype=torch.float64).cpu()
    return (total / positions).numpy()


def prune_channels(network: ImageNetwork, layer: str | None, channels: Sequence[int]) -> None:
    """Silence ``channels`` in place: whatever the picture, they are exactly zero where the next layer reads them.

    The filters, their biases, and scale and shift of every batch norm on the way become zero; a batch norm's shift
    would otherwise keep the channel alive. Running statistics and all other channels keep their bits.
    Raises ``BadInput`` for channels that are not there or named twice.
    """
    where = site(network, layer)
    check_channels(where, channels)
    silence(network, where, channels)


def hold(network: ImageNetwork, layer: str | None, channels: Sequence[int]) -> Callable[[], None]:
    """A function that silences ``channels`` of this very network again: call it after each step of an optimizer.

    Gradients, momentum and a batch norm's shift would otherwise bring pruned channels back.
    """
    where = site(network, layer)
    check_channels(where, channels)
    kept = list(channels)
    return lambda: silence(network, where, kept)


@torch.no_grad()
def silence(network: ImageNetwork, where: ChannelSite, channels: Sequence[int]) -> None:
    """``prune_channels`` where the site is known and the channels are checked."""
    index = torch.tensor(list(channels), dtype=torch.int64)
    convolution: Any = network.body.get_submodule(where.layer)
    _zero(index, convolution.weight, convolution.bias)
    for tap in where.norms:
        norm: Any = network.body.get_submodule(tap.name)
        rows = rows_of(index, where.channels, norm.num_features) if tap.flat else index
        _zero(rows, norm.weight, norm.bias)


@torch.no_grad()
def scale_channels(network: ImageNetwork, layer: str | None, channels: Sequence[int], factor: float) -> None:
    """Multiply what the next layer reads of ``channels`` by ``factor`` > 0, in place, for every picture.

    Nothing is added to the network. Scale and shift of the last batch norm that every way leads through are
    multiplied, or filter and bias of the convolution where there is none; a batch norm behind that gets ``factor``
    times its mean and shift, so that it hands the factor on. All other channels keep their bits. Where the factor is a
    power of two the new values are exact, otherwise they are rounded. It holds in evaluation mode.
    Raises ``BadInput`` for factors that are not positive, for channels that are not there or named twice, for
    activations that are not linear on either side of zero, and for batch norms that keep no statistics.
    """
    where = site(network, layer)
    check_channels(where, channels)
    if not 0 < factor < float("inf"):
        raise BadInput(f"{where.layer}: expected a factor above 0, got {factor:g}")
    if where.curved:
        raise BadInput(
            f"{where.layer}: expected ReLUs behind it, got {', '.join(where.curved)}, which does not hand a factor on; "
            "choose another layer"
        )
    index = torch.tensor(list(channels), dtype=torch.int64)
    shared = [tap for tap in where.norms if tap.shared]
    later: list[tuple[Any, Tensor]] = []
    for tap in where.norms:
        norm: Any = network.body.get_submodule(tap.name)
        if not tap.shared and norm.running_mean is None:
            raise BadInput(f"{where.layer}: expected a batch norm with statistics, got {tap.name!r} without")
        if not tap.shared:
            later.append((norm, rows_of(index, where.channels, norm.num_features) if tap.flat else index))
    first: Any = network.body.get_submodule(shared[-1].name if shared else where.layer)
    _multiply(index, factor, first.weight, first.bias)
    for norm, rows in later:
        _multiply(rows, factor, norm.running_mean, norm.bias)


def pruned_channels(network: ImageNetwork, layer: str | None = None) -> list[int]:
    """The channels that are exactly zero for every picture where the next layer reads them, in order of number."""
    where = site(network, layer)
    convolution: Any = network.body.get_submodule(where.layer)
    # A zero batch norm that every way leads through silences a channel whatever its filter is.
    dead = _zeros(where.channels, convolution.weight, convolution.bias)
    if any(tap.shared for tap in where.norms):
        dead = torch.ones_like(dead)
    for tap in where.norms:
        norm: Any = network.body.get_submodule(tap.name)
        dead &= _zeros(where.channels, norm.weight, norm.bias)
    return [int(channel) for channel in dead.nonzero()]


def shrink(network: ImageNetwork, layer: str | None = None) -> ImageNetwork:
    """A smaller network with the same answers: the channels of ``layer`` that are zero are taken out.

    It can be saved and opened like any other; ``narrowed`` says how many channels are left. Without zero channels it
    is a copy; where all are zero one stays. Raises ``BadInput`` when something other than plain convolutions and dense
    layers reads the channels (a sum in a residual network).
    """
    where = site(network, layer)
    gone = pruned_channels(network, layer)
    keep = [channel for channel in range(where.channels) if channel not in set(gone)] or [0]
    smaller = copy.deepcopy(network)
    if len(keep) < where.channels:
        weight: Any = smaller.body.get_submodule(where.layer).weight
        narrow(smaller.body, where, torch.tensor(keep, device=weight.device))
        smaller.narrowed[where.layer] = len(keep)
    return smaller


def check_channels(where: ChannelSite, channels: Sequence[int]) -> None:
    """Refuse numbers of channels that ``where`` does not have, and ones that are named twice."""
    seen: set[int] = set()
    for channel in channels:
        if not 0 <= channel < where.channels:
            raise BadInput(f"{where.layer}: expected channels from 0 to {where.channels - 1}, got {channel}")
        if channel in seen:
            raise BadInput(f"{where.layer}: expected each channel once, got {channel} twice")
        seen.add(channel)


def _zero(rows: Tensor, *values: Tensor | None) -> None:
    for value in values:
        if value is not None:
            value[rows.to(value.device)] = 0


def _multiply(rows: Tensor, factor: float, *values: Tensor | None) -> None:
    for value in values:
        if value is not None:
            value[rows.to(value.device)] *= factor


def _zeros(channels: int, *values: Tensor | None) -> Tensor:
    """Which of ``channels`` have nothing but zeros in all of ``values``."""
    flags = [(value.detach().reshape(channels, -1) == 0).all(1).cpu() for value in values if value is not None]
    return torch.stack(flags).all(0)
