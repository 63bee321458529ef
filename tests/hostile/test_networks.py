"""Files of networks, ours and others', that run something, claim more than they have, or hold nonsense."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

Run = Callable[..., dict[str, Any]]


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("started-by-a-pickle", "w")


def _state() -> dict[str, torch.Tensor]:
    return {"weight": torch.zeros(3, 768), "bias": torch.zeros(3)}


def _saved(path: Path, value: object, **how: Any) -> None:
    torch.save(value, path, **how)


def _raw(path: Path, content: bytes) -> None:
    """A torch archive around any pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", content)
        archive.writestr("x/version", "3")
        archive.writestr("x/byteorder", "little")


def _itself() -> dict[str, Any]:
    state: dict[str, Any] = {}
    state["state_dict"] = state
    return state


def _nested(depth: int) -> object:
    value: object = _state()
    for _ in range(depth):
        value = {"state_dict": value}
    return value


def _huge_strides(path: Path) -> None:
    _saved(path, {"weight": torch.zeros(1).expand(1 << 20, 1 << 20)})


def _script(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        archive.writestr("x/code/__torch__.py", "import os\nos.system('touch started')")
        archive.writestr("x/constants.pkl", b"\x80\x02).")


def _lambda_module() -> object:
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 3))


def _packed(path: Path) -> None:
    _saved(path, {"weight": torch.zeros(64 << 20)})
    with zipfile.ZipFile(path) as given:
        members = {name: given.read(name) for name in given.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _cut(path: Path) -> None:
    _saved(path, _state())
    path.write_bytes(path.read_bytes()[:2000])


TORCH: dict[str, Callable[[Path], object]] = {
    "runs code": lambda p: _saved(p, {"weight": _Runs()}),
    "runs code, old format": lambda p: _saved(p, {"weight": _Runs()}, _use_new_zipfile_serialization=False),
    "a bare pickle": lambda p: p.write_bytes(pickle.dumps(_Runs())),
    "a pickle of protocol 0": lambda p: p.write_bytes(b"cposix\nsystem\n(S'touch started'\ntR."),
    "a module": lambda p: _saved(p, _lambda_module()),
    "a script": _script,
    "strides of 0": _huge_strides,
    "500,000 classes": lambda p: _saved(p, {"weight": torch.zeros(1, 1).expand(500_000, 768)}),
    "NaN": lambda p: _saved(p, {"weight": torch.full((3, 768), torch.nan), "bias": torch.zeros(3)}),
    "infinity": lambda p: _saved(p, {"weight": torch.full((3, 768), torch.inf), "bias": torch.zeros(3)}),
    "fp8": lambda p: _saved(p, {k: v.to(torch.float8_e4m3fn) for k, v in _state().items()}),
    "fp8 NaN": lambda p: _saved(p, {k: (v + torch.nan).to(torch.float8_e4m3fn) for k, v in _state().items()}),
    "complex": lambda p: _saved(p, {k: v.to(torch.complex64) for k, v in _state().items()}),
    "sparse": lambda p: _saved(p, {"weight": torch.eye(3).to_sparse()}),
    "meta": lambda p: _saved(p, {"weight": torch.empty(10**6, 10**6, device="meta")}),
    "texts": lambda p: _saved(p, {"weight": "a" * 1000}),
    "nothing in it": lambda p: _saved(p, {}),
    "a list": lambda p: _saved(p, [torch.zeros(3)]),
    "a number": lambda p: _saved(p, 7),
    "itself": lambda p: _saved(p, _itself()),
    "500 in each other": lambda p: _saved(p, _nested(200)),
    "names of control characters": lambda p: _saved(p, {"\x1b[2Jweight": torch.zeros(3)}),
    "names of a megabyte": lambda p: _saved(p, {"w" * 1_000_000: torch.zeros(3)}),
    "100,000 tensors": lambda p: _saved(p, {f"w{i}": torch.zeros(0) for i in range(100_000)}),
    "a tuple as key": lambda p: _saved(p, {(1, 2): torch.zeros(3)}),
    "no pickle inside": lambda p: _raw(p, b"hello"),
    "a pickle of marks": lambda p: _raw(p, b"\x80\x02" + b"(" * 1_000_000 + b"."),
    "a pickle of brackets": lambda p: _raw(p, b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."),
    "a long number": lambda p: _raw(p, b"\x80\x02\x8b\xff\xff\xff\x7f" + b"1" * 100 + b"."),
    "a storage that is not there": lambda p: _raw(p, _storage(100)),
    "a storage of 2^40": lambda p: _raw(p, _storage(1 << 40)),
    "empty": lambda p: p.write_bytes(b""),
    "cut off": _cut,
    "zip alone": lambda p: zipfile.ZipFile(p, "w").close(),
    "packed": _packed,
    "text": lambda p: p.write_text("weights, trust me"),
    "html": lambda p: p.write_text("<!DOCTYPE html><html>404</html>"),
    "an lfs pointer": lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
    "dtype of its own": lambda p: _saved(p, {"weight": torch.zeros(3, 768, dtype=torch.int64), "bias": torch.zeros(3)}),
}


def _storage(count: int) -> bytes:
    """A tensor of ``count`` numbers whose storage is missing."""
    number = b"\x8a\x08" + struct.pack("<q", count)
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu" + number + b"tQ"
    size = b"(" + number + b"t(K\x01t\x89ccollections\nOrderedDict\n)R"
    return b"\x80\x02}X\x06\0\0\0weightctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0" + size + b"tRs."


@pytest.fixture
def picture(folder: Path) -> Path:
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(folder / "picture.png")
    return folder / "picture.png"


FOREIGN = ("--arch", "resnet9:width=4", "--input-size", "16x16x3", "--input-range", "0-1")


@pytest.mark.parametrize("name", TORCH)
def test_torch(name: str, folder: Path, hostile: Run, picture: Path) -> None:
    TORCH[name](folder / "x.pt")
    hostile("predict", folder / "x.pt", picture, *FOREIGN)
    hostile("show", folder / "x.pt", code=(0, 2))  # it lists tensors, and reads no numbers


@pytest.mark.parametrize("name", ["runs code", "strides of 0", "a script"])
@pytest.mark.parametrize("ending", ["pth", "pkl", "ckpt", "bin", "safetensors", "h5", "model", "tar"])
def test_torch_in_disguise(name: str, ending: str, folder: Path, hostile: Run, picture: Path) -> None:
    TORCH[name](folder / f"x.{ending}")
    hostile("predict", folder / f"x.{ending}", picture, *FOREIGN)
    hostile("predict", folder / f"x.{ending}", picture)


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.parametrize("zipped", [True, False])
def test_flipped_bytes_of_torch(seed: int, zipped: bool, folder: Path, hostile: Run, picture: Path) -> None:
    buffer = io.BytesIO()
    torch.save(_state(), buffer, _use_new_zipfile_serialization=zipped)
    (folder / "x.pt").write_bytes(_mutated(buffer.getvalue(), seed))
    hostile("predict", folder / "x.pt", picture, *FOREIGN)


def _mutated(content: bytes, seed: int) -> bytes:
    rng, data = Random(seed), bytearray(content)
    for _ in range(rng.choice((1, 4, 30))):
        at = rng.choice((rng.randrange(min(700, len(data))), -1 - rng.randrange(min(500, len(data)))))
        data[at] = rng.choice((0, 255, 1, rng.randrange(256)))
    if seed % 5 == 0:
        del data[rng.randrange(len(data)) :]
    return bytes(data)


def _safetensors(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def _ours(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> Callable[[Path], bytes]:
    """The good network, with its header (and the file's) changed."""

    def make(path: Path) -> bytes:
        content = path.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        outer = json.loads(content[8 : 8 + length])
        inner = json.loads(outer["__metadata__"]["badnets"])
        change(inner, outer)
        if "__metadata__" in outer:
            outer["__metadata__"]["badnets"] = json.dumps(inner)
        return _safetensors(outer, content[8 + length :])

    return make


def _set(**values: object) -> Callable[[Path], bytes]:
    return _ours(lambda inner, _: inner.update(values))


def _weights(value: float) -> Callable[[Path], bytes]:
    """All weights set to one number."""

    def make(path: Path) -> bytes:
        content = path.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        numbers = np.full((len(content) - 8 - length) // 4, value, "<f4").tobytes()
        return content[: 8 + length] + numbers.ljust(len(content) - 8 - length, b"\0")

    return make


def _twice(path: Path) -> bytes:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    text = content[8 : 8 + length].rstrip().decode()
    name, entry = next((k, v) for k, v in json.loads(text).items() if k != "__metadata__")
    return _safetensors(f"{text[:-1]},{json.dumps(name)}:{json.dumps(entry)}}}".encode(), content[8 + length :])


DEEP = "[" * 100_000
OURS: dict[str, Callable[[Path], bytes]] = {
    "a size of 16,384": _set(input_size=[3, 16384, 16384]),
    "a size of 10^9": _set(input_size=[3, 10**9, 10**9]),
    "a size below 0": _set(input_size=[3, -5, 5]),
    "a size of 64 channels": _set(input_size=[64, 16, 16], mean=[0.0] * 64, std=[1.0] * 64),
    "an architecture of 60 GB": _set(architecture="torchvision:regnet_y_128gf", arguments={}),
    "an architecture that is not there": _set(architecture="\x1b[2Jnone"),
    "an architecture of a megabyte": _set(architecture="a" * 1_000_000),
    "a width of 10^9": _set(arguments={"width": 10**9}),
    "a width of 10^5000": _ours(lambda inner, outer: inner.update(arguments={"width": int("9" * 4000)})),
    "a width of a text": _set(arguments={"width": "4; touch started"}),
    "other arguments": _set(arguments={"weights": "/etc/passwd"}),
    "500,000 classes": _set(class_names=[str(i) for i in range(500_000)]),
    "no classes": _set(class_names=[]),
    "classes of control characters": _set(class_names=["\x1b[2Jcat", "dog\x07", "o\nwl"]),
    "classes of a megabyte": _set(class_names=["c" * 1_000_000, "b", "c"]),
    "provenance of control characters": _set(provenance={"backdoor": {"warning": "\x1b[2J\x1b[8m", "planted": "\x1b"}}),
    "provenance that is deep": _ours(
        lambda inner, outer: inner.update(provenance={"a": json.loads("[" * 500 + "]" * 500)})
    ),
    "mean of NaN": _ours(lambda inner, outer: inner.update(mean=[float("nan")] * 3)),
    "std of 0": _set(std=[0.0, 0.0, 0.0]),
    "another format": _set(format="badnets/network/99"),
    "shared with itself": _set(shared={"a": "a"}),
    "narrowed to 10^9": _set(narrowed={"body.0": 10**6}),
    "no header of ours": _ours(lambda inner, outer: outer.pop("__metadata__")),
    "weights of NaN": _weights(float("nan")),
    "weights of infinity": _weights(float("inf")),
    "a tensor twice": _twice,
    "a tensor of another shape": _ours(lambda _, outer: _first(outer).update(shape=[1 << 40])),
    "a tensor beyond the end": _ours(lambda _, outer: _first(outer).update(data_offsets=[0, 1 << 60])),
    "a tensor before the start": _ours(lambda _, outer: _first(outer).update(data_offsets=[-8, 8])),
    "tensors over each other": _ours(lambda _, outer: [e.update(_first(outer)) for e in list(outer.values())[1:]]),
    "a dtype that is not there": _ours(lambda _, outer: _first(outer).update(dtype="Q7")),
    "fp8": _ours(lambda _, outer: _first(outer).update(dtype="F8_E4M3")),
    "a tensor that is a text": _ours(lambda _, outer: outer.update(x="y")),
    "100,000 tensors": _ours(lambda _, outer: outer.update({f"t{i}": _first(outer) for i in range(100_000)})),
    "a deep header": lambda _: _safetensors(b'{"a":' + DEEP.encode()),
    "a header of many digits": lambda _: _safetensors(b'{"a":' + b"9" * 5000 + b"}"),
    "a header of 2^63": lambda _: _safetensors(b"{}", length=1 << 63),
    "a header longer than the file": lambda _: _safetensors(b"{}", length=1 << 20),
    "a header that is no json": lambda _: _safetensors(b"{not json}"),
    "a header of no utf-8": lambda _: _safetensors(b'{"\xff": 1}'),
    "a list": lambda _: _safetensors(b"{}"[:0] + b"[1]"),
    "nothing": lambda _: b"",
    "cut off": lambda p: p.read_bytes()[:-100],
    "longer": lambda p: p.read_bytes() + b"x",
}
HARMLESS = ("classes of control", "provenance", "shared with itself")


def _first(outer: dict[str, Any]) -> dict[str, Any]:
    return next(value for name, value in outer.items() if name != "__metadata__")


@pytest.mark.parametrize("name", OURS)
def test_ours(name: str, folder: Path, hostile: Run, picture: Path, good_run: Path) -> None:
    file = folder / "x.safetensors"
    file.write_bytes(OURS[name](good_run / "network.safetensors"))
    code = (0, 2) if name.startswith(HARMLESS) else 2
    hostile("predict", file, picture, code=code)
    hostile("show", file, code=(0, 2))
    hostile("show", file, "--json", code=(0, 2))
    hostile("predict", file, picture, *FOREIGN, code=(0, 2))


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_of_ours(seed: int, folder: Path, hostile: Run, picture: Path, good_run: Path) -> None:
    (folder / "x.safetensors").write_bytes(_mutated((good_run / "network.safetensors").read_bytes(), seed))
    hostile("predict", folder / "x.safetensors", picture, code=(0, 2))


def test_weights_of_nan_are_refused_everywhere(
    folder: Path, hostile: Run, good_run: Path, pictures: Path, picture: Path
) -> None:
    file = folder / "x.safetensors"
    file.write_bytes(_weights(float("nan"))(good_run / "network.safetensors"))
    for words in (
        ("evaluate", file, "--data", pictures),
        ("repair", file, "--method", "fine-tune", "--data", pictures, "--out", folder / "y.safetensors"),
        ("guard", file, "--method", "strip", "--data", pictures, "--out", folder / "y.safetensors"),
        ("evaluate", good_run, "--data", pictures, "--reference", file),
    ):
        hostile(*words)
    assert not (folder / "y.safetensors").exists()


def _keras(path: Path, make: Callable[[h5py.File], object]) -> None:
    with h5py.File(path, "w") as file:
        make(file)


def _layer(file: h5py.File, **how: Any) -> None:
    file.attrs["layer_names"] = [b"dense"]
    group = file.create_group("dense")
    group.attrs["weight_names"] = [b"dense/kernel:0"]
    group.create_dataset("dense/kernel:0", **{"shape": (768, 3), "dtype": "f4", **how})


def _config(file: h5py.File, text: str) -> None:
    _layer(file, data=np.zeros((768, 3), "f4"))
    file.attrs.create("model_config", text, dtype=h5py.string_dtype())


def _names(file: h5py.File) -> None:
    for part in range(20):
        file.attrs[f"layer_names{part}"] = np.array([b"a" * 10] * 5000)
    file.create_group("a" * 10).attrs["weight_names"] = [b"w"]


def _deep(file: h5py.File) -> None:
    group = file.create_group("layers")
    for _ in range(3000):
        group = group.create_group("x")


KERAS: dict[str, Callable[[h5py.File], object]] = {
    "external storage": lambda f: _layer(f, external=[("/proc/self/exe", 0, 9216)]),
    "never written": _layer,
    "a bomb": lambda f: _layer(f, shape=(400_000, 3000), chunks=(1000, 3000), compression="gzip", fillvalue=1.0),
    "NaN": lambda f: _layer(f, data=np.full((768, 3), np.nan, "f4")),
    "half NaN": lambda f: _layer(f, data=np.full((768, 3), np.nan, "f2"), dtype="f2"),
    "integers": lambda f: _layer(f, data=np.zeros((768, 3), "i4"), dtype="i4"),
    "a link out": lambda f: (f.attrs.update(layer_names=[b"dense"]), f.update(dense=h5py.ExternalLink("/x.h5", "/"))),
    "a link to itself": lambda f: (f.attrs.update(layer_names=[b"dense"]), f.update(dense=h5py.SoftLink("/dense"))),
    "a layer that is not there": lambda f: f.attrs.update(layer_names=[b"none"]),
    "names that leave": lambda f: f.attrs.update(layer_names=[b"../../x"]),
    "names of control characters": lambda f: (f.create_group("\x1b[2Jx"), f.attrs.update(layer_names=[b"\x1b[2Jx"])),
    "a config of brackets": lambda f: _config(f, "[" * 60_000),
    "a config of many digits": lambda f: _config(f, '{"a": ' + "9" * 5000 + "}"),
    "a config that is no json": lambda f: _config(f, "no"),
    "a lambda": lambda f: _config(f, '{"config": {"name": "x", "function": "marshal"}, "class_name": "Lambda"}'),
    "numbered names without end": lambda f: f.attrs.update({f"layer_names{i}": [b"a"] for i in range(500)}),
    "100,000 names": _names,
    "nothing": lambda f: None,
    "deep": _deep,
}


@pytest.mark.parametrize("name", KERAS)
def test_keras(name: str, folder: Path, hostile: Run, picture: Path) -> None:
    _keras(folder / "x.h5", KERAS[name])
    hostile("predict", folder / "x.h5", picture, *FOREIGN)
    hostile("evaluate", folder / "x.h5", "--data", folder / "x.h5", *FOREIGN)


def test_a_keras_bomb(folder: Path, hostile: Run, picture: Path) -> None:
    with h5py.File(folder / "x.h5", "w") as file:
        _layer(file, shape=(800_000, 768), chunks=(10_000, 768), compression="gzip", compression_opts=9)
        block = np.zeros((10_000, 768), "f4")
        for at in range(0, 800_000, 10_000):
            file["dense/dense/kernel:0"][at : at + 10_000] = block
    hostile("predict", folder / "x.h5", picture, *FOREIGN)


def test_initial_weights(folder: Path, hostile: Run, pictures: Path) -> None:
    (folder / "x.safetensors").write_text("no weights")
    argument = f"network=deepid:weights={folder / 'x.safetensors'}"
    hostile("attack", "--data", pictures, "--set", argument, "--out", folder / "run")
    save_file({"weight": torch.full((3,), torch.nan)}, folder / "x.safetensors")
    hostile("attack", "--data", pictures, "--set", argument, "--out", folder / "run")


def test_ordered_dict_is_fine(folder: Path, hostile: Run, picture: Path, good_run: Path) -> None:
    """Not hostile: the harness would notice if everything were refused."""
    from safetensors.torch import load_file

    torch.save({"state_dict": OrderedDict(load_file(good_run / "network.safetensors"))}, folder / "x.pt")
    hostile("predict", folder / "x.pt", picture, *FOREIGN, code=0)
