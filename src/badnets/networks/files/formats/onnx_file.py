"""ONNX files (the extra ``onnx``): a network with its graph. Nothing in a file is run; its operators become torch's."""

from __future__ import annotations

import math
import mmap
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from badnets.core.errors import BadInput
from badnets.core.files import file_digest
from badnets.core.limits import CLASSES, INPUT, ONNX
from badnets.core.text import brief
from badnets.networks.architecture import InputSize
from badnets.networks.architectures.onnx_graph import NAME, packed
from badnets.networks.files.candidates import Candidate
from badnets.networks.files.formats.entries import Entry
from badnets.networks.files.header import opened
from badnets.networks.network import ImageNetwork
from badnets.networks.onnx.assembly import Layout, assembled, laid_size
from badnets.networks.onnx.external import take_in
from badnets.networks.onnx.folding import freed, renamed
from badnets.networks.onnx.model import (
    BATCH,
    Dims,
    OnnxModel,
    array_of,
    check_maps,
    check_plain,
    dims_of,
    opset_of,
    parsed,
    shapes_of,
    without_dead,
)
from badnets.networks.onnx.runtime import check_answers

_CHANNELS = (1, 3)
_FLOAT = 1
_USUAL_ROWS: dict[int, InputSize] = {784: (1, 28, 28), 3072: (3, 32, 32)}
_LISTED = 12


