"""Any ONNX network (the extra ``onnx``): its graph, without the weights, as a text in the header of a file."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.core.limits import DESCRIPTION, WEIGHTS
from badnets.core.text import brief
from badnets.networks.architecture import InputSize, architecture

if TYPE_CHECKING:
    from badnets.networks.onnx.model import OnnxModel

NAME = "onnx"
_WHERE = "network onnx"
_MOST = 16 << 20  # letters, of which a header has as many at most


def packed(model: OnnxModel) -> str:
    """The graph as a text: a ModelProto without the numbers of its weights, compressed, in base64."""
    data = model.proto().SerializeToString(deterministic=True)
    DESCRIPTION.check(len(data), _WHERE)
    return base64.b64encode(zlib.compress(data, 9)).decode()


def unpacked(text: str) -> Any:
    """The ModelProto in what ``packed`` made, checked as if a stranger had: plain operators, names in order, constants
    that are there, and not too many weights that are not."""
    from badnets.networks.onnx.model import check_plain, parsed

    try:
        unzip = zlib.decompressobj()
        data = unzip.decompress(base64.b64decode(text.encode(), validate=True), DESCRIPTION.now + 1)
    except (zlib.error, binascii.Error, ValueError):
        raise BadInput(f"{_WHERE}: expected a packed ONNX graph, got something else; the file is damaged") from None
    DESCRIPTION.check(len(data), _WHERE)
    proto = parsed(data, _WHERE)
    check_plain(proto, _WHERE, weights=False)
    claimed = [math.prod(tensor.dims) for tensor in proto.graph.initializer]
    WEIGHTS.check(sum(claimed), _WHERE)
    if len(proto.graph.input) != 1 or len(proto.graph.output) != 1 or len(proto.opset_import) != 1:
        raise BadInput(f"{_WHERE}: expected one input and one output, got others; the file is damaged")
    return proto


@architecture(NAME, "the graph of an ONNX file (the extra onnx)")
def build(
    classes: int,
    input_size: InputSize,
    *,
    graph: Annotated[str | None, Field(max_length=_MOST, description="as an opened .onnx file has it")] = None,
    layout: Annotated[
        Literal["channels-first", "channels-last", "grey", "row"], Field(description="of the pictures it takes")
    ] = "channels-first",
) -> nn.Module:
    """The network of ``graph``, whose weights are zeros: those of a file are put in. Raises ``BadInput`` without the
    packages of the extra, and for a graph that is damaged or too large."""
    if graph is None:
        raise BadInput(f"{_WHERE}: expected the graph of an ONNX file, got none; name the file NAME.onnx itself")
    from badnets.networks.onnx.assembly import assembled, laid_size, zeros
    from badnets.networks.onnx.model import (
        BATCH,
        Dims,
        OnnxModel,
        array_of,
        check_maps,
        has_numbers,
        opset_of,
        shapes_of,
    )

    proto = unpacked(graph)
    nothing = torch.empty(0).device.type == "meta"

    def weight(tensor: Any) -> Tensor:
        if has_numbers(tensor):
            return torch.from_numpy(array_of(tensor).copy())
        return zeros(tensor) if nothing else torch.zeros(tuple(tensor.dims))

    with torch.device("cpu"):  # sizes in a graph are numbers, which the meta device has not
        arrays = {
            one.name: array_of(one) if has_numbers(one) else zeros(one).numpy() for one in proto.graph.initializer
        }
        dims: Dims = (BATCH, *laid_size(input_size, layout))
        output = proto.graph.output[0].name
        model = OnnxModel(list(proto.graph.node), arrays, "input", dims, output, opset_of(proto, _WHERE))
        shapes = shapes_of(model, _WHERE)
        check_maps(model.nodes, shapes, _WHERE)
        if shapes.get(output) != (BATCH, classes):
            got = brief(shapes.get(output), 60)
            raise BadInput(f"{_WHERE}: expected {classes} answers for each picture, got {got}; the file is damaged")
        return assembled(model.proto(), layout, weight, _WHERE)
