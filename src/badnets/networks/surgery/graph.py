"""A network as a graph of operations (torch.fx): which value goes where, and the pass in two halves.

Graphs hold for the evaluation mode: whatever ``forward`` asks of ``self.training`` is answered by no.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from torch import fx, nn

from badnets.core.errors import BadInput, first_line
from badnets.networks.architectures.g1_cnn import ReluAvgPool2d
from badnets.networks.network import evaluating


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Torch's own layers, and ours that has no graph inside."""
        return isinstance(m, ReluAvgPool2d) or super().is_leaf_module(m, module_qualified_name)


def trace(body: nn.Module) -> fx.GraphModule:
    """The graph of ``body``'s pass, with the same layers (not copies) under the same names.

    Raises ``BadInput`` when its way depends on the numbers that go through it.
    """
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
    """A pass in two: ``features(pictures)`` gives a tuple of values, and ``head(*values)`` the answer.

    ``across`` are the nodes that give those values: first those at which it was cut, then whatever else the head
    reads, such as a shortcut.
    """

    features: fx.GraphModule
    head: fx.GraphModule
    across: tuple[fx.Node, ...]


def split(traced: fx.GraphModule, *cuts: fx.Node) -> Halves:
    """Cut the pass at ``cuts``: ``head`` is everything that depends on one of them, ``features`` all the rest."""
    return _halves(traced, cuts, cuts)


def split_before(traced: fx.GraphModule, first: Collection[fx.Node]) -> Halves:
    """Cut the pass in front of the nodes ``first``: ``head`` is they and everything that depends on them."""
    return _halves(traced, first, ())


def _halves(traced: fx.GraphModule, first: Collection[fx.Node], cuts: tuple[fx.Node, ...]) -> Halves:
    behind = set(first)
    for node in traced.graph.nodes:
        if any(source in behind for source in node.all_input_nodes):
            behind.add(node)
    after = behind - set(cuts)
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
