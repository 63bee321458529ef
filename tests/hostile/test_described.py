"""Networks that describe themselves, ours and others', and what is said beside them: with nonsense in it."""

from __future__ import annotations

import io
import json
import os
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

Run = Callable[..., dict[str, Any]]
RANGE = ("--input-range", "0-1")
SIZE = ("--input-size", "16x16x3")


@pytest.fixture
def picture(folder: Path) -> Path:
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(folder / "picture.png")
    return folder / "picture.png"


def _weights(features: int = 768, name: str = "dense") -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file[f"layers/{name}/vars/0"] = np.zeros((features, 3), np.float32)
        file[f"layers/{name}/vars/1"] = np.zeros(3, np.float32)
    return buffer.getvalue()


def _layer(kind: str, name: str, inbound: object = None, **config: object) -> dict[str, Any]:
    layer = {"class_name": kind, "name": name, "config": {"name": name, **config}}
    return layer if inbound is None else {**layer, "inbound_nodes": inbound}


INPUT = _layer("InputLayer", "i", batch_shape=[None, 16, 16, 3])
DENSE = _layer("Dense", "d", units=3)
FLAT = _layer("Flatten", "f")


def _row(*layers: object, kind: str = "Sequential") -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": "m", "layers": [INPUT, *layers]}}


def _nodes(*names: str) -> list[Any]:
    return [[[name, 0, 0, {}] for name in names]]


def _graph(*layers: dict[str, Any], end: str = "d") -> dict[str, Any]:
    config = {"layers": [{**INPUT, "inbound_nodes": []}, *layers], "output_layers": [[end, 0, 0]]}
    return {"class_name": "Functional", "config": config}


def _in_each_other(depth: int) -> dict[str, Any]:
    model = _row(FLAT, DENSE)
    for _ in range(depth):
        model = _row(model)
    return model


def _conv(**config: object) -> dict[str, Any]:
    return _row(_layer("Conv2D", "c", **{"filters": 4, "kernel_size": [3, 3], **config}), FLAT, DENSE)


