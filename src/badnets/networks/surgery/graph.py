"""A network as a graph of operations (torch.fx): what goes where, the pass in two halves, where channels live.

Graphs hold for the evaluation mode: whatever ``forward`` asks of ``self.training`` is answered by no.

A channel is a convolution's *own* until something mixes it with others (another convolution, a dense layer, a sum).
Everything between is elementwise, a pooling or a batch norm; all of these but the batch norms turn zero into zero. So
a channel is dead for every input when its filter and those batch norms are zero. They are found in the graph: names say
nothing about what follows what.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from badnets.core.errors import BadInput, first_line
from badnets.networks.architectures.g1_cnn import ReluAvgPool2d
from badnets.networks.network import ImageNetwork, evaluating

_ACTIVATIONS = ("CELU", "ELU", "GELU", "Hardswish", "LeakyReLU", "Mish", "ReLU", "ReLU6", "SELU", "SiLU", "Softsign")
_LAYERS: dict[type[nn.Module], str] = {
    **dict.fromkeys((getattr(nn, name) for name in (*_ACTIVATIONS, "Tanh")), "activation"),
    ReluAvgPool2d: "activation",
    **dict.fromkeys((nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d), "pool"),
    **dict.fromkeys((nn.Dropout, nn.Dropout2d, nn.Identity), "pass"),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d), "norm"),
}
_FUNCTIONS: dict[str, str] = {
    **dict.fromkeys((name.lower() for name in _ACTIVATIONS), "activation"),
    **dict.fromkeys(("leaky_relu", "relu_", "tanh"), "activation"),
    **dict.fromkeys(("avg_pool2d", "max_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"), "pool"),
    **dict.fromkeys(("dropout", "contiguous"), "pass"),
    "size": "size",
}
"""The roles of what gives zero for zero and leaves channels apart, by the layer's class and by the function's name.

``pass`` hands every channel on as it is, ``size`` asks for the shape and takes no numbers. There are ``flatten``, and
``mix`` for all the rest, too.
"""
_STRAIGHT = ("ReLU", "LeakyReLU", "ReluAvgPool2d", "relu", "relu_", "leaky_relu")  # linear on either side of zero


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Torch's own layers, and ours that has no graph inside."""
        return isinstance(m, ReluAvgPool2d) or super().is_leaf_module(m, module_qualified_name)


def trace(body: nn.Module) -> fx.GraphModule:
    """The graph of ``body``'s pass, with the same layers (not copies) under the same names. Raises ``BadInput`` when
    its way depends on the numbers that go through it."""
    try:
        with evaluating(body):
            return fx.GraphModule(body, _Tracer().trace(body))
    except Exception as error:  # noqa: BLE001 (anyone's forward runs here, and may raise anything)
        raise BadInput(
            f"expected a network whose pass is the same for every picture, got {type(body).__name__}, "
            f"which torch.fx cannot follow ({first_line(error)}); use a method that needs no channels"
        ) from None


