"""Channels of a convolution: how active they are, silencing or strengthening them for good, and taking them out.

Both sides need this: a defender prunes what clean pictures do not use, an attacker expects it. Layers are named as
inside ``network.body``; None stands for the choice of ``graph.site``, which refuses what has no channels of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.networks.device import as_double
from badnets.networks.former import current
from badnets.networks.inference import check_input
from badnets.networks.network import ImageNetwork, evaluating
from badnets.networks.surgery.graph import ChannelSite, Tap, find_site, site, until

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
    """The mean activation of each channel (C,) over the pictures of ``data`` and all positions. ``at`` the first
    activation after the convolution, or after the pooling that follows it; a layer that does both counts as either.
    ``on_batch`` is called before each batch. ``np.argsort(means, kind="stable")`` is the order of pruning, least active
    first. Raises ``BadInput`` without pictures, for pictures of another size, and where no pooling follows."""
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
            total += as_double(maps).sum((0, 2)).cpu()
    return (total / positions).numpy()


def prune_channels(network: ImageNetwork, layer: str | None, channels: Sequence[int]) -> None:
    """Silence ``channels`` in place: whatever the picture, they are exactly zero where the next layer reads them. The
    filters, their biases, and scale and shift of every batch norm on the way become zero; a batch norm's shift would
    otherwise keep the channel alive. Running statistics and all other channels keep their bits. Raises ``BadInput`` for
    channels that are not there or named twice."""
    hold(network, layer, channels)()


def hold(network: ImageNetwork, layer: str | None, channels: Sequence[int]) -> Callable[[], None]:
    """A function that silences ``channels`` of this very network again: call it after each step of an optimizer.
    Gradients, momentum and a batch norm's shift would otherwise bring pruned channels back."""
    where = site(network, layer)
    check_channels(where, channels)
    kept = list(channels)
    return lambda: silence(network, where, kept)


@torch.no_grad()
def silence(network: ImageNetwork, where: ChannelSite, channels: Sequence[int]) -> None:
    """``prune_channels`` where the site is known and the channels are checked."""
    index = torch.tensor(list(channels), dtype=torch.int64)
    convolution: Any = network.body.get_submodule(where.layer)
    for layer, rows in ((convolution, index), *_norms(network.body, where, where.norms, index)):
        for value in (layer.weight, layer.bias):
            if value is not None:
                value[rows.to(value.device)] = 0


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
    later = [tap for tap in where.norms if not tap.shared]
    for tap in later:
        if network.body.get_submodule(tap.name).running_mean is None:
            raise BadInput(f"{where.layer}: expected a batch norm with statistics, got {tap.name!r} without")
    shared = [tap.name for tap in where.norms if tap.shared]
    first: Any = network.body.get_submodule(shared[-1] if shared else where.layer)
    _multiply(index, factor, first.weight, first.bias)
    for norm, rows in _norms(network.body, where, later, index):
        _multiply(rows, factor, norm.running_mean, norm.bias)


def pruned_channels(network: ImageNetwork, layer: str | None = None) -> list[int]:
    """The channels that are exactly zero for every picture where the next layer reads them, in order of number."""
    where = site(network, layer)
    names = [tap.name for tap in where.norms]
    # A zero batch norm that every way leads through silences a channel whatever its filter is.
    if not any(tap.shared for tap in where.norms):
        names.append(where.layer)
    layers: list[Any] = [network.body.get_submodule(name) for name in names]
    values = [value.detach() for held in layers for value in (held.weight, held.bias) if value is not None]
    dead = torch.stack([(value.reshape(where.channels, -1) == 0).all(1).cpu() for value in values]).all(0)
    return [int(channel) for channel in dead.nonzero()]


def shrink(network: ImageNetwork, layer: str | None = None) -> ImageNetwork:
    """A smaller network with the same answers: the channels of ``layer`` that are zero are taken out.

    It can be saved and opened like any other; ``narrowed`` says how many channels are left. Without zero channels it
    is a copy; where all are zero one stays. Raises ``BadInput`` when something other than plain convolutions and dense
    layers reads the channels (a sum in a residual network).
    """
    where = site(network, layer)
    gone = set(pruned_channels(network, layer))
    keep = [channel for channel in range(where.channels) if channel not in gone] or [0]
    smaller = copy.deepcopy(network)
    if len(keep) < where.channels:
        _narrow(smaller.body, where, keep)
        smaller.narrowed[where.layer] = len(keep)
    return smaller


