"""The layer table: what a network is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from badnets.networks.network import ImageNetwork, evaluating


def layer_table(network: ImageNetwork, input_size: tuple[int, int, int] | None = None) -> list[dict[str, Any]]:
    """One row for each layer, in the order in which a picture passes them.

    A row is ``{"name", "kind", "output_shape", "parameters", "trainable"}``: the name inside ``network.body``, the
    class, the shape of the output for one picture (without the batch; None for a layer that the pass does not reach),
    and how many numbers it holds and learns. Layers are modules without parts, and modules with parts that hold
    parameters of their own. A tensor that two layers share is counted in the first. A layer passed twice has one row.
    The last row is named ``total``: the class of the body, the shape of the logits (None for a detector), and the sums.
    ``input_size`` is (channels, height, width), the network's own by default. The network is left as it was.
    """
    parts = network.body.named_modules()
    layers = {part: name for name, part in parts if not list(part.children()) or _parameters(part)}
    shapes = _output_shapes(network, list(layers), input_size or network.input_size)
    logits = shapes.pop(network, None)  # a detector gives lists of objects
    unreached = [layer for layer in layers if layer not in shapes and _parameters(layer)]
    counted: set[nn.Parameter] = set()
    rows = []
    for layer in (*shapes, *unreached):
        new = [p for p in _parameters(layer) if p not in counted]
        counted.update(new)
        rows.append(_row(layers[layer], layer, shapes.get(layer), new))
    return [*rows, _row("total", network.body, logits, list(network.parameters()))]


def _row(name: str, layer: nn.Module, shape: list[int] | None, parameters: list[nn.Parameter]) -> dict[str, Any]:
    return {
        "name": name,
        "kind": type(layer).__name__,
        "output_shape": shape,
        "parameters": sum(p.numel() for p in parameters),
        "trainable": sum(p.numel() for p in parameters if p.requires_grad),
    }


def _parameters(module: nn.Module) -> list[nn.Parameter]:
    return list(module.parameters(recurse=False))


def _output_shapes(
    network: ImageNetwork, layers: list[nn.Module], input_size: tuple[int, int, int]
) -> dict[nn.Module, list[int]]:
    """The shape that each reached layer and the network give for one picture, in order of the pass."""
    shapes: dict[nn.Module, list[int]] = {}

    def note(layer: nn.Module, _: tuple[Any, ...], output: Any) -> None:
        first = output[0] if isinstance(output, tuple | list) and output else output
        if isinstance(first, Tensor):
            shapes.setdefault(layer, list(first.shape[1:]))

    handles = [layer.register_forward_hook(note) for layer in [*layers, network]]
    channels, height, width = input_size
    try:
        with evaluating(network), torch.inference_mode():
            more = (True,) if network.task == "locate" else ()  # or the box head would not be passed
            network(network.floats(np.zeros((1, height, width, channels), np.uint8)), *more)
    finally:
        for handle in handles:
            handle.remove()
    return shapes