def layer_of(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The layer that ``node`` calls, or None for a function."""
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None


def until(traced: fx.GraphModule, node: fx.Node) -> fx.GraphModule:
    """The pass up to ``node``, whose value it gives back."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for earlier in traced.graph.nodes:
        copies[earlier] = graph.node_copy(earlier, copies.__getitem__)
        if earlier is node:
            break
    graph.output(copies[node])
    return fx.GraphModule(traced, graph)


@dataclass(frozen=True, eq=False)
class Halves:
    """A pass in two: ``features(pictures)`` gives a tuple of values, and ``head(*values)`` the answer. ``across`` are
    the nodes that give those values: first those at which it was cut, then whatever else the head reads, such as a
    shortcut."""

    features: fx.GraphModule
    head: fx.GraphModule
    across: tuple[fx.Node, ...]


def split(traced: fx.GraphModule, *nodes: fx.Node, before: bool = False) -> Halves:
    """Cut the pass at ``nodes``: ``head`` is everything that depends on one of them, and with ``before`` they too;
    ``features`` is all the rest."""
    cuts = () if before else nodes
    after = set(nodes)
    for node in traced.graph.nodes:
        if any(source in after for source in node.all_input_nodes):
            after.add(node)
    after -= set(cuts)
    read = {source for node in after for source in node.all_input_nodes if source not in after}
    # Parameters that the head reads by itself are no values of the pass.
    others = (n for n in traced.graph.nodes if n in read and n not in cuts and n.op != "get_attr")
    across = (*cuts, *others)
    first, second = fx.Graph(), fx.Graph()
    early: dict[fx.Node, fx.Node] = {}
    late = {node: second.placeholder(node.name) for node in across}
    for node in traced.graph.nodes:
        if node in after:
            late[node] = second.node_copy(node, late.__getitem__)
            continue
        early[node] = first.node_copy(node, early.__getitem__)
        if node in read and node.op == "get_attr":
            late[node] = second.node_copy(node, late.__getitem__)
    first.output(tuple(early[node] for node in across))
    return Halves(fx.GraphModule(traced, first), fx.GraphModule(traced, second), across)


@dataclass(frozen=True)
class Tap:
    """A layer that holds numbers for each channel: batch norm ``name`` or, among the readers, a layer that mixes.
    ``flat``: it sees each channel as a block of columns (h * w of them, in CHW order) and not as a map. ``shared``:
    every way from the convolution to the readers leads through it."""

    name: str
    flat: bool = False
    shared: bool = False


@dataclass(frozen=True, eq=False)
class ChannelSite:
    """All that concerns the channels of convolution ``layer``; names are those inside ``network.body``.

    ``activation`` is the first activation, ``pool`` the first pooling after it (None without one; the same node when
    both are one layer), ``cut`` the last node that every way leads through: there ``features`` are smallest.
    ``norms`` are the batch norms between convolution and readers, ``readers`` the convolutions and dense layers that
    mix the channels, ``others`` what else reads them (a sum, a concatenation). ``curved`` are the activations on the
    way that do not give k times the value for k times the input, as a ReLU does.
    """

    layer: str
    channels: int
    traced: fx.GraphModule
    activation: fx.Node
    pool: fx.Node | None
    cut: fx.Node
    norms: tuple[Tap, ...]
    readers: tuple[Tap, ...]
    others: tuple[str, ...]
    curved: tuple[str, ...]


def site(network: ImageNetwork, layer: str | None = None) -> ChannelSite:
    """Where the channels of ``layer`` live, by default of the last convolution whose channels can be pruned. They can
    when they are the convolution's own until an activation: the last convolution of a residual block is added to a
    shortcut before that, so zeroing it would not silence anything. Grouped convolutions, ones that are used twice and
    ones whose channels are the answer are refused too. Raises ``BadInput``, with the convolutions that can be
    pruned."""
    return find_site(network.body, layer)


def find_site(body: nn.Module, layer: str | None = None) -> ChannelSite:
    """``site`` of a bare module."""
    traced = trace(body)
    names = convolutions(traced)
    if layer is not None and layer not in names:
        there = dict(body.named_modules()).get(layer)
        got = f"{layer!r}" if there is None else f"{layer!r} ({type(there).__name__})"
        raise BadInput(f"expected a convolution of the network, got {got}; its convolutions: {', '.join(names)}")
    sites: dict[str, ChannelSite] = {}
    reasons: dict[str, str] = {}
    for name in names:
        try:
            sites[name] = _examine(traced, name)
        except BadInput as error:
            reasons[name] = str(error)
    wanted = layer or next(reversed(sites), None)
    if wanted in sites:
        return sites[wanted]
    if wanted is None:
        got = f"none: {names[-1]!r} is one {reasons[names[-1]]}"
    else:
        got = f"{wanted!r}, {reasons[wanted]}; these can be: {', '.join(sites) or 'none'}"
    raise BadInput(f"expected a convolution that can be pruned, got {got}")


def convolutions(traced: fx.GraphModule) -> list[str]:
    """Names of the convolutions that a picture passes, in that order; ``BadInput`` if there are none."""
    calls = (node for node in traced.graph.nodes if type(layer_of(traced, node)) is nn.Conv2d)
    names = list(dict.fromkeys(str(node.target) for node in calls))
    if not names:
        raise BadInput("expected a network with a convolution, got none; use a method that needs no channels")
    return names


def _examine(traced: fx.GraphModule, name: str) -> ChannelSite:
    """The site of a convolution that is in the graph; ``BadInput`` holds only the reason why it has none."""
    uses = Counter(str(node.target) for node in traced.graph.nodes if node.op == "call_module")
    start = next(node for node in traced.graph.nodes if node.op == "call_module" and node.target == name)
    convolution: Any = layer_of(traced, start)
    if uses[name] > 1:
        raise BadInput("which is used twice")
    if convolution.groups > 1:
        raise BadInput("which is grouped")
    walk = _Walk(traced, uses, _common(traced, start))
    walk.follow(start, active=False, flat=False)
    if walk.activation is None:
        raise BadInput("whose channels go nowhere")
    return ChannelSite(
        layer=name,
        channels=convolution.out_channels,
        traced=traced,
        activation=walk.activation,
        pool=walk.pool,
        cut=walk.common[-1],
        norms=tuple(walk.norms.values()),
        readers=tuple(walk.readers.values()),
        others=tuple(dict.fromkeys(walk.others)),
        curved=tuple(dict.fromkeys(walk.curved)),
    )


def _common(traced: fx.GraphModule, start: fx.Node) -> list[fx.Node]:
    """The nodes from ``start`` on that every way leads through, while channels are maps of their own."""
    way = [start]
    while True:
        readers = [(user, role) for user in way[-1].users if (role := _role(traced, user)) != "size"]
        if len(readers) != 1 or readers[0][1] in ("mix", "flatten"):
            return way
        way.append(readers[0][0])


@dataclass(eq=False)
class _Walk:
    """What was met on the ways that lead away from a convolution; all of them lead through ``common``."""

    traced: fx.GraphModule
    uses: Counter[str]
    common: list[fx.Node]
    activation: fx.Node | None = None
    pool: fx.Node | None = None
    norms: dict[fx.Node, Tap] = field(default_factory=dict)
    readers: dict[fx.Node, Tap] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    curved: list[str] = field(default_factory=list)

    def follow(self, node: fx.Node, *, active: bool, flat: bool) -> None:
        """Go on from ``node`` to everything that reads it."""
        for reader in node.users:
            role, layer = _role(self.traced, reader), layer_of(self.traced, reader)
            if role == "size":
                continue
            if reader.op == "output":
                raise BadInput("whose channels are the answer itself")
            if role == "mix":
                self._end(reader, active=active, flat=flat)
                continue
            if role == "activation":
                self.activation = self.activation or reader
                if (_name(reader) if layer is None else type(layer).__name__) not in _STRAIGHT:
                    self.curved.append(_name(reader))
            if self.activation and (role == "pool" or type(layer) is ReluAvgPool2d):
                self.pool = self.pool or reader
            if role == "norm":
                self._pair(reader, layer, flat=flat)
            self.follow(reader, active=active or role == "activation", flat=flat or role == "flatten")

    def _pair(self, node: fx.Node, norm: Any, *, flat: bool) -> None:
        if not norm.affine or self.uses[str(node.target)] > 1:
            why = "is used twice" if norm.affine else "has no shift that could be set to zero"
            raise BadInput(f"whose batch norm {node.target!r} {why}")
        self.norms[node] = Tap(str(node.target), flat, node in self.common)

    def _end(self, node: fx.Node, *, active: bool, flat: bool) -> None:
        if not active:
            raise BadInput(f"whose channels are mixed with others ({_name(node)}) before an activation")
        if type(layer_of(self.traced, node)) is (nn.Linear if flat else nn.Conv2d):
            self.readers[node] = Tap(str(node.target), flat)
        else:
            self.others.append(_name(node))


def goes_straight(traced: fx.GraphModule, cut: fx.Node, reader: fx.Node) -> bool:
    """Whether ``reader`` takes the maps at ``cut`` as they are, flattened at the most."""
    node = reader.all_input_nodes[0]
    while node is not cut:
        if _role(traced, node) not in ("pass", "flatten"):
            return False
        node = node.all_input_nodes[0]
    return True


def _role(traced: fx.GraphModule, node: fx.Node) -> str:
    layer = layer_of(traced, node)
    if isinstance(layer, nn.Flatten):
        return "flatten" if (layer.start_dim, layer.end_dim) == (1, -1) else "mix"
    if layer is not None:
        return _LAYERS.get(type(layer), "mix")
    if node.op not in ("call_function", "call_method"):
        return "mix"
    name = _name(node)
    if name == "getattr" and node.args[1:] == ("shape",):
        return "size"
    if name in ("flatten", "view", "reshape"):
        return "flatten" if _keeps_rows(name, node) else "mix"
    # A function that takes two values mixes them, whatever it is called.
    return _FUNCTIONS.get(name, "mix") if len(node.all_input_nodes) == 1 else "mix"


def _name(node: fx.Node) -> str:
    """What a node calls: a layer, a method or a function."""
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


def _keeps_rows(name: str, node: fx.Node) -> bool:
    """Whether (n, c, h, w) becomes (n, c * h * w)."""
    sizes = node.args[1:]
    if name == "flatten":
        given = dict(zip(("start_dim", "end_dim"), sizes, strict=False)) | node.kwargs
        return bool(given.get("start_dim", 0) == 1 and given.get("end_dim", -1) == -1)
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    return len(sizes) == 2 and bool(sizes[1] == -1)