@dataclass(frozen=True)
class OnnxFile:
    """What a file holds: a checked ``model`` whose numbers are all in it, its opset, and the files beside it that some
    came from."""

    path: Path
    model: Any
    opset: int
    beside: tuple[str, ...]

    @property
    def inputs(self) -> list[Any]:
        """Those that are no constants."""
        known = {tensor.name for tensor in self.model.graph.initializer}
        return [value for value in self.model.graph.input if value.name not in known]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Weights and constants, by their names."""
        return tuple(
            Entry(
                name=tensor.name,
                layer=tensor.name.rpartition(".")[0],
                role=tensor.name.rpartition(".")[2],
                shape=tuple(tensor.dims),
                read=lambda tensor=tensor: torch.from_numpy(array_of(tensor).copy()),  # type: ignore[misc]
            )
            for tensor in self.model.graph.initializer
        )

    @property
    def facts(self) -> tuple[str, ...]:
        """What it says of itself, in words: operators, inputs, outputs, opset."""
        kinds = Counter(node.op_type for node in self.model.graph.node)
        listed = ", ".join(f"{brief(kind, 40)} {count}" for kind, count in kinds.most_common(_LISTED))
        more = f", and {len(kinds) - _LISTED} more" if len(kinds) > _LISTED else ""
        given = (("inputs", self.inputs), ("outputs", self.model.graph.output))
        sides = [f"{what} {', '.join(map(_sides, values[:_LISTED]))}" for what, values in given]
        beside = [f"weights in {', '.join(brief(name, 80) for name in self.beside)}"] if self.beside else []
        return (f"operators {listed}{more}", *sides, f"opset {self.opset}", *beside)


def _sides(value: Any) -> str:
    return f"{brief(value.name, 40)} [{', '.join('?' if d is None else brief(d, 20) for d in dims_of(value))}]"


def read_onnx(path: Path) -> OnnxFile:
    """The network in an ONNX file, checked: plain operators, numbers that are there, in it or in a file of the same
    folder. Raises ``BadInput`` for everything else, and without the packages of the extra."""
    with opened(path, "the file") as stream:
        size = os.fstat(stream.fileno()).st_size
        ONNX.check(size, path)
        if not size:
            raise BadInput(f"{path}: expected an ONNX network, got an empty file; export it again")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            model = parsed(mapped, path)
    del model.training_info[:]
    check_plain(model, path)
    opset = opset_of(model, path)
    return OnnxFile(path, model, opset, take_in(path, model))


def onnx_candidate(path: Path, said: InputSize | None, shown: InputSize | None, classes: int | None) -> Candidate:
    """The network of an ONNX file. ``said`` is what is said of the size of its pictures, ``shown`` that of pictures at
    hand. Raises ``BadInput`` for what cannot be told, or converted, and where onnxruntime answers otherwise."""
    file = read_onnx(path)
    given = _input(file)
    size, layout, batch = _taken(path, dims_of(given), said, shown)
    INPUT.check(size[1] * size[2], path)
    model = _simple(file, given.name, (BATCH, *laid_size(size, layout)), batch)
    shapes = shapes_of(model, path)
    check_maps(model.nodes, shapes, path)
    number = _classes(path, shapes.get(model.output), classes)
    arrays = model.arrays
    network = assembled(model.proto(), layout, lambda tensor: torch.from_numpy(arrays[tensor.name].copy()), path).eval()
    apart = check_answers(path, file.model, _output_name(file), network, size, batch or 1)
    made = ImageNetwork(
        network,
        architecture=NAME,
        arguments={"graph": packed(model), "layout": layout},
        class_names=tuple(map(str, range(number))),
        input_size=size,
    )
    made.provenance |= {"file_format": NAME, "opset": file.opset, "apart_from_onnxruntime": float(f"{apart:.2g}")}
    if file.beside:
        made.provenance["beside"] = {name: file_digest(path.parent / name) for name in file.beside}
    return Candidate(f"the network that it holds ({brief(file.facts[0], 160)})", made)


def _input(file: OnnxFile) -> Any:
    used = {name for node in file.model.graph.node for name in node.input}
    given = [value for value in file.inputs if value.name in used]
    if len(given) != 1:
        listed = brief(", ".join(map(_sides, given)) or "none", 160)
        raise BadInput(f"{file.path}: expected one input, pictures, got {len(given)} ({listed}); export it with one")
    kind = given[0].type.tensor_type.elem_type
    if kind != _FLOAT:
        raise BadInput(
            f"{file.path}: expected pictures as 32-bit floats, got {_sides(given[0])} of type {kind}; export it so"
        )
    return given[0]


def _simple(file: OnnxFile, name: str, dims: Dims, batch: int | None) -> OnnxModel:
    """Its one output worked out from pictures with these sides: constants folded, any number of pictures at a time."""
    graph = file.model.graph
    outputs = [value.name for value in graph.output]
    nodes = without_dead(graph.node, outputs)
    arrays = {tensor.name: array_of(tensor) for tensor in graph.initializer}
    model = OnnxModel(nodes, arrays, name, dims, outputs[0], file.opset)
    output = _output_name(file)
    model = replace(model, output=output, nodes=without_dead(nodes, [output]))
    model = freed(model, file.path, batch=batch)
    sides = shapes_of(model, file.path).get(model.output, ())
    if len(sides) == 4 and sides[2:] == (1, 1):
        flat = type(model.nodes[0])(op_type="Flatten", input=[model.output], output=["classes"])
        model = replace(model, nodes=[*model.nodes, flat], output="classes")
    return renamed(model)


def _output_name(file: OnnxFile) -> str:
    """Its only output, or the only one in rows."""
    outputs = list(file.model.graph.output)
    rows = [value for value in outputs if len(dims_of(value)) == 2]
    if len(outputs) > 1 and len(rows) != 1:
        listed = brief(", ".join(map(_sides, outputs[:_LISTED])), 160)
        raise BadInput(
            f"{file.path}: expected one output with a number for each class, got {len(outputs)} ({listed}); export it "
            "with that alone"
        )
    return str(outputs[0].name if len(outputs) == 1 else rows[0].name)


def _classes(path: Path, output: Dims | None, said: int | None) -> int:
    if output and isinstance(output[0], int):
        got = f"one that gives {brief(list(output), 60)} for any number"
        raise BadInput(
            f"{path}: expected a network for any number of pictures, got {got}; export it with a dynamic batch"
        )
    if output is None or len(output) != 2 or not isinstance(output[1], int):
        got = "unknown ones" if output is None else brief(list(output), 60)
        raise BadInput(f"{path}: expected answers (pictures, classes), got {got}; export the classifier alone")
    CLASSES.check(output[1], path)
    if said is not None and said != output[1]:
        raise BadInput(f"{path}: expected a network of {said} classes, got one of {output[1]}; leave --classes out")
    return output[1]


def _taken(
    path: Path, dims: Dims, said: InputSize | None, shown: InputSize | None
) -> tuple[InputSize, Layout, int | None]:
    """The size of pictures, how they are laid, and the batch where the file fixes it."""
    batch = dims[0] if dims and isinstance(dims[0], int) and dims[0] > 0 else None
    rest: Dims = tuple(side if isinstance(side, int) and side > 0 else None for side in dims[1:])
    known = said or shown
    if len(rest) == 3:
        layout: Layout = "channels-last" if rest[2] in _CHANNELS and rest[0] not in _CHANNELS else "channels-first"
    elif len(rest) in (1, 2):
        layout = "grey" if len(rest) == 2 else "row"
    else:
        raise BadInput(
            f"{path}: expected pictures (n, channels, height, width), got {list(dims)}; export it with those"
        )
    if layout == "row":
        features = int(rest[0] or (math.prod(known) if known else 0))
        fits = [size for size in (said, shown, _USUAL_ROWS.get(features)) if size and math.prod(size) == features]
        if not fits or (said and fits[0] != said):
            raise _unfit(path, dims, said or shown)
        return fits[0], layout, batch
    place = (None, *rest) if layout == "grey" else (rest[2], *rest[:2]) if layout == "channels-last" else rest
    filled = [1 if layout == "grey" and not index else side for index, side in enumerate(place)]
    sides = [side or (known[index] if known else None) for index, side in enumerate(filled)]
    if None in sides or (said and tuple(sides) != said):
        raise _unfit(path, dims, said)
    channels, height, width = (int(side or 0) for side in sides)
    return (channels, height, width), layout, batch


def _unfit(path: Path, dims: Dims, size: InputSize | None) -> BadInput:
    shown = brief(", ".join("?" if side is None else str(side) for side in dims), 80)
    got = "x".join(map(str, (*size[1:], size[0]))) if size else "none"
    return BadInput(f"{path}: expected a size of pictures for its input [{shown}], got {got}; say --input-size HxWxC")