CONFIGS: dict[str, Callable[[], object]] = {
    "no layers": lambda: _row(),
    "no table": lambda: [1, 2],
    "a number": lambda: 7,
    "layers that are numbers": lambda: _row(1, 2),
    "layers that are texts": lambda: {"class_name": "Sequential", "config": {"layers": "abc"}},
    "settings that are a list": lambda: _row({"class_name": "Dense", "config": [3]}),
    "a lambda": lambda: _row(_layer("Lambda", "l", function=["marshal", None]), FLAT, DENSE),
    "a class of one's own": lambda: _row({"class_name": "os>system", "module": "os", "config": {}}, FLAT, DENSE),
    "10,001 layers": lambda: _row(*[_layer("Dense", f"d{k}", units=3) for k in range(10_001)]),
    "3,000 layers of one name": lambda: _row(*[_layer("ReLU", "a") for _ in range(3000)], FLAT, DENSE),
    "20,000 that change nothing": lambda: _row(*[_layer("GaussianNoise", "a") for _ in range(20_000)], FLAT, DENSE),
    "15 models in each other": lambda: _in_each_other(15),
    "300 models in each other": lambda: _in_each_other(300),
    "units of 10^9": lambda: _row(FLAT, _layer("Dense", "d", units=10**9)),
    "units of 10^30": lambda: _row(FLAT, _layer("Dense", "d", units=10**30)),
    "units below 0": lambda: _row(FLAT, _layer("Dense", "d", units=-3)),
    "units of a text": lambda: _row(FLAT, _layer("Dense", "d", units="3")),
    "true units": lambda: _row(FLAT, _layer("Dense", "d", units=True)),
    "a million filters of 16,000": lambda: _conv(filters=1 << 20, kernel_size=[16_000, 16_000], padding="same"),
    "a kernel of 0": lambda: _conv(kernel_size=[0, 3]),
    "a kernel of three": lambda: _conv(kernel_size=[3, 3, 3]),
    "a kernel larger than maps": lambda: _conv(kernel_size=[99, 99]),
    "strides of 0": lambda: _conv(strides=[0, 0]),
    "strides of 10^30": lambda: _conv(strides=[10**30, 1]),
    "groups of 0": lambda: _conv(groups=0),
    "groups of 3": lambda: _conv(groups=3),
    "groups of a text": lambda: _conv(groups="x"),
    "another padding": lambda: _conv(padding="\x1b[2J"),
    "a depth of 10^9": lambda: _row(_layer("DepthwiseConv2D", "c", depth_multiplier=10**9), FLAT, DENSE),
    "a depth of NaN": lambda: _row(_layer("DepthwiseConv2D", "c", depth_multiplier=float("nan")), FLAT, DENSE),
    "zeros of 10^9": lambda: _row(_layer("ZeroPadding2D", "z", padding=10**9), FLAT, DENSE),
    "many zeros": lambda: _row(*[_layer("ZeroPadding2D", f"z{k}", padding=16_000) for k in range(50)], FLAT, DENSE),
    "cut to nothing": lambda: _row(_layer("Cropping2D", "z", cropping=8), FLAT, DENSE),
    "a rate of a text": lambda: _row(_layer("Dropout", "z", rate="x"), FLAT, DENSE),
    "a rate of -1": lambda: _row(_layer("Dropout", "z", rate=-1), FLAT, DENSE),
    "an epsilon of 10^300": lambda: _row(_layer("BatchNormalization", "z", epsilon=1e300), FLAT, DENSE),
    "an epsilon of a table": lambda: _row(_layer("BatchNormalization", "z", epsilon={}, axis={}), FLAT, DENSE),
    "a norm alone": lambda: _row(_layer("BatchNormalization", "d")),
    "maps at the end": lambda: _row(_layer("Conv2D", "d", filters=3, kernel_size=1)),
    "names of control characters": lambda: _row(FLAT, _layer("Dense\x1b[2J", "\x1b[2J\x07", units=3)),
    "names of a megabyte": lambda: _row(FLAT, _layer("D" * 1_000_000, "d" * 1_000_000, units=3)),
    "a name that is a table": lambda: _row(FLAT, {"class_name": "Dense", "name": {}, "config": {"units": 3}}),
    "itself as input": lambda: _graph({**DENSE, "inbound_nodes": _nodes("d")}),
    "a circle": lambda: _graph({**FLAT, "inbound_nodes": _nodes("d")}, {**DENSE, "inbound_nodes": _nodes("f")}),
    "inputs that are not there": lambda: _graph({**DENSE, "inbound_nodes": _nodes("x")}),
    "no inputs": lambda: _graph({**DENSE, "inbound_nodes": []}),
    "inputs that are a number": lambda: _graph({**DENSE, "inbound_nodes": 7}),
    "inputs that are deep": lambda: _graph({**DENSE, "inbound_nodes": [json.loads("[" * 400 + "]" * 400)]}),
    "4,000 inputs": lambda: _graph(
        {**FLAT, "inbound_nodes": _nodes("i")}, _layer("Add", "d", _nodes(*["f"] * 4000))
    ),
    "a row of sums that double": lambda: _graph(
        {**FLAT, "inbound_nodes": _nodes("i")},
        *[_layer("Concatenate", f"a{k}", _nodes(*[f"a{k - 1}" if k else "f"] * 2)) for k in range(60)],
        {**DENSE, "inbound_nodes": _nodes("a59")},
    ),
    "maps and rows added": lambda: _graph(
        _layer("GlobalAveragePooling2D", "g", _nodes("i")), _layer("Add", "a", _nodes("g", "i")),
        {**FLAT, "inbound_nodes": _nodes("a")}, {**DENSE, "inbound_nodes": _nodes("f")},
    ),
    "an output that is not there": lambda: _graph({**FLAT, "inbound_nodes": _nodes("i")}, end="x"),
    "names of attributes": lambda: _row(FLAT, _layer("Dense", "forward", units=3), _layer("ReLU", "__class__")),
    "a size of 10^30": lambda: _row(_layer("InputLayer", "j", batch_shape=[None, 10**30, 1, 1]), FLAT, DENSE),
    "scales without end": lambda: _row(_layer("Rescaling", "s", scale=[1.0] * 1_000_000), FLAT, DENSE),
    "a scale of infinity": lambda: _row(_layer("Rescaling", "s", scale=float("inf")), FLAT, DENSE),
    "a slope of a text": lambda: _row(_layer("LeakyReLU", "s", alpha="\x1b[2J"), FLAT, DENSE),
    "a function that is a table": lambda: _row(FLAT, _layer("Dense", "d", units=3, activation={"config": {}})),
}  # fmt: skip
FINE = ("15 models", "names of attributes", "3,000 layers", "20,000 that", "a name that")


