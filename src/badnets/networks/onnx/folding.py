"""Constants of an ONNX network worked out, and fixed batches freed: what is left is computed from pictures, any number
of them at a time."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx, nn

from badnets.core.errors import BadInput, first_line
from badnets.core.limits import FOLDED
from badnets.core.text import brief
from badnets.networks.onnx.model import BATCH, Arrays, Dims, OnnxModel, array_of, numbers, shapes_of, without_dead
from badnets.networks.onnx.packages import onnx_package

Array = NDArray[Any]
_LAYER = re.compile(r"(?!(?:w|v|input)_?\d)[A-Za-z][A-Za-z0-9_]{0,59}")
"""Names of layers that are kept."""
_SAME = (
    "Identity", "Cast", "Neg", "Abs", "Floor", "Ceil", "Round", "Sqrt", "Exp", "Log", "Reciprocal", "Not", "Squeeze",
    "Unsqueeze", "Slice", "Reshape", "Transpose", "Flatten", "Shape", "Size", "ReduceProd", "ReduceSum", "ReduceMin",
    "ReduceMax", "ReduceMean",
)  # fmt: skip
_BROADCAST = (
    "Add", "Sub", "Mul", "Div", "Mod", "Pow", "Min", "Max", "Equal", "Less", "Greater", "LessOrEqual",
    "GreaterOrEqual", "And", "Or", "Where",
)  # fmt: skip


def _span(first: Array, last: Array, step: Array) -> int:
    return math.ceil((float(last) - float(first)) / float(step))


def _product(sides: Array) -> int:
    return math.prod(max(0, int(side)) for side in sides.ravel())


_POOLS = {"ReduceMean": "GlobalAveragePool", "ReduceMax": "GlobalMaxPool"}
_SIZES: dict[str, Callable[..., int]] = {
    **dict.fromkeys(_SAME, lambda *given: max(array.size for array in given)),
    **dict.fromkeys(_BROADCAST, lambda *given: math.prod(np.broadcast_shapes(*(array.shape for array in given)))),
    "Concat": lambda *given: sum(array.size for array in given),
    "Gather": lambda data, rows: rows.size * data.size,
    "ConstantOfShape": _product,
    "Expand": lambda data, shape: max(1, data.size) * _product(shape),
    "Tile": lambda data, times: data.size * _product(times),
    "Range": _span,
}
"""Operators that are worked out, each with the most numbers that it may give for what it takes."""


def freed(model: OnnxModel, where: object, *, batch: int | None) -> OnnxModel:
    """``model`` with its constants worked out, for pictures whose number is not fixed to the ``batch`` of the file.
    What the sides of its input decide is a constant too."""
    nodes = _without_passing(model)
    kept, arrays = _folded(model.arrays, nodes, model.opset, where)
    folded = replace(model, nodes=kept, arrays=arrays)
    for _ in range(2):  # what is known of a shape after the first pass may decide another
        shapes = shapes_of(folded, where)
        arrays = dict(folded.arrays)
        changed = [_shaped(node, arrays, shapes, batch) for node in folded.nodes]
        kept = without_dead([one for node in changed for one in node], [model.output])
        kept, arrays = _folded(arrays, kept, model.opset, where)
        folded = replace(model, nodes=kept, arrays=arrays)
    return folded


def _without_passing(model: OnnxModel) -> list[Any]:
    """The nodes without those that hand on what they take: dropout, which acts while training, and casts to what a
    number is anyway."""
    renamed: dict[str, str] = {}
    kept = []
    for given in model.nodes:
        node = type(given)()
        node.CopyFrom(given)
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
        passes = node.op_type in ("Dropout", "Identity") and node.output[0] != model.output
        if passes and node.input[0] not in model.arrays:
            renamed[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    return kept


def _folded(arrays: Mapping[str, Array], nodes: list[Any], opset: int, where: object) -> tuple[list[Any], Arrays]:
    known, kept, total = dict(arrays), list[Any](), 0
    for node in nodes:
        if node.op_type == "Constant":
            known[node.output[0]] = _constant(node, where)
            continue
        size = _SIZES.get(node.op_type)
        if size is None or len(node.output) != 1 or any(name and name not in known for name in node.input):
            kept.append(node)
            continue
        given = {name: known[name] for name in node.input if name}
        try:
            count = size(*(known[name] for name in node.input if name))
        except (ValueError, TypeError, OverflowError, ZeroDivisionError, KeyError) as error:
            raise _misfit(node, where, error) from None
        total += count if count > sum(array.size for array in given.values()) else 0
        FOLDED.check(total, where)
        known[node.output[0]] = _worked_out(node, given, opset, where)
    return kept, known


def _misfit(node: Any, where: object, error: Exception) -> BadInput:
    reason = brief(first_line(error), 120)
    return BadInput(
        f"{where}: expected constants that can be worked out, got {node.op_type} ({reason}); the file is damaged"
    )


def _constant(node: Any, where: object) -> Array:
    for attribute in node.attribute:
        if attribute.name == "value":
            return array_of(attribute.t)
        if attribute.name in ("value_float", "value_floats"):
            return np.asarray(attribute.f if attribute.name == "value_float" else list(attribute.floats), np.float32)
        if attribute.name in ("value_int", "value_ints"):
            return np.asarray(attribute.i if attribute.name == "value_int" else list(attribute.ints), np.int64)
    raise BadInput(f"{where}: expected numbers as a constant, got something else; export it with opset 17")


def _worked_out(node: Any, given: Mapping[str, Array], opset: int, where: object) -> Array:
    onnx = onnx_package()
    reference = onnx_package("onnx.reference")
    if node.op_type == "Transpose":  # of weights, which need not be copied
        perm = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
        try:
            return np.transpose(given[node.input[0]], perm)
        except ValueError as error:
            raise _misfit(node, where, error) from None
    if node.op_type == "Identity":
        return given[node.input[0]]
    values = [onnx.helper.make_tensor_value_info(name, 0, None) for name in given]
    answer = onnx.helper.make_tensor_value_info(node.output[0], 0, None)
    graph = onnx.helper.make_graph([node], "constant", values, [answer])
    small = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    try:
        with np.errstate(all="ignore"):
            value = reference.ReferenceEvaluator(small).run(None, dict(given))[0]
        array = np.asarray(value)
    except Exception as error:  # noqa: BLE001 (operators in Python, which raise of every kind for strangers' numbers)
        raise _misfit(node, where, error) from None
    if array.dtype.kind not in "fiub":
        raise BadInput(f"{where}: expected numbers as constants, got {array.dtype} from {node.op_type}")
    return array


def _shaped(node: Any, arrays: Arrays, shapes: Mapping[str, Dims], batch: int | None) -> list[Any]:
    """``node``, or a plainer one in its place: a reshaping to rows is a flattening, sides that are known are
    constants, and a batch that is fixed is left open."""
    data = shapes.get(node.input[0]) if node.input else None
    output = shapes.get(node.output[0])
    if node.op_type == "Shape" and data and all(isinstance(side, int) for side in _asked(node, data)):
        arrays[node.output[0]] = np.array(_asked(node, data), np.int64)
        return []
    if node.op_type == "Reshape" and data:
        return _reshaped(node, arrays, data, output, batch)
    if node.op_type in _POOLS and data and len(data) == 4:
        return _pooled(node, arrays)
    if node.op_type == "Squeeze" and data and len(data) == 4 and data[2:] == (1, 1) and output and len(output) == 2:
        return [_node("Flatten", node.input[:1], node.output, axis=1)]
    return [node]


def _asked(node: Any, dims: Dims) -> Dims:
    said = {attribute.name: attribute.i for attribute in node.attribute}
    return dims[said.get("start", 0) : said.get("end", len(dims))]


def _reshaped(node: Any, arrays: Arrays, data: Dims, output: Dims | None, batch: int | None) -> list[Any]:
    target = _target(node, arrays, data, output, batch)
    if target is None:
        return [node]
    if data[0] == BATCH and target[0] == 0 and len(target) == 2 and len(data) > 1:
        return [_node("Flatten", node.input[:1], node.output, axis=1)]
    name = f"{node.output[0]}/shape"
    arrays[name] = np.array(target, np.int64)
    return [_node("Reshape", [node.input[0], name], node.output)]


def _target(node: Any, arrays: Arrays, data: Dims, output: Dims | None, batch: int | None) -> list[int] | None:
    """The sides to which what grows with the pictures is reshaped, as numbers: 0 for as many as before, -1 for as many
    as there are. None where that cannot be told."""
    if None in data or not any(isinstance(side, str) for side in data):
        return None
    whole, shape = numbers(data), arrays.get(node.input[1])
    first = 0 if data[0] == BATCH else -1
    if shape is not None and batch is not None:
        sides = [int(side) for side in shape.ravel()]
        if (
            sides
            and -1 not in sides[1:]
            and 0 not in sides
            and sides[0] in (-1, *range(batch, whole * batch + 1, batch))
        ):
            rest = math.prod(sides[1:])
            if whole % rest == 0 and (sides[0] == -1 or sides[0] * rest == whole * batch):
                return [first if rest == whole else -1, *sides[1:]]
        if sides and sides[0] == batch and -1 in sides[1:]:
            return [first, *sides[1:]] if 0 not in sides else None
    open_sides = [index for index, side in enumerate(output or ()) if not isinstance(side, int)]
    if output and None not in output and len(open_sides) == 1 and numbers(output) == whole:
        kept = output[0] == BATCH and open_sides == [0]
        return [side if isinstance(side, int) else (first if kept else -1) for side in output]
    return None


def _pooled(node: Any, arrays: Arrays) -> list[Any]:
    """A mean, or the largest, over height and width as the pooling that it is."""
    axes = next((list(a.ints) for a in node.attribute if a.name == "axes"), None)
    if axes is None and len(node.input) > 1 and node.input[1] in arrays:
        axes = arrays[node.input[1]].ravel().tolist()
    if axes is None or sorted(axis % 4 for axis in axes) != [2, 3]:
        return [node]
    if next((a.i for a in node.attribute if a.name == "keepdims"), 1):
        return [_node(_POOLS[node.op_type], node.input[:1], node.output)]
    between = f"{node.output[0]}/pooled"
    pool = _node(_POOLS[node.op_type], node.input[:1], [between])
    return [pool, _node("Flatten", [between], node.output, axis=1)]


def _node(kind: str, inputs: Any, outputs: Any, **attributes: Any) -> Any:
    return onnx_package().helper.make_node(kind, list(inputs), list(outputs), **attributes)


def renamed(model: OnnxModel) -> OnnxModel:
    """Values and operators under names of ours. An operator is called after its weights (``conv1.weight``), where that
    is a name, else after what it does."""
    values: dict[str, str] = {"": "", model.input: "input"}
    arrays: Arrays = {}
    taken: set[str] = set()
    nodes = []
    for number, given in enumerate(model.nodes):
        node = type(given)()
        node.CopyFrom(given)
        for attribute in node.attribute:
            attribute.doc_string = ""
        node.doc_string, node.name = "", _name(node, taken, number)
        del node.metadata_props[:]
        for index, name in enumerate(node.input):
            if name in model.arrays and name not in values:
                values[name] = f"w{len(arrays)}"
                arrays[values[name]] = model.arrays[name]
            node.input[index] = values[name]
        for index, name in enumerate(node.output):
            values[name] = values.get(name) or (f"v{number}_{index}" if name else "")
            node.output[index] = values[name]
        nodes.append(node)
    return OnnxModel(nodes, arrays, "input", model.dims, values[model.output], model.opset)


def _name(node: Any, taken: set[str], number: int) -> str:
    layer = node.input[1].rpartition(".")[0].replace(".", "_") if len(node.input) > 1 else ""
    name = layer if _LAYER.fullmatch(layer) and not _is_taken(layer) else f"{node.op_type.lower()}_{number}"
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _is_taken(name: str) -> bool:
    return keyword.iskeyword(name) or hasattr(fx.GraphModule(nn.Module(), fx.Graph()), name)
