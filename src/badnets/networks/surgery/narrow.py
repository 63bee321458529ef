"""Taking channels out of a network, and the layers that hold numbers for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.networks.surgery.sites import ChannelSite, find_site


def rows_of(channels: Tensor, total: int, columns: int) -> Tensor:
    """Which of ``columns`` belong to ``channels`` of ``total``, when each has a block of them (CHW order)."""
    block = columns // total
    within = torch.arange(block, device=channels.device)
    return (channels[:, None] * block + within).flatten()


def narrow(body: nn.Module, site: ChannelSite, keep: Tensor) -> None:
    """Leave only the channels ``keep`` (sorted) of a convolution, in place, in every layer that holds numbers for them.

    Raises ``BadInput`` when something other than a plain convolution or a dense layer after flattening reads them.
    """
    if site.others:
        raise BadInput(
            f"expected channels of {site.layer!r} that only convolutions and dense layers read, got "
            f"{', '.join(site.others)} too; prune them without --shrink"
        )
    _check_readers(body, site)
    total = site.channels
    convolution: Any = body.get_submodule(site.layer)
    _select(convolution, ("weight", "bias"), 0, keep)
    convolution.out_channels = len(keep)
    for tap in site.norms:
        norm: Any = body.get_submodule(tap.name)
        rows = rows_of(keep, total, norm.num_features) if tap.flat else keep
        _select(norm, ("weight", "bias", "running_mean", "running_var"), 0, rows)
        norm.num_features = len(rows)
    for tap in site.readers:
        reader: Any = body.get_submodule(tap.name)
        rows = rows_of(keep, total, reader.in_features) if tap.flat else keep
        _select(reader, ("weight",), 1, rows)
        setattr(reader, "in_features" if tap.flat else "in_channels", len(rows))


def narrow_as_recorded(body: nn.Module, narrowed: Mapping[str, int]) -> None:
    """Give each convolution in ``narrowed`` the number of channels it says; weights do not matter, only shapes.

    A convolution that has that number already is left alone. Raises ``BadInput`` for what the network does not have.
    """
    for layer, channels in narrowed.items():
        site = find_site(body, layer)
        if not 1 <= channels <= site.channels:
            raise BadInput(f"expected 1 to {site.channels} channels left of {layer!r}, got {channels}")
        if channels < site.channels:
            weight = body.get_submodule(layer).weight
            narrow(body, site, torch.arange(channels, device=weight.device))  # type: ignore[arg-type]


def _check_readers(body: nn.Module, site: ChannelSite) -> None:
    for tap in site.readers:
        reader: Any = body.get_submodule(tap.name)
        columns = reader.in_features if tap.flat else reader.in_channels
        uses = sum(node.op == "call_module" and node.target == tap.name for node in site.traced.graph.nodes)
        if uses > 1 or columns % site.channels or getattr(reader, "groups", 1) > 1:
            why = "is used twice" if uses > 1 else "is grouped"
            raise BadInput(
                f"expected channels of {site.layer!r} that plain layers read, got {tap.name!r}, which {why}; "
                "prune them without --shrink"
            )


def _select(layer: nn.Module, names: tuple[str, ...], dim: int, rows: Tensor) -> None:
    for name in names:
        old = getattr(layer, name, None)
        if old is None:
            continue
        new = old.detach().index_select(dim, rows)
        if old.ndim == 4 and not old.is_contiguous() and old.is_contiguous(memory_format=torch.channels_last):
            new = new.contiguous(memory_format=torch.channels_last)
        setattr(layer, name, nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new)