def _archive(path: Path, config: object, weights: bytes | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        archive.writestr("model.weights.h5", _weights() if weights is None else weights)
    return path


@pytest.mark.parametrize("name", CONFIGS)
def test_keras_descriptions(name: str, folder: Path, hostile: Run, picture: Path) -> None:
    config = CONFIGS[name]()
    code = (0, 2) if name.startswith(FINE) else 2
    _archive(folder / "x.keras", config)
    hostile("predict", folder / "x.keras", picture, *RANGE, code=code)
    hostile("show", folder / "x.keras", code=(0, 2))
    with h5py.File(folder / "x.h5", "w") as file:
        file.attrs.create("model_config", json.dumps(config), dtype=h5py.string_dtype())
        file.attrs["layer_names"] = [b"d"]
        group = file.create_group("d")
        group.attrs["weight_names"] = [b"d/kernel:0", b"d/bias:0"]
        group["d/kernel:0"], group["d/bias:0"] = np.zeros((768, 3), np.float32), np.zeros(3, np.float32)
    if len(json.dumps(config)) < 60_000:
        hostile("predict", folder / "x.h5", picture, *RANGE, code=code)


def _bomb(path: Path, name: str, size: int) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in (("config.json", json.dumps(_row(FLAT, DENSE))), ("model.weights.h5", _weights())):
            if member != name:
                archive.writestr(member, content)
                continue
            with archive.open(member, "w", force_zip64=True) as file:
                for _ in range(size >> 20):
                    file.write(b" " * (1 << 20))


def _twice(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("config.json", "model.weights.h5", "config.json"):
            archive.writestr(name, "{}")


def _lying(path: Path) -> None:
    _archive(path, _row(FLAT, DENSE))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 20 : at + 28] = b"\xff\xff\xff\x7f\xff\xff\xff\x7f"
    path.write_bytes(bytes(content))


ARCHIVES: dict[str, Callable[[Path], object]] = {
    "no weights": lambda p: zipfile.ZipFile(p, "w").writestr("config.json", "{}"),
    "no description": lambda p: zipfile.ZipFile(p, "w").writestr("model.weights.h5", _weights()),
    "a description of brackets": lambda p: _archive(p, "[" * 1_000_000),
    "a description of 900 brackets": lambda p: _archive(p, '{"config":' + "[" * 900 + "]" * 900 + "}"),
    "a description of digits": lambda p: _archive(p, '{"a": ' + "9" * 100_000 + "}"),
    "a description that is no json": lambda p: _archive(p, "\x00\x01"),
    "a description of 2 GB": lambda p: _bomb(p, "config.json", 2 << 30),
    "weights of 2 GB": lambda p: _bomb(p, "model.weights.h5", 2 << 30),
    "weights that are none": lambda p: _archive(p, _row(FLAT, DENSE), b"no"),
    "weights of nothing": lambda p: _archive(p, _row(FLAT, DENSE), b""),
    "weights of another layer": lambda p: _archive(p, _row(FLAT, DENSE), _weights(name="conv2d")),
    "weights of another shape": lambda p: _archive(p, _row(FLAT, DENSE), _weights(700)),
    "one name twice": _twice,
    "sizes that lie": _lying,
    "cut off": lambda p: p.write_bytes(_archive(p, _row(FLAT, DENSE)).read_bytes()[:-40]),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_keras_archives(name: str, folder: Path, hostile: Run, picture: Path) -> None:
    ARCHIVES[name](folder / "x.keras")
    hostile("predict", folder / "x.keras", picture, *RANGE)
    hostile("predict", folder / "x.keras", picture, *RANGE, *SIZE, "--arch", "g1-cnn")
    hostile("show", folder / "x.keras", code=(0, 2))


def _mine(layers: object) -> Callable[[Path, Path], None]:
    """Our own file of architecture ``graph`` with these layers."""

    def write(good: Path, path: Path) -> None:
        content = good.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        outer = json.loads(content[8 : 8 + length])
        inner = json.loads(outer["__metadata__"]["badnets"])
        inner |= {"architecture": "graph", "arguments": {"layers": layers}}
        outer["__metadata__"]["badnets"] = json.dumps(inner)
        text = json.dumps(outer).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])

    return write


