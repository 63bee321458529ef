"""ONNX files that claim much, reach out of their folder, or are something else."""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.torch import save_file

Run = Callable[..., dict[str, Any]]
SAID = ("--input-range", "0-1")


@pytest.fixture
def picture(folder: Path) -> Path:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "picture.png")
    return folder / "picture.png"


def good(**more: Any) -> onnx.ModelProto:
    """Pictures 8x8x3 to four classes; ``before`` are operators from ``x`` to ``m``, ``constants`` what they need."""
    rng = np.random.default_rng(1)
    constants = {"w": rng.normal(0, 0.1, (192, 4)).astype(np.float32), **more.get("constants", {})}
    before = more.get("before", [helper.make_node("Relu", ["x"], ["m"])])
    nodes = [*before, helper.make_node("Flatten", ["m"], ["r"]), helper.make_node("MatMul", ["r", "w"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info("x", more.get("kind", 1), more.get("sides", ["n", 3, 8, 8]))],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", more.get("opset", 13)), helper.make_opsetid("evil", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def node(kind: str, given: str, answer: str = "m", **more: Any) -> onnx.NodeProto:
    return helper.make_node(kind, given.split(), answer.split(), **more)


def external(location: str, **said: object) -> onnx.ModelProto:
    """Whose weights lie in another file."""
    model = good()
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **said}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    return model


def changed(change: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    model = good()
    change(model)
    return model


def claims(*dims: int, **more: Any) -> onnx.ModelProto:
    """A tensor that says it has these sides."""
    return changed(lambda m: m.graph.initializer.append(TensorProto(name="h", dims=dims, data_type=1, **more)))


def constant(*nodes: onnx.NodeProto, **constants: Any) -> onnx.ModelProto:
    """Something huge added to pictures, in ``h``."""
    return good(before=[*nodes, node("Add", "x h")], constants=constants)


def doubled(times: int, given: str, kind: str = "Concat", **more: Any) -> list[onnx.NodeProto]:
    names = [given, *(f"{given}_{number}" for number in range(times))]
    return [node(kind, f"{a} {a}", b, **more) for a, b in pairwise(names)]


BIG = np.array([100_000, 100_000], np.int64)
SUB = helper.make_graph([node("Relu", "x", "q")], "sub", [], [helper.make_tensor_value_info("q", 1, None)])
MODELS: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "no size": (lambda: good(sides=["n", 3, "h", "w"]), "--input-size"),
    "no sides": (lambda: good(sides=[]), "expected pictures"),
    "an operator that is not known": (lambda: good(before=[node("Swish", "x")], opset=24), "got Swish"),
    "an operator of a stranger": (lambda: good(before=[node("Run", "x", domain="evil")]), "'Run' of 'evil'"),
    "a long name": (lambda: good(before=[node("Z" * 5000, "x", domain="evil" * 5000)]), "operators of ONNX itself"),
    "control characters": (lambda: good(before=[node("\x1b[2J", "x", domain="\u202e")]), "operators of ONNX itself"),
    "a part that is run if": (
        lambda: good(before=[node("If", "c", then_branch=SUB, else_branch=SUB)], constants={"c": np.array(True)}),
        "without parts, got 'If'",
    ),
    "a function": (
        lambda: changed(lambda m: m.functions.add(name="f", domain="evil")),
        "the function 'f'",
    ),
    "weights above": (lambda: external("../weights"), "a file of the same folder, got '../weights'"),
    "weights anywhere": (lambda: external("/etc/passwd"), "a file of the same folder, got '/etc/passwd'"),
    "weights by another slash": (lambda: external("..\\weights"), "a file of the same folder"),
    "weights nowhere": (lambda: external(""), "a file of the same folder"),
    "weights of a long name": (lambda: external("w" * 5000), "a file of the same folder"),
    "weights through a link": (lambda: external("link"), "the link 'link'"),
    "weights in a pipe": (lambda: external("pipe"), "a pipe"),
    "weights in a folder": (lambda: external("sub"), "a folder"),
    "weights that are not there": (lambda: external("absent"), "got nothing"),
    "weights that end before": (lambda: external("short", offset=8), "do not belong together"),
    "weights of another length": (lambda: external("short", length=1 << 40), "do not belong together"),
    "weights far inside": (lambda: external("short", offset=1 << 45), "do not belong together"),
    "weights before the file": (lambda: external("short", offset=-4), "as numbers"),
    "huge sides": (lambda: claims(1 << 40, 1 << 40), "expected at most"),
    "many sides": (lambda: claims(*[1] * 5000), "sides"),
    "sides below 0": (lambda: claims(-4, -4), "sides"),
    "more numbers than there are": (lambda: claims(1 << 20, raw_data=b"1234"), "got 1;"),
    "numbers of no type": (lambda: changed(lambda m: m.graph.initializer.append(TensorProto(name="h"))), "type 0"),
    "texts": (lambda: good(constants={"h": np.array(["a"], object)}), "of a usual type"),
    "a huge constant": (lambda: constant(node("ConstantOfShape", "s", "h"), s=BIG), "expected at most"),
    "an expanded one": (lambda: constant(node("Expand", "o s", "h"), o=np.float32([1]), s=BIG), "expected at most"),
    "a tiled one": (lambda: constant(node("Tile", "o s", "h"), o=np.ones((1, 1), np.float32), s=BIG), "at most"),
    "a range": (
        lambda: constant(node("Range", "a b c", "h"), a=np.int64(0), b=np.int64(1 << 40), c=np.int64(1)),
        "expected at most",
    ),
    "a range of steps of 0": (
        lambda: constant(node("Range", "a b c", "h"), a=np.int64(0), b=np.int64(9), c=np.int64(0)),
        "worked out",
    ),
    "an outer sum": (
        lambda: constant(node("Add", "a b", "h"), a=np.ones((9999, 1), np.float32), b=np.ones((1, 9999), np.float32)),
        "expected at most",
    ),
    "a constant that doubles": (
        lambda: constant(*doubled(40, "a", axis=0), node("Identity", "a_39", "h"), a=np.ones(4, np.float32)),
        "expected at most",
    ),
    "sides that double": (
        lambda: good(
            before=[
                node("Shape", "x", "s"),
                *doubled(40, "s", axis=0),
                node("ConstantOfShape", "s_39", "h"),
                node("Add", "x h"),
            ]
        ),
        "expected at most",
    ),
    "many sides asked for": (
        lambda: good(
            before=[
                node("Shape", "x", "s"),
                node("ConstantOfShape", "o", "i", value=helper.make_tensor("v", 7, [1], [0])),
                node("Gather", "s i", "t"),
                node("ConstantOfShape", "t", "h"),
                node("Add", "x h"),
            ],
            constants={"o": np.array([3_000_000])},
        ),
        "expected at most",
    ),
    "a padding": (
        lambda: good(before=[node("Pad", "x p")], constants={"p": np.array([0, 0, 0, 0, 0, 0, 30_000, 30_000])}),
        "expected at most",
    ),
    "maps that double": (lambda: good(before=[*doubled(40, "x", axis=1), node("Relu", "x_39")]), "expected at most"),
    "maps that are kept": (
        lambda: good(
            before=[
                *(node("Pad", "x p", f"k{number}") for number in range(200)),
                node("Sum", " ".join(f"k{number}" for number in range(200))),
            ],
            constants={"p": np.array([0, 0, 0, 0, 0, 0, 999, 999])},
        ),
        "expected at most",
    ),
    "a size that numbers decide": (
        lambda: good(
            before=[
                node("Cast", "x", "i", to=7),
                node("Reshape", "i q", "j"),
                node("Slice", "j z o", "s"),
                node("ConstantOfShape", "s", "h"),
                node("Add", "x h"),
            ],
            constants={"q": np.array([-1]), "z": np.array([0]), "o": np.array([2])},
        ),
        "whose size depends on numbers",
    ),
    "a deep chain": (
        lambda: good(before=[node("Relu", "x", "r0"), *(node("Relu", f"r{i}", f"r{i + 1}") for i in range(20_000))]),
        "10,000 layers",
    ),
    "out of order": (lambda: good(before=[node("Relu", "later", "m")]), "the unknown 'later'"),
    "a circle": (lambda: good(before=[node("Relu", "m", "m")]), "the unknown 'm'"),
    "a name twice": (lambda: good(before=[node("Relu", "x", "m"), node("Relu", "x", "m")]), "'m' twice"),
    "an old opset": (lambda: good(opset=1), "opset"),
    "an opset to come": (lambda: good(opset=9_999), "opset"),
    "whole numbers as pictures": (lambda: good(kind=7), "32-bit floats"),
    "a shape that does not fit": (lambda: good(sides=["n", 3, 9, 9]), "expected"),
    "no operators": (lambda: onnx.ModelProto(ir_version=8), "without operators"),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_is_no_plain_network_is_refused(name: str, hostile: Run, folder: Path, picture: Path) -> None:
    make, said = MODELS[name]
    (folder / "short").write_bytes(bytes(3072))
    (folder / "sub").mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    (folder / "network.onnx").write_bytes(make().SerializeToString())
    result = hostile("predict", "network.onnx", picture, *SAID)
    assert said in result["err"], result["err"]


FILES: dict[str, tuple[bytes, str]] = {
    "text": (b'ir_version: 8\ngraph { name: "x" }\n', "expected an ONNX network, got something else"),
    "nothing": (b"", "an empty file"),
    "zeros": (bytes(4096), "something else"),
    "a web page": (b"<!DOCTYPE html><html></html>", "a web page"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS"),
    "a pickle": (b"\x80\x02}q\x00.", "a pickled file in disguise"),
    "2,000,000 empty operators": (b"\x08\x08\x3a\x80\x89\x7a" + b"\x0a\x00" * 1_000_000, "fields"),
    "a length beyond the end": (b"\x08\x08\x3a\xff\xff\xff\xff\x7f" + bytes(64), "something else"),
    "parts in parts": (b"\x08\x08" + b"\x3a\x7f" * 3000, "something else"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_something_else_is_named(name: str, hostile: Run, folder: Path, picture: Path) -> None:
    content, said = FILES[name]
    (folder / "network.onnx").write_bytes(content)
    for words in (("predict", "network.onnx", picture, *SAID), ("show", "network.onnx")):
        assert said in hostile(*words)["err"]


@pytest.mark.parametrize("seed", range(12))
def test_damaged_bytes(
    seed: int, hostile: Run, folder: Path, picture: Path, mutated: Callable[[bytes, int], bytes]
) -> None:
    (folder / "network.onnx").write_bytes(mutated(good().SerializeToString(), seed))
    hostile("predict", "network.onnx", picture, *SAID, code=(0, 2))


def packed(model: onnx.ModelProto) -> str:
    return base64.b64encode(zlib.compress(model.SerializeToString())).decode()


def hollow(*sides: int, kind: str = "MatMul", **more: Any) -> str:
    """A graph that says that a file has weights of these sides."""
    model = good(**more)
    model.graph.input[0].name = "input"
    for one in model.graph.node:
        one.input[:] = ["input" if name == "x" else name for name in one.input]
    model.graph.node[-1].op_type = kind
    del model.graph.initializer[:], model.opset_import[1:]
    model.graph.initializer.append(TensorProto(name="w", dims=sides, data_type=1))
    return packed(model)


GRAPHS: dict[str, tuple[Callable[[], Any], str]] = {
    "none": (lambda: None, "expected the graph of an ONNX file"),
    "no text": (lambda: [1, 2], "graph"),
    "no base64": (lambda: "\u202e!!", "expected a packed ONNX graph"),
    "a bomb": (lambda: base64.b64encode(zlib.compress(bytes(1 << 28), 9)).decode(), "expected at most"),
    "another graph": (lambda: hollow(192, 5), "expected 4 answers"),
    "huge weights": (lambda: hollow(1 << 20, 1 << 20), "expected at most"),
    "weights that are not in the file": (lambda: hollow(192, 500_000), "expected 4 answers"),
    "a large dense layer": (lambda: hollow(90_000_000, 1, kind="Gemm"), "expected"),
    "an operator of a stranger": (lambda: hollow(192, 4, before=[node("Run", "x", domain="evil")]), "'evil'"),
    "pictures that double": (lambda: hollow(192, 4, before=[*doubled(40, "x", axis=1), node("Relu", "x_39")]), "most"),
    "weights elsewhere": (lambda: packed(external("/etc/passwd")), "expected"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_in_a_header(name: str, hostile: Run, folder: Path, picture: Path) -> None:
    make, said = GRAPHS[name]
    header = {
        "format": "badnets/network/1",
        "architecture": "onnx",
        "arguments": {"graph": make(), "layout": "channels-first"},
        "class_names": list("abcd"),
        "input_size": [3, 8, 8],
        "mean": [0.0] * 3,
        "std": [1.0] * 3,
    }
    save_file({"layers.w0": torch.zeros(192, 4)}, folder / "network.safetensors", {"badnets": json.dumps(header)})
    result = hostile("predict", "network.safetensors", picture)
    assert said in result["err"], result["err"]
