"""What one channel adds to the layers that read it, so that it can be taken away without running them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from badnets.networks.surgery.graph import Halves, layer_of, split
from badnets.networks.surgery.sites import ChannelSite, goes_straight


@dataclass(frozen=True, eq=False)
class Reading:
    """Layers that are linear in the maps at the cut, and ``rest``, the pass from their outputs to the answer.

    ``rest`` takes the outputs and then what crosses the cut besides the maps. With ``plain`` they lie
    in memory in the usual order, otherwise as the layers leave them, which may be channels last.
    """

    readers: Sequence[Any]
    channels: int
    rest: fx.GraphModule
    plain: bool

    def sums(self, maps: Tensor) -> list[Tensor]:
        """The readers' outputs for maps (n, c, h, w)."""
        outputs = (reader(maps.flatten(1) if _dense(reader) else maps) for reader in self.readers)
        return [self._laid(output) for output in outputs]

    def share(self, maps: Tensor, channel: int) -> list[Tensor]:
        """What ``channel`` alone, with maps (n, 1, h, w), adds to each of these outputs."""
        return [self._share(reader, maps, channel) for reader in self.readers]

    def _share(self, reader: Any, maps: Tensor, channel: int) -> Tensor:
        columns = reader.weight.shape[1] // self.channels
        weight = reader.weight[:, channel * columns : (channel + 1) * columns]
        if _dense(reader):
            return functional.linear(maps.flatten(1), weight)
        return torch.conv2d(maps, self._laid(weight), None, reader.stride, reader.padding, reader.dilation)

    def _laid(self, value: Tensor) -> Tensor:
        return value.contiguous() if self.plain else value


def plain_reading(where: ChannelSite, halves: Halves) -> Reading | None:
    """The reading of a site, or None where the channels take another way than straight into plain layers."""
    nodes = [node for node in where.traced.graph.nodes if node.op == "call_module"]
    names = [tap.name for tap in where.readers]
    found = [node for node in nodes if str(node.target) in names]
    readers: list[Any] = [layer_of(where.traced, node) for node in found]
    straight = len(found) == len(names) and all(goes_straight(where.traced, where.cut, node) for node in found)
    plain = all(_dense(reader) or (reader.groups == 1 and reader.padding_mode == "zeros") for reader in readers)
    if where.others or not found or not straight or not plain:
        return None
    rest = split(where.traced, *found)
    # In the order in which they are handed over; a reader's other inputs would be missing there.
    if rest.across != (*found, *halves.across[1:]):
        return None
    # Flattening costs nothing in the usual order; but what a shortcut is added to should lie as the shortcut does.
    return Reading(readers, where.channels, rest.head, plain=len(halves.across) == 1)


def _dense(reader: nn.Module) -> bool:
    return isinstance(reader, nn.Linear)