def _one(kind: str, name: str = "a", **more: object) -> dict[str, object]:
    return {"kind": kind, "name": name, **more}


GRAPHS: dict[str, object] = {
    "10,001 layers": [_one("flatten", f"a{k}") for k in range(10_001)],
    "a billion features": [_one("flatten"), _one("dense", "b", features=10**9)],
    "a million features, twice": [_one("flatten"), *[_one("dense", f"b{k}", features=1 << 20) for k in range(2)]],
    "zeros without end": [_one("pad", f"a{k}", sides=[1 << 14] * 4) for k in range(200)],
    "itself": [_one("join", how="add", inputs=["a", "a"])],
    "a circle": [_one("join", "a", how="add", inputs=["b"]), _one("join", "b", how="add", inputs=["a"])],
    "an unknown kind": [_one("os.system")],
    "a million inputs": [_one("join", how="append", inputs=["input"] * 1_000_000)],
    "sums that double": [_one("join", f"a{k}", how="append", inputs=[f"a{k - 1}" if k else "input"] * 2)
                         for k in range(60)],
    "a name twice": [_one("flatten"), _one("flatten")],
    "forward": [_one("flatten", "forward"), _one("dense", "b", features=3)],
    "a dunder": [_one("flatten", "__dict__"), _one("dense", "b", features=3)],
    "the input": [_one("flatten", "input"), _one("dense", "b", features=3)],
    "private": [_one("flatten", "_given"), _one("dense", "b", features=3)],
    "a dot": [_one("flatten", "a.b"), _one("dense", "b", features=3)],
    "a name of control characters": [_one("flatten", "\x1b[2J")],
    "a name of a megabyte": [_one("flatten", "a" * 1_000_000)],
    "other settings": [_one("flatten", run="x")],
    "a text": "flatten",
    "a table": {"kind": "flatten"},
    "windows larger than maps": [_one("pool", how="max", kernel=[99, 99], stride=[1, 1])],
    "windows in the padding": [_one("pool", how="max", kernel=[1, 1], stride=[1, 1], padding=[9, 9, 9, 9]),
                               _one("flatten", "f"), _one("dense", "b", features=3)],
    "maps and rows": [_one("global-pool", how="mean"), _one("join", "b", how="add", inputs=["a", "input"])],
    "a scale of a million": [_one("scale", by=[1.0] * 1_000_000)],
    "a scale of NaN": [_one("scale", by=["nan"])],
    "deep": json.loads("[" * 500 + "]" * 500),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_our_own_graphs(name: str, folder: Path, hostile: Run, picture: Path, good_run: Path) -> None:
    _mine(GRAPHS[name])(good_run / "network.safetensors", folder / "x.safetensors")
    hostile("predict", folder / "x.safetensors", picture)
    hostile("show", folder / "x.safetensors")


NAMES: dict[str, Callable[[Path], object]] = {
    "a gigabyte": lambda p: os.truncate(os.open(p, os.O_CREAT | os.O_RDWR), 1 << 30),
    "binary": lambda p: p.write_bytes(bytes(range(256)) * 100),
    "zeros": lambda p: p.write_bytes(bytes(1000)),
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "nothing": Path.touch,
    "brackets": lambda p: p.write_text("[" * 100_000),
    "digits": lambda p: p.write_text('{"cat": ' + "9" * 100_000 + "}"),
    "numbers of 10^300": lambda p: p.write_text('{"cat": 1e300, "dog": 0}'),
    "numbers that are lists": lambda p: p.write_text('{"cat": [0], "dog": [1]}'),
    "numbers that are none": lambda p: p.write_text('{"cat": null, "dog": 1}'),
    "numbers twice": lambda p: p.write_text('{"cat": 0, "dog": 0, "owl": 1}'),
    "half and half": lambda p: p.write_text('{"0": "cat", "1": "dog", "2": 2}'),
    "numbers with a gap": lambda p: p.write_text('{"0": "cat", "1": "dog", "3": "owl"}'),
    "lists in a list": lambda p: p.write_text('[["cat"], ["dog"], ["owl"]]'),
    "an empty list": lambda p: p.write_text("[]"),
    "a number": lambda p: p.write_text("[1, 2, 3]"),
    "names twice": lambda p: p.write_text("cat\ndog\ncat\n"),
    "a name missing": lambda p: p.write_text("cat\n\ndog\n"),
    "200,000 names": lambda p: p.write_text("\n".join(map(str, range(200_000)))),
    "a name of a megabyte": lambda p: p.write_text("a" * 1_000_000 + "\nb\nc"),
    "lone surrogates": lambda p: p.write_text('["\\ud800", "b", "c"]'),
    "four names": lambda p: p.write_text("a\nb\nc\nd"),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_classes(name: str, folder: Path, hostile: Run, picture: Path) -> None:
    torch.save({"weight": torch.zeros(3, 768), "bias": torch.zeros(3)}, folder / "x.pt")
    NAMES[name](folder / "names.txt")
    hostile("predict", folder / "x.pt", picture, *RANGE, *SIZE, "--class-names", folder / "names.txt")


@pytest.mark.parametrize("text", ["", ",", ",,,", "a,a,b", "a,,b", "x" * 5000, "a/" * 3000, "imagefolder", "a\udcff,b"])
def test_typed_names_of_classes(text: str, folder: Path, hostile: Run, picture: Path) -> None:
    torch.save({"weight": torch.zeros(3, 768), "bias": torch.zeros(3)}, folder / "x.pt")
    hostile("predict", folder / "x.pt", picture, *RANGE, *SIZE, "--class-names", text)


def _pairs(count: int, *shapes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    return {f"l{k}_{n}.weight": torch.zeros(shape) for k in range(count) for n, shape in enumerate(shapes)}


def _lists(depth: int) -> object:
    value: object = {"weight": torch.zeros(3, 768), "bias": torch.zeros(3)}
    for _ in range(depth):
        value = [value] * 16
    return value


def _circle() -> dict[str, Any]:
    one: dict[str, Any] = {"weight": torch.zeros(3, 5)}
    one["model"], one["ema"], one["list"] = one, {"net": one}, [one, one]
    return one


STATES: dict[str, Callable[[], object]] = {
    "3,000 networks in a row": lambda: _pairs(3000, (4, 3, 3, 3), (3, 784)),
    "3,000 tables": lambda: {f"t{k}": {"weight": torch.zeros(3, k + 2)} for k in range(3000)},
    "3,000 tables of one network": lambda: {f"t{k}": {"weight": torch.zeros(3, 768)} for k in range(3000)},
    "lists of lists of one table": lambda: _lists(4),
    "in itself in many ways": _circle,
    "8 convolutions": lambda: {**_pairs(8, (3, 3, 3, 3)), "z.weight": torch.zeros(3, 3)},
    "4 wide convolutions": lambda: {**_pairs(4, (3, 3, 15, 15)), "z.weight": torch.zeros(3, 27)},
    "400 convolutions": lambda: {**_pairs(400, (3, 3, 1, 1)), "z.weight": torch.zeros(3, 768)},
    "2,000 dense layers": lambda: {
        "a.weight": torch.zeros(5, 768), **_pairs(2000, (5, 5)), "z.weight": torch.zeros(3, 5)
    },
    "2,000 norms": lambda: {**{f"n{k}.{role}": torch.ones(3) for k in range(2000) for role in
                               ("weight", "bias", "running_mean", "running_var")}, "z.weight": torch.zeros(3, 768)},
    "kernels of no size": lambda: {"a.weight": torch.zeros(3, 3, 0, 0), "z.weight": torch.zeros(3, 768)},
    "kernels larger than pictures": lambda: {"a.weight": torch.zeros(3, 3, 99, 99), "z.weight": torch.zeros(3, 3)},
    "no outputs": lambda: {"a.weight": torch.zeros(0, 768)},
    "a dense layer of nothing": lambda: {"a.weight": torch.zeros(3, 0)},
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_layers_in_a_row(name: str, folder: Path, hostile: Run, pictures: Path) -> None:
    torch.save(STATES[name](), folder / "x.pt")
    hostile("evaluate", folder / "x.pt", "--data", pictures, code=(0, 2, 3))
    hostile("show", folder / "x.pt", code=(0, 2))
