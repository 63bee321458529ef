"""What a network that ends in a softmax gives before it: logits that do not saturate."""

from __future__ import annotations

from torch import fx, nn

from badnets.core.errors import BadInput
from badnets.networks.network import ImageNetwork, LogProbabilities
from badnets.networks.surgery.graph import layer_of, trace, until


def before_softmax(network: ImageNetwork) -> ImageNetwork:
    """``network`` with the same weights and logits that are those before its last softmax, where it gives logarithms of
    probabilities and its pass can be followed; else as it is. Answers stay the same; gradients no longer vanish where a
    probability is too small for its number."""
    body = network.body
    if not isinstance(body, LogProbabilities):
        return network
    try:
        traced = trace(body.network)
    except BadInput:
        return network
    (last,) = next(node for node in traced.graph.nodes if node.op == "output").args
    if not isinstance(last, fx.Node) or not _is_softmax(traced, last) or not isinstance(last.args[0], fx.Node):
        return network
    return network.with_body(until(traced, last.args[0]))


def _is_softmax(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(layer_of(traced, node), nn.Softmax)
    return (node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")) == "softmax"
