"""The end of a network: its fully connected layers, its head, and a network in which only the end learns."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from badnets.core.errors import BadInput
from badnets.core.seed import Seed
from badnets.networks.device import own_stream
from badnets.networks.network import ImageNetwork
from badnets.networks.surgery.graph import Halves, layer_of, split, trace

Layers = Literal["fc", "all"] | int
"""Which layers learn: the fully connected ones, all, or the last n that hold weights."""


def weight_layers(body: nn.Module) -> list[str]:
    """Names of the layers with a matrix or filters (not batch norms), in the order in which a picture passes them."""
    traced = trace(body)
    return list(dict.fromkeys(str(node.target) for node in traced.graph.nodes if _weighs(traced, node)))


def fully_connected(body: nn.Module) -> list[str]:
    """Names of the dense layers at the end, in order: between them and the answer there are only dense layers and what
    has no weights. ``BadInput`` if there are none."""
    dense = _dense_end(trace(body))
    if not dense:
        raise BadInput(
            "expected fully connected layers in front of the answer, got none; retrain the last ones by number "
            '(layers=1) or "all"'
        )
    return [name for name in weight_layers(body) if name in dense]


def head_of(network: ImageNetwork) -> str:
    """Name of the dense layer or convolution that gives the classes. Raises ``BadInput`` where the answer comes from
    several layers, or from one that gives another number of values."""
    last = sorted(_last_layers(trace(network.body)))
    layer: Any = network.body.get_submodule(last[0]) if len(last) == 1 else None
    if not isinstance(layer, nn.Linear | nn.Conv2d):
        got = ", ".join(last) or "none"
        raise BadInput(f"{network.architecture}: expected one layer that gives the classes, got {got}")
    width = len(layer.weight)
    if width != network.classes or network.abstains:
        raise BadInput(
            f"{network.architecture}: expected a last layer for its {network.classes} classes, "
            f"got {last[0]!r} for {width}; a network that may refuse has no head to replace"
        )
    return last[0]


def choose_layers(network: ImageNetwork, layers: Layers) -> list[str]:
    """The names that ``layers`` stands for. ``BadInput`` for other words, and for numbers that the network lacks."""
    names = weight_layers(network.body)
    if layers == "all":
        return names
    if layers == "fc":
        return fully_connected(network.body)
    if isinstance(layers, bool) or not isinstance(layers, int):
        raise BadInput(f'expected layers as "fc", "all" or a number, got {layers!r}')
    if not 1 <= layers <= len(names):
        raise BadInput(f"{network.architecture}: expected 1 to {len(names)} layers to retrain, got {layers}")
    return names[-layers:]


def begin_anew(network: ImageNetwork, names: list[str], seed: Seed) -> None:
    """Give ``names`` and the batch norms among and behind them the weights of new layers, drawn from ``seed``."""
    head = _cut(network.body, names).head
    behind = {str(node.target) for node in head.graph.nodes if node.op == "call_module"}
    home = network.device
    with own_stream(seed.integer):
        layer: Any
        for name, layer in network.body.named_modules():
            if name in names or (name in behind and isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)):
                layer.to("cpu").reset_parameters()  # drawn on the CPU, as all random numbers
                layer.to(home)


def replace_head(network: ImageNetwork, classes: tuple[str, ...], seed: Seed) -> None:
    """Put a new last layer for ``classes`` into ``network``; its weights are PyTorch's initial ones from ``seed``."""
    name = head_of(network)
    old: Any = network.body.get_submodule(name)
    with own_stream(seed.integer):
        bias = old.bias is not None
        if isinstance(old, nn.Linear):
            new: nn.Module = nn.Linear(old.in_features, len(classes), bias=bias)
        else:
            shape = (old.kernel_size, old.stride, old.padding, old.dilation, old.groups)
            new = nn.Conv2d(old.in_channels, len(classes), *shape, bias=bias)
    above, _, last = name.rpartition(".")
    setattr(network.body.get_submodule(above), last, new.to(old.weight.device, old.weight.dtype))
    network.class_names = tuple(classes)


class Tail(nn.Module):
    """A body whose first part stays as it is: in evaluation mode, without gradients; only ``head`` learns.
    ``forward(pictures)`` runs both parts; ``forward(pictures, *values)`` takes what the first part gave before. Layers
    are shared with the body that it is made of, not copied; ``names`` are those that learn."""

    def __init__(self, body: nn.Module, names: list[str]) -> None:
        super().__init__()
        halves = _cut(body, names)
        self.features, self.head = halves.features, halves.head

    def train(self, mode: bool = True) -> Tail:  # noqa: FBT002 (torch's signature)
        """The first part stays in evaluation mode."""
        super().train(mode)
        self.features.eval()
        return self

    def forward(self, pictures: Tensor, *values: Tensor) -> Tensor:
        """Logits (n, classes)."""
        if not values:
            with torch.no_grad():
                values = self.features(pictures)
        answer: Tensor = self.head(*values)
        return answer


def _cut(body: nn.Module, names: list[str]) -> Halves:
    """The pass up to the layers ``names``, and from them on."""
    traced = trace(body)
    first = (node for node in traced.graph.nodes if node.op == "call_module" and str(node.target) in names)
    return split(traced, *first, before=True)


def _weighs(traced: fx.GraphModule, node: fx.Node) -> bool:
    layer = layer_of(traced, node)
    return layer is not None and any(value.ndim > 1 for value in layer.parameters())


def _last_layers(traced: fx.GraphModule) -> set[str]:
    """The layers with weights that are met first on the ways back from the answer."""
    met: dict[fx.Node, set[str]] = {}
    for node in traced.graph.nodes:
        ways = [{str(source.target)} if _weighs(traced, source) else met[source] for source in node.all_input_nodes]
        met[node] = set[str]().union(*ways)
    return met[traced.graph.output_node()]


def _dense_end(traced: fx.GraphModule) -> set[str]:
    """The dense layers behind which only such layers follow; empty where a way back from the answer meets another layer
    with weights, or the picture, before a dense one."""
    ends: dict[fx.Node, set[str]] = {}
    for node in traced.graph.nodes:
        ways = []
        for source in node.all_input_nodes:
            dense = type(layer_of(traced, source)) is nn.Linear
            before = set[str]() if _weighs(traced, source) and not dense else ends[source]
            ways.append({str(source.target), *before} if dense else before)
        ends[node] = set[str]().union(*ways) if all(ways) else set()
    return ends[traced.graph.output_node()]
