"""An ONNX network with nothing in it but plain operators and numbers that are there; all else is refused by name."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput, first_line
from badnets.core.limits import LAYERS, MAP, NAME, PARAMETERS, SIDES, TENSORS
from badnets.core.text import brief
from badnets.networks.onnx.packages import onnx_package
from badnets.networks.onnx.wire import DamagedError, check_wire

Dim = int | str | None
Dims = tuple[Dim, ...]
"""Sides of a value: a number, the name of one that is left open (``BATCH``, or ``4N`` of four for each picture), or
unknown."""
Arrays = dict[str, NDArray[Any]]
BATCH = "N"
_PRIME = 10_007
"""Pictures that sizes are worked out for: what it divides grows with them."""
SMALL = 64
"""Numbers: floats of more are weights, which a packed graph leaves out."""
_DOMAINS = ("", "ai.onnx")
_MOST_AXES = 8
_FIELDS = {1: "float_data", 11: "double_data", 7: "int64_data"}
_DTYPES = {
    1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8", 12: "u4", 13: "u8",
}  # fmt: skip
"""By ONNX's number of a data type: those of numbers that torch and numpy have."""


@dataclass
class OnnxModel:
    """One input and one output, ``nodes`` in the order in which they are computed, and ``arrays``: all constants and
    weights by name. ``dims`` are the sides of the input, ``opset`` the version of the operators."""

    nodes: list[Any]
    arrays: Arrays
    input: str
    dims: Dims
    output: str
    opset: int

    def proto(self, pictures: Dim = BATCH) -> Any:
        """As a ModelProto for so many ``pictures``; the numbers of weights are left out."""
        onnx = onnx_package()
        used = {name for node in self.nodes for name in node.input}
        kept = {name: array for name, array in self.arrays.items() if name in used}
        given = onnx.helper.make_tensor_value_info(self.input, 1, (pictures, *self.dims[1:]))
        answer = onnx.helper.make_tensor_value_info(self.output, 1, None)
        initializers = [_tensor(onnx, name, array) for name, array in kept.items()]
        graph = onnx.helper.make_graph(self.nodes, "network", [given], [answer], initializers)
        opset = onnx.helper.make_opsetid("", self.opset)
        return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8, producer_name="badnets")


def _tensor(onnx: Any, name: str, array: NDArray[Any]) -> Any:
    if is_weight(array.dtype, array.size):
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        return onnx.TensorProto(name=name, dims=array.shape, data_type=kind)
    return onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)


def is_weight(dtype: np.dtype[Any], size: int) -> bool:
    """Whether a packed graph leaves such an array out."""
    return dtype.kind == "f" and size > SMALL


def parsed(data: Any, where: object) -> Any:
    """The ModelProto in ``data`` (bytes, or a mapped file), whose fields were counted before."""
    onnx = onnx_package()
    try:
        check_wire(data, onnx.ModelProto.DESCRIPTOR, where)
        model = onnx.ModelProto.FromString(bytes(data))
    except DamagedError:
        raise BadInput(f"{where}: expected an ONNX network, got something else, or a damaged file") from None
    except Exception as error:
        if isinstance(error, (BadInput, MemoryError)):
            raise
        reason = brief(first_line(error), 100)
        raise BadInput(f"{where}: expected an ONNX network, got something else, or a damaged file ({reason})") from None
    if not model.HasField("graph") or not model.graph.node:
        raise BadInput(f"{where}: expected an ONNX network, got a protobuf without operators; export the network")
    return model