def narrow_as_recorded(body: nn.Module, narrowed: Mapping[str, int]) -> None:
    """Give each convolution in ``narrowed`` the number of channels it says; weights do not matter, only shapes. A
    convolution that has that number already is left alone. Raises ``BadInput`` for what the network does not have."""
    parts = dict(body.named_modules())
    for layer, channels in narrowed.items():
        where = find_site(body, layer if layer in parts else current(layer))
        if not 1 <= channels <= where.channels:
            raise BadInput(f"expected 1 to {where.channels} channels left of {layer!r}, got {channels}")
        if channels < where.channels:
            _narrow(body, where, range(channels))


def check_channels(where: ChannelSite, channels: Sequence[int]) -> None:
    """Refuse numbers of channels that ``where`` does not have, and ones that are named twice."""
    seen: set[int] = set()
    for channel in channels:
        if not 0 <= channel < where.channels:
            raise BadInput(f"{where.layer}: expected channels from 0 to {where.channels - 1}, got {channel}")
        if channel in seen:
            raise BadInput(f"{where.layer}: expected each channel once, got {channel} twice")
        seen.add(channel)


def _narrow(body: nn.Module, where: ChannelSite, channels: Sequence[int]) -> None:
    """Leave only ``channels`` (ascending) of a convolution, in place, in every layer that holds numbers for them.
    Raises ``BadInput`` when something other than a plain convolution or a dense layer after flattening reads them."""
    if where.others:
        raise BadInput(
            f"expected channels of {where.layer!r} that only convolutions and dense layers read, got "
            f"{', '.join(where.others)} too; prune them without --shrink"
        )
    for tap in where.readers:
        reader: Any = body.get_submodule(tap.name)
        columns = reader.in_features if tap.flat else reader.in_channels
        uses = sum(node.op == "call_module" and node.target == tap.name for node in where.traced.graph.nodes)
        if uses > 1 or columns % where.channels or getattr(reader, "groups", 1) > 1:
            why = "is used twice" if uses > 1 else "is grouped"
            raise BadInput(
                f"expected channels of {where.layer!r} that plain layers read, got {tap.name!r}, which {why}; "
                "prune them without --shrink"
            )
    convolution: Any = body.get_submodule(where.layer)
    keep = torch.tensor(channels, device=convolution.weight.device)
    _select(convolution, ("weight", "bias"), 0, keep)
    convolution.out_channels = len(keep)
    for norm, rows in _norms(body, where, where.norms, keep):
        _select(norm, ("weight", "bias", "running_mean", "running_var"), 0, rows)
        norm.num_features = len(rows)
    for tap in where.readers:
        reader = body.get_submodule(tap.name)
        rows = _rows(keep, where, reader.in_features) if tap.flat else keep
        _select(reader, ("weight",), 1, rows)
        setattr(reader, "in_features" if tap.flat else "in_channels", len(rows))


def _norms(body: nn.Module, where: ChannelSite, taps: Sequence[Tap], channels: Tensor) -> Iterator[tuple[Any, Tensor]]:
    """The batch norms at ``taps``, each with the rows that it has for ``channels``."""
    for tap in taps:
        norm: Any = body.get_submodule(tap.name)
        yield norm, _rows(channels, where, norm.num_features) if tap.flat else channels


def _rows(channels: Tensor, where: ChannelSite, columns: int) -> Tensor:
    """Which of ``columns`` belong to ``channels``, when each has a block of them (CHW order)."""
    block = columns // where.channels
    within = torch.arange(block, device=channels.device)
    return (channels[:, None] * block + within).flatten()


def _multiply(rows: Tensor, factor: float, *values: Tensor | None) -> None:
    for value in values:
        if value is not None:
            value[rows.to(value.device)] *= factor


def _select(layer: nn.Module, names: tuple[str, ...], dim: int, rows: Tensor) -> None:
    for name in names:
        old = getattr(layer, name, None)
        if old is None:
            continue
        new = old.detach().index_select(dim, rows)
        if old.ndim == 4 and not old.is_contiguous() and old.is_contiguous(memory_format=torch.channels_last):
            new = new.contiguous(memory_format=torch.channels_last)
        setattr(layer, name, nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new)
