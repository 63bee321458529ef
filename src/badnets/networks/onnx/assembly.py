"""A torch module of an ONNX network: operators by onnx2torch, put together here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from operator import getitem
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, fx, nn

from badnets.core.errors import BadInput, first_line
from badnets.core.text import brief
from badnets.networks.architecture import InputSize
from badnets.networks.onnx.packages import onnx_package

Layout = Literal["channels-first", "channels-last", "grey", "row"]
"""How a network takes pictures: (n, c, h, w); (n, h, w, c); (n, h, w); or (n, c * h * w)."""
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
_NEWEST = 20
"""Of later operators that onnx2torch lacks, those of this version are the same but for data types."""
_TRAINED = 4
"""Floats of more numbers than these are trained, and others are settings (a mean per channel, a factor)."""


class _Mapping(NamedTuple):
    inputs: Sequence[str]


_OURS: dict[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "GlobalAveragePool": lambda said: nn.AdaptiveAvgPool2d(1),
    "GlobalMaxPool": lambda said: nn.AdaptiveMaxPool2d(1),
    "Gelu": lambda said: nn.GELU(said.get("approximate", "none")),
    "Mish": lambda said: nn.Mish(),
    "ThresholdedRelu": lambda said: nn.Threshold(said.get("alpha", 1.0), 0.0),
}
"""Operators that onnx2torch lacks, or that the search for channels should know."""


class OnnxNetwork(nn.Module):
    """The graph of an ONNX network, given pictures (n, c, h, w) in the ``layout`` that it takes."""

    def __init__(self, graph: fx.GraphModule, layout: Layout) -> None:
        super().__init__()
        self.layers, self.layout = graph, layout

    def forward(self, images: Tensor) -> Tensor:
        """Floats (n, c, h, w) to logits (n, classes), or to probabilities."""
        answers: Tensor = self.layers(laid(images, self.layout))
        return answers


def laid(images: Tensor, layout: Layout) -> Tensor:
    """Pictures (n, c, h, w) as a network of this layout takes them."""
    if layout == "channels-last":
        return images.permute(0, 2, 3, 1)
    if layout == "grey":
        return images[:, 0]
    return images.flatten(1) if layout == "row" else images


def laid_size(size: InputSize, layout: Layout) -> tuple[int, ...]:
    """The sides of one picture in this layout."""
    channels, height, width = size
    if layout == "channels-last":
        return height, width, channels
    if layout == "grey":
        return height, width
    return (channels * height * width,) if layout == "row" else size


def assembled(proto: Any, layout: Layout, weight: Callable[[Any], Tensor], where: object) -> OnnxNetwork:
    """The module of a network whose names are ours; ``weight`` gives the numbers of a constant. Raises ``BadInput``
    that names the operator where one cannot be converted."""
    graphs, tensors = onnx_package("onnx2torch.onnx_graph"), onnx_package("onnx2torch.onnx_tensor")
    onnx_package("onnx2torch.node_converters")  # which fills the registry
    registry = onnx_package("onnx2torch.node_converters.registry")

    class Constant(tensors.OnnxTensor):  # type: ignore[misc, name-defined]
        def to_torch(self) -> Tensor:
            return weight(self.proto)

    class Graph(graphs.OnnxGraph):  # type: ignore[misc, name-defined]
        @property
        def initializers(self) -> dict[str, Any]:
            return constants

    inferred = onnx_package().shape_inference.infer_shapes(proto)
    constants = {tensor.name: Constant(tensor) for tensor in inferred.graph.initializer}
    source = Graph(inferred.graph)
    version = min(int(inferred.opset_import[0].version), _NEWEST)
    root, graph = nn.Module(), fx.Graph()
    values: dict[str, Any] = {"input": graph.placeholder("input_1"), "": None}
    for name, node in source.nodes.items():
        module, mapping = _converted(registry.get_converter, node, source, version, where)
        root.add_module(name, module)
        for one in mapping.inputs:
            if one not in values:
                _hold(root, one, constants[one].to_torch())
                values[one] = graph.get_attr(one)
        args, kwargs = _arguments(module, [values[one] for one in mapping.inputs])
        answer = graph.call_module(name, args, kwargs)
        several = len(node.output_values) > 1
        for index, one in enumerate(node.output_values):
            values[one] = graph.call_function(getitem, (answer, index)) if several else answer
        values[""] = None
    graph.output(values[inferred.graph.output[0].name])
    return OnnxNetwork(fx.GraphModule(root, graph), layout)


def _converted(find: Callable[..., Any], node: Any, source: Any, version: int, where: object) -> tuple[nn.Module, Any]:
    kind = node.operation_type
    try:
        if kind in _OURS:
            return _OURS[kind](node.attributes), _Mapping(node.input_values[:1])
        node = _with_axes(node, source)
        module, mapping = _newest(find, kind, version)(node, source)
    except Exception as error:  # noqa: BLE001 (converters, which raise of every kind for what they do not know)
        why = "" if "Converter is not implemented" in str(error) else f" ({brief(first_line(error), 120)})"
        raise BadInput(
            f"{where}: expected operators that torch has too, got {brief(kind, 60)}{why}; export it without that, or "
            "ask for a state_dict"
        ) from None
    return module, mapping


def _newest(find: Callable[..., Any], kind: str, version: int) -> Any:
    """The converter of the operator at this version, or at the newest one before it: later ones differ in data types,
    or in whether axes are an input."""
    refused = NotImplementedError("Converter is not implemented")
    for number in range(version, 0, -1):
        try:
            return find(operation_type=kind, version=number)
        except NotImplementedError:
            continue
    raise refused


def _with_axes(node: Any, source: Any) -> Any:
    """Axes of a reduction that are a constant input, as the attribute that they once were."""
    kind = node.operation_type
    if not kind.startswith("Reduce") or kind == "ReduceSum" or len(node.input_values) < 2 or not node.input_values[1]:
        return node
    axes = source.initializers[node.input_values[1]].to_torch().tolist()
    older = type(node.proto)()
    older.CopyFrom(node.proto)
    del older.input[1:]
    older.attribute.append(onnx_package("onnx.helper").make_attribute("axes", axes))
    return type(node)(older, node.unique_name)


def _hold(root: nn.Module, name: str, value: Tensor) -> None:
    """``value`` under ``name``: what is trained as a parameter, all else as a buffer."""
    if value.is_floating_point() and value.numel() > _TRAINED:
        root.register_parameter(name, nn.Parameter(value))
    else:
        root.register_buffer(name, value)


def _arguments(module: nn.Module, given: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """By position as far as all are there, then by name."""
    if None not in given:
        return tuple(given), {}
    first = given.index(None)
    names = list(inspect.signature(module.forward).parameters)[first : len(given)]
    return tuple(given[:first]), {n: one for n, one in zip(names, given[first:], strict=True) if one is not None}


def zeros(tensor: Any) -> Tensor:
    """A weight whose numbers are not there yet, in no memory."""
    return torch.zeros(()).expand(tuple(tensor.dims))