def check_plain(model: Any, where: object, *, weights: bool = True) -> None:
    """Refuse by name what is no plain operator, what is too much, and constants whose numbers are not there; without
    ``weights``, those of large ones need not be."""
    graph = model.graph
    LAYERS.check(len(graph.node), where)
    TENSORS.check(len(graph.initializer), where)
    if model.functions:
        raise BadInput(f"{where}: expected plain operators, got the function {_named(model.functions[0].name)}")
    if graph.sparse_initializer:
        raise BadInput(f"{where}: expected plain weights, got sparse ones; export them dense")
    for tensor in graph.initializer:
        _check_tensor(tensor, where, weights=weights)
    PARAMETERS.check(sum(math.prod(tensor.dims) for tensor in graph.initializer), where)
    for node in graph.node:
        what = _named(node.op_type)
        if node.domain not in _DOMAINS:
            theirs = f"the operator {what} of {_named(node.domain)}"
            raise BadInput(f"{where}: expected operators of ONNX itself, got {theirs}; export without it")
        node.domain = ""
        for attribute in node.attribute:
            if attribute.ref_attr_name or attribute.type not in (1, 2, 3, 4, 6, 7, 8):
                raise BadInput(f"{where}: expected operators without parts, got {what}; export without it")
            if attribute.type == 4:
                _check_tensor(attribute.t, where)
                if is_external(attribute.t):
                    raise BadInput(
                        f"{where}: expected the numbers of {what} in the file, got them outside; export anew"
                    )
    _check_order(graph, where)


def _check_tensor(tensor: Any, where: object, *, weights: bool = True) -> None:
    name = f"{where}: tensor {_named(tensor.name)}"
    if tensor.data_type not in _DTYPES or len(tensor.dims) > _MOST_AXES or min(tensor.dims, default=1) < 0:
        got = f"type {tensor.data_type} of {brief(list(tensor.dims[:9]), 60)}"
        raise BadInput(f"{name}: expected numbers of a usual type and at most {_MOST_AXES} sides, got {got}")
    PARAMETERS.check(math.prod(tensor.dims), name)
    if not weights and is_external(tensor):
        raise BadInput(f"{name}: expected no other file, got one; the file is damaged")
    if not is_external(tensor) and (weights or has_numbers(tensor)):
        wanted = math.prod(tensor.dims)
        size = np.dtype(_DTYPES[tensor.data_type]).itemsize
        there = len(tensor.raw_data) // size if tensor.HasField("raw_data") else len(_typed(tensor))
        if there != wanted:
            raise BadInput(f"{name}: expected {wanted:,} numbers, got {there:,}; the file is damaged")


def itemsize(tensor: Any) -> int:
    """Bytes of one number of a checked tensor."""
    return np.dtype(_DTYPES[tensor.data_type]).itemsize


def has_numbers(tensor: Any) -> bool:
    """Whether those of a constant are there; a packed graph leaves out those of weights."""
    return not is_weight(np.dtype(_DTYPES[tensor.data_type]), math.prod(tensor.dims)) or tensor.HasField("raw_data")


def _typed(tensor: Any) -> Any:
    names = {12: "uint64_data", 13: "uint64_data"} | _FIELDS
    return getattr(tensor, names.get(tensor.data_type, "int32_data"))


def is_external(tensor: Any) -> bool:
    """Whether its numbers lie in another file."""
    return bool(tensor.data_location == 1 or tensor.external_data)


def _check_order(graph: Any, where: object) -> None:
    known = {"", *(value.name for value in graph.input), *(tensor.name for tensor in graph.initializer)}
    NAME.check(max(map(len, known)), where)
    for node in graph.node:
        missing = next((name for name in node.input if name not in known), None)
        again = next((name for name in node.output if name and name in known), None)
        if missing is not None or again is not None:
            got = f"the unknown {_named(missing)}" if missing is not None else f"{_named(again)} twice"
            raise BadInput(f"{where}: expected each operator after what it takes, got {got}; the file is damaged")
        NAME.check(max(map(len, node.output), default=0), where)
        known.update(node.output)


def _named(text: object) -> str:
    return repr(brief(text, 60))


def array_of(tensor: Any) -> NDArray[Any]:
    """The numbers of a checked tensor; a view of its bytes where they are raw."""
    shape = tuple(tensor.dims)
    if tensor.HasField("raw_data"):
        array = np.frombuffer(tensor.raw_data, np.dtype(_DTYPES[tensor.data_type]).newbyteorder("<"))
        return array.reshape(shape)
    array = onnx_package("onnx.numpy_helper").to_array(tensor)
    return np.asarray(array).reshape(shape)


def without_dead(nodes: Iterable[Any], outputs: Iterable[str]) -> list[Any]:
    """Those of ``nodes``, which are in order, that ``outputs`` depend on."""
    wanted, kept = set(outputs), []
    for node in reversed(list(nodes)):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]


def opset_of(model: Any, where: object) -> int:
    """The version of the operators."""
    versions = [int(opset.version) for opset in model.opset_import if opset.domain in _DOMAINS]
    newest = int(onnx_package().defs.onnx_opset_version())
    if len(versions) != 1 or not 7 <= versions[0] <= newest:
        got = f"{versions[0]}" if versions else "none"
        raise BadInput(f"{where}: expected operators of version (opset) 7 to {newest}, got {got}; export it with 17")
    return versions[0]


def dims_of(value: Any) -> Dims:
    """The sides of a value as its description says them."""
    if not value.type.tensor_type.HasField("shape"):
        return ()
    return tuple(
        int(dim.dim_value) if dim.HasField("dim_value") else (dim.dim_param or None)
        for dim in value.type.tensor_type.shape.dim
    )


def shapes_of(model: OnnxModel, where: object) -> dict[str, Dims]:
    """The sides of every value, as far as they follow from those of the input."""
    onnx = onnx_package()
    _check_propagated(model, where)
    try:
        inferred = onnx.shape_inference.infer_shapes(model.proto(_PRIME), data_prop=True)
    except Exception as error:  # noqa: BLE001 (a checker in C++, which raises of every kind)
        reason = brief(first_line(error), 160)
        raise BadInput(f"{where}: expected operators that fit together, got others ({reason})") from None
    graph = inferred.graph
    found = {
        v.name: _per_picture(dims_of(v))
        for v in (*graph.value_info, *graph.output)
        if v.type.tensor_type.HasField("shape")
    }
    return {**found, **{name: array.shape for name, array in model.arrays.items()}, model.input: model.dims}


def _check_propagated(model: OnnxModel, where: object) -> None:
    """Refuse long lists of sides, which are worked out while shapes are: by the most that each operator can give."""
    most = {name: array.size for name, array in model.arrays.items() if array.dtype.kind == "i"}
    for node in model.nodes:
        if node.op_type == "Range":
            got = "an operator 'Range' whose size depends on numbers"
            raise BadInput(f"{where}: expected sizes that follow from that of the pictures, got {got}")
        given = [most.get(name, 0) for name in node.input]
        if node.op_type == "Gather":
            given = given[1:]
        longest = sum(given) if node.op_type == "Concat" else max(given, default=0)
        SIDES.check(longest, where)
        most.update(dict.fromkeys(node.output, _MOST_AXES if node.op_type == "Shape" else longest))


def _per_picture(dims: Dims) -> Dims:
    def side(dim: Dim) -> Dim:
        if not isinstance(dim, int):
            return None
        times, rest = divmod(dim, _PRIME)
        return dim if rest or not dim else BATCH if times == 1 else f"{times}{BATCH}"

    return tuple(map(side, dims))


def numbers(dims: Sequence[Dim]) -> int:
    """How many there are for one picture."""
    return math.prod(dim if isinstance(dim, int) else int((dim or "")[:-1] or 1) for dim in dims)


def check_maps(nodes: Sequence[Any], shapes: Mapping[str, Dims], where: object) -> None:
    """Refuse what is given for one picture where it is more than the budget, at one time, or cannot be told."""
    left = Counter(name for node in nodes for name in node.input)
    alive: dict[str, int] = {}
    for node in nodes:
        for name in filter(None, node.output):
            dims = shapes.get(name)
            if dims is None or None in dims:
                if node.op_type not in _KEEPING:
                    got = f"an operator {_named(node.op_type)} whose size depends on numbers"
                    raise BadInput(f"{where}: expected sizes that follow from that of the pictures, got {got}")
                dims = ()
            alive[name] = numbers(dims)
        MAP.check(sum(alive.values()), where)
        for name in node.input:
            left[name] -= 1
            if not left[name]:
                alive.pop(name, None)


_KEEPING = frozenset(
    {"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Identity", "Cast", "Shape", "Split", "Relu"}
)
"""Operators that never give more than they take."""
