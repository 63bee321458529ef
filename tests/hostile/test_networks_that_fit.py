"""Files with exactly the tensors of a good network, of which one is something else; and headers that claim much."""

from __future__ import annotations

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
from safetensors.torch import load_file, save_file

State = dict[str, Any]
Run = Callable[..., dict[str, Any]]
FOREIGN = ("--arch", "resnet9:width=4", "--input-size", "16x16x3", "--input-range", "0-1")


@pytest.fixture
def picture(folder: Path) -> Path:
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(folder / "picture.png")
    return folder / "picture.png"


def _first(state: State, end: str = "weight") -> str:
    return next(name for name in state if name.endswith(end))


def _with(change: Callable[[torch.Tensor], Any], end: str = "weight") -> Callable[[State], State]:
    return lambda state: {**state, _first(state, end): change(state[_first(state, end)])}


def _set(number: float, end: str = "weight") -> Callable[[State], State]:
    def make(value: torch.Tensor) -> torch.Tensor:
        value = value.double() if number == 1e300 else value.clone()
        value.view(-1)[value.numel() // 2] = number
        return value

    return _with(make, end)


STATES: dict[str, Callable[[State], Any]] = {
    "one NaN": _set(float("nan")),
    "one infinity": _set(float("inf")),
    "one too large for float32": _set(1e300),
    "all so large that the answers are NaN": lambda s: {
        k: torch.full_like(v, 3e38) if k.endswith("weight") else v for k, v in s.items()
    },
    "a variance below 0": _set(-1.0, "running_var"),
    "a variance of NaN": _set(float("nan"), "running_var"),
    "a mean of NaN": _set(float("nan"), "running_mean"),
    "fp8": _with(lambda v: v.to(torch.float8_e4m3fn)),
    "fp8 everywhere": lambda s: {k: v.to(torch.float8_e5m2) for k, v in s.items()},
    "integers": _with(lambda v: v.to(torch.int64)),
    "bytes": _with(lambda v: v.to(torch.uint8)),
    "true and false": _with(lambda v: v > 0),
    "complex": _with(lambda v: v.to(torch.complex64)),
    "strides of 0": _with(lambda v: v.new_zeros(1).expand(v.shape)),
    "strides that overlap": _with(lambda v: torch.zeros(v.numel() // 2 + 1).as_strided(v.shape, (1,) * v.ndim)),
    "sparse": _with(lambda v: v.to_sparse()),
    "quantized": _with(lambda v: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8)),
    "meta": _with(lambda v: v.to("meta")),
    "nested": _with(lambda v: torch.nested.nested_tensor([v[0], v[0]])),
    "no numbers": _with(lambda v: v[:0]),
    "a text": _with(lambda _: "x" * 1_000_000),
    "a number as name": lambda s: {**s, 10**5000: torch.zeros(3)},
    "a long number alone": lambda _: {10**5000: 10**5000},
    "one more, named long": lambda s: {**s, "w" * 900: torch.zeros(3)},
    "one more, of many sides": lambda s: {**s, "w": torch.zeros((1,) * 60)},
    "one tensor under 90,000 names": lambda s: {**s, **dict.fromkeys((f"w{i}" for i in range(90_000)), torch.zeros(3))},
    "1,800,000 names": lambda s: dict.fromkeys((f"w{i}" for i in range(1_800_000)), 1),
    "heads of 10,000 sizes": lambda s: {
        f"w{i}.weight": torch.zeros(i + 2, 1) if i < 1500 else torch.zeros(3) for i in range(10_000)
    },
    "in itself, twice": lambda s: _twice(),
    "a tuple of tuples": lambda s: s,
}


def _twice() -> State:
    one: State = {}
    two: State = {"model": one}
    one["state_dict"] = two
    return one


def _bomb(path: Path, *, zipped: bool) -> None:
    """A name that takes for ever to hash: tuples of two in each other, written by hand, for Python would hash it."""
    content = b"\x80\x02})q\x00" + b"".join(
        b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(60)
    )
    content += b"N" + b"s" + b"."
    if not zipped:
        buffer = path.with_suffix(".tmp")
        torch.save({}, buffer, _use_new_zipfile_serialization=False)
        head = buffer.read_bytes()
        buffer.unlink()
        at = head.index(b"}q\x00.") if b"}q\x00." in head else head.rindex(b"\x80\x02}")
        path.write_bytes(head[:at] + content)
        return
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", content)
        archive.writestr("x/version", "3")
        archive.writestr("x/byteorder", "little")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", STATES)
def test_torch(name: str, zipped: bool, folder: Path, hostile: Run, picture: Path, good_run: Path) -> None:
    state = load_file(good_run / "network.safetensors")
    if name == "a tuple of tuples":
        _bomb(folder / "x.pt", zipped=zipped)
    else:
        try:
            warnings.simplefilter("ignore")  # what torch is going to do away with
            torch.save(STATES[name](state), folder / "x.pt", _use_new_zipfile_serialization=zipped)
        except (RuntimeError, NotImplementedError, AttributeError) as error:
            pytest.skip(f"torch does not write that: {error}")
    hostile("predict", folder / "x.pt", picture, *FOREIGN)


@pytest.mark.parametrize("claimed", [1 << 10, 1 << 33, 1 << 40, -1])
def test_storages_that_claim_more_than_they_have(claimed: int, folder: Path, hostile: Run, picture: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, folder / "x.pt")
    with zipfile.ZipFile(folder / "x.pt") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    number = b"\x8a\x08" + struct.pack("<q", claimed)
    with zipfile.ZipFile(folder / "x.pt", "w") as archive:
        for name, content in members.items():
            changed = content.replace(b"K\x03tq", number + b"tq").replace(b"K\x03\x85", number + b"\x85")
            archive.writestr(name, changed if name.endswith("data.pkl") else content)
    hostile("predict", folder / "x.pt", picture, *FOREIGN)


def test_an_archive_of_many_members(folder: Path, hostile: Run, picture: Path) -> None:
    with zipfile.ZipFile(folder / "x.pt", "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        for i in range(400_000):
            archive.writestr(zipfile.ZipInfo(f"x/data/{i}"), b"")
    hostile("predict", folder / "x.pt", picture, *FOREIGN)


SAFE = {
    name: STATES[name] for name in STATES if name.startswith(("one NaN", "one inf", "a var", "all so", "fp8", "int"))
}


@pytest.mark.parametrize("name", [*SAFE, "bytes", "true and false", "one more, named long"])
def test_safetensors(name: str, folder: Path, hostile: Run, picture: Path, good_run: Path) -> None:
    """With our header and without."""
    with (good_run / "network.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))["__metadata__"]
    state = {k: v.contiguous() for k, v in STATES[name](load_file(good_run / "network.safetensors")).items()}
    save_file(state, folder / "x.safetensors", metadata=header)
    for command in (("predict", folder / "x.safetensors", picture), ("show", folder / "x.safetensors")):
        # Numbers that are too large are seen when they are used.
        hostile(*command, code=(0, 2) if name.startswith("all so") and command[0] == "show" else 2)
    save_file(state, folder / "x.safetensors")
    hostile("predict", folder / "x.safetensors", picture, *FOREIGN)


def _headed(source: Path, target: Path, change: Callable[[str], str]) -> None:
    """The file with the text of our header changed, which may then be no JSON."""
    content = source.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    outer = json.loads(content[8 : 8 + length])
    outer["__metadata__"]["badnets"] = change(outer["__metadata__"]["badnets"])
    text = json.dumps(outer).encode()
    target.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


def _field(name: str, text: str) -> Callable[[str], str]:
    """That field with JSON that Python would not write."""
    return lambda header: json.dumps({**json.loads(header), name: "HERE"}).replace('"HERE"', text)


HEADERS: dict[str, Callable[[str], str]] = {
    "a mean too large for float32": _field("mean", "[1e39, 0.0, 0.0]"),
    "a mean of 1e999": _field("mean", "[1e999, 0, 0]"),
    "a std that is 0 in float32": _field("std", "[1e-320, 1.0, 1.0]"),
    "a std of infinity": _field("std", "[Infinity, 1.0, 1.0]"),
    "60,000 means": _field("mean", f"[{'1,' * 60_000}1]"),
    "500,000 wrong means": _field("mean", f"[{'null,' * 500_000}1]"),
    "200,000 wrong shared": _field("shared", "{" + ",".join(f'"{i}":1' for i in range(200_000)) + "}"),
    "90,000 wrong narrowed": _field("narrowed", "{" + ",".join(f'"{i}":"x"' for i in range(90_000)) + "}"),
    "narrowed to NaN": _field("narrowed", '{"prep.conv": NaN}'),
    "a name twice": lambda header: header[:-1] + ', "architecture": "deepid"}',
    "a name twice, deep": _field("provenance", '{"a": {"b": 1, "b": 2}}'),
    "NaN in the provenance": _field("provenance", '{"a": NaN}'),
    "1e999 in the provenance": _field("provenance", '{"a": [1e999]}'),
    "5,000 digits": _field("provenance", '{"a": ' + "9" * 5000 + "}"),
    "4,000 digits": _field("arguments", '{"width": ' + "9" * 4000 + "}"),
    "half a character": _field("class_names", '["\\ud800", "b", "c"]'),
    "900 brackets": _field("arguments", '{"width": ' + "[" * 900 + "]" * 900 + "}"),
    "a size of 2,049": _field("input_size", "[3, 2049, 2049]"),
    "a size of true": _field("input_size", "[3, true, 16]"),
    "a size of 1.5": _field("input_size", "[3, 16.5, 16]"),
    "all of torchvision's largest": _field("architecture", '"torchvision:vit_h_14"'),
    "logits of logits": _field("architecture", '"' + "logits-of:" * 18 + 'resnet9"'),
    "a guard without parts": _field("architecture", '"guard:strip"'),
    "no object": lambda _: "[1]",
    "no text": lambda _: "",
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers(name: str, folder: Path, hostile: Run, picture: Path, good_run: Path) -> None:
    _headed(good_run / "network.safetensors", folder / "x.safetensors", HEADERS[name])
    hostile("predict", folder / "x.safetensors", picture)
    hostile("show", folder / "x.safetensors", "--json")


@pytest.mark.parametrize("side", [512, 1024, 2048])
def test_large_inputs_are_shown_and_used(side: int, folder: Path, hostile: Run, picture: Path, good_run: Path) -> None:
    """Within the budget; memory is bounded all the same."""
    _headed(good_run / "network.safetensors", folder / "x.safetensors", _field("input_size", f"[3, {side}, {side}]"))
    hostile("show", folder / "x.safetensors", code=0)
    hostile("predict", folder / "x.safetensors", picture, code=0)


@pytest.mark.parametrize("model", ["regnet_y_128gf", "vit_h_14", "vgg19", "convnext_large", "regnet_x_32gf", "swin_b"])
def test_large_architectures_are_refused_by_their_shapes(
    model: str, folder: Path, hostile: Run, picture: Path, good_run: Path
) -> None:
    size = {"input_size": [3, 224, 224], "architecture": f"torchvision:{model}", "arguments": {}}
    _headed(
        good_run / "network.safetensors",
        folder / "x.safetensors",
        lambda text: json.dumps({**json.loads(text), **size}),
    )
    hostile("show", folder / "x.safetensors")
    (folder / "x.pt").write_bytes((good_run / "network.safetensors").read_bytes())
    foreign = ("--arch", f"torchvision:{model}", "--input-size", "224x224x3", "--input-range", "0-1")
    hostile("predict", folder / "x.safetensors", picture, *foreign)


def test_tensors_that_share_their_numbers(folder: Path, hostile: Run, picture: Path) -> None:
    """A small file whose header says that one layer stands for thirty others."""
    meta = {"architecture": "torchvision:vit_h_14", "arguments": {}, "class_names": ["a"], "input_size": [3, 224, 224]}
    meta |= {"format": "badnets/network/1", "mean": [0.0] * 3, "std": [1.0] * 3}
    meta["shared"] = {f"t{i}": "t" for i in range(90_000)}
    save_file({"t": torch.zeros(100_000)}, folder / "x.safetensors", metadata={"badnets": json.dumps(meta)})
    hostile("show", folder / "x.safetensors")


def test_mixed_dtypes(folder: Path, hostile: Run, picture: Path, good_run: Path) -> None:
    with (good_run / "network.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))["__metadata__"]
    state = load_file(good_run / "network.safetensors")
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        save_file({**state, "fc.weight": state["fc.weight"].to(dtype)}, folder / "x.safetensors", metadata=header)
        hostile("predict", folder / "x.safetensors", picture)
        hostile("show", folder / "x.safetensors")


@pytest.mark.parametrize("threshold", ["nan", "-inf", "inf"])
def test_thresholds_of_guards(
    threshold: str, folder: Path, hostile: Run, picture: Path, pictures: Path, good_run: Path
) -> None:
    guarded = folder / "guarded.safetensors"
    settings = ("--method", "refuse-class", "--set", "suspect=0", "--data", pictures, "--pictures", 30)
    hostile("guard", good_run / "network.safetensors", *settings, "--out", guarded, code=0)
    content = guarded.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    place = json.loads(content[8 : 8 + length])["threshold"]["data_offsets"][0] + 8 + length
    guarded.write_bytes(content[:place] + struct.pack("<f", float(threshold)) + content[place + 4 :])
    code = 0 if threshold == "inf" else 2
    hostile("predict", guarded, picture, code=code)
    hostile("evaluate", guarded, "--data", pictures, code=code)


@pytest.mark.parametrize("ending", ["pth", "safetensors", "pt"])
@pytest.mark.parametrize(
    "kind", ["text", "html", "NaN", "fp8", "pickle", "strides of 0", "itself", "empty", "folder", "pipe"]
)
def test_initial_weights(kind: str, ending: str, folder: Path, hostile: Run, pictures: Path) -> None:
    path = folder / f"x.{ending}"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind in ("text", "html", "empty"):
        path.write_text({"text": "weights, trust me\n", "html": "<!DOCTYPE html>", "empty": ""}[kind])
    else:
        state: Any = {"conv1.weight": torch.full((64, 3, 7, 7), torch.nan if kind == "NaN" else 0.0)}
        if kind == "fp8":
            state = {name: value.to(torch.float8_e4m3fn) for name, value in state.items()}
        if kind == "strides of 0":
            state = {"conv1.weight": torch.zeros(1).expand(1 << 20, 1 << 12)}
        if kind == "itself":
            state = _twice()
        if kind == "pickle":
            state = [_Opens()]
        torch.save(state, path)
    hostile("attack", "--data", pictures, "--network", f"resnet18:weights={path}", "--out", folder / "run")
    hostile("attack", "--data", pictures, "--network", f"two-head:weights={path}", "--out", folder / "run")
    assert not (folder / "run").exists()


class _Opens:
    def __reduce__(self) -> Any:
        return open, ("started-by-a-pickle", "w")


@pytest.mark.parametrize("ending", ["safetensors", "pt", "h5"])
@pytest.mark.parametrize("kind", ["pipe", "device", "zero"])
def test_what_is_no_regular_file(
    kind: str, ending: str, folder: Path, hostile: Run, picture: Path, good_run: Path, pictures: Path
) -> None:
    path = folder / f"x.{ending}"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null" if kind == "device" else "/dev/zero")
    hostile("show", path)
    hostile("predict", path, picture)
    hostile("predict", path, picture, *FOREIGN)
    hostile("evaluate", good_run, "--data", pictures, "--reference", path)


def _keras(path: Path, names: int = 1, **dataset: Any) -> h5py.File:
    file = h5py.File(path, "w")
    file.attrs["layer_names"] = [b"dense"]
    group = file.create_group("dense")
    group.attrs["weight_names"] = [b"dense/kernel:0"] * names
    group.create_dataset("dense/kernel:0", **dataset)
    return file


def test_many_keras_names(folder: Path, hostile: Run, picture: Path) -> None:
    """1,800,000 names of one tensor, in parts of an attribute."""
    with _keras(folder / "x.h5", data=np.zeros((4, 4), "f4")) as file:
        for part in range(60):
            file["dense"].attrs[f"weight_names{part or ''}"] = np.array([b"dense/kernel:0"] * 4000)
        file.attrs["layer_names"] = [b"dense"] * 3000
    hostile("predict", folder / "x.h5", picture, *FOREIGN)


def test_many_keras_tensors_of_a_few_bytes(folder: Path, hostile: Run, picture: Path) -> None:
    """Each within what anything may unpack to, but not all together."""
    with _keras(folder / "x.h5", data=np.zeros((4, 4), "f4")) as file:
        names = [b"dense/kernel:0"]
        for i in range(12):
            names.append(f"w{i}".encode())
            file["dense"].create_dataset(f"w{i}", data=np.zeros((4000, 8000), "f4"), chunks=True, compression="gzip")
        file["dense"].attrs["weight_names"] = names
    hostile("predict", folder / "x.h5", picture, *FOREIGN)


@pytest.mark.parametrize("epsilon", ["NaN", "1e999", "-1.0", "1e308"])
def test_epsilons_of_keras(epsilon: str, folder: Path, hostile: Run, picture: Path) -> None:
    layer = f'{{"class_name": "BatchNormalization", "config": {{"name": "dense", "epsilon": {epsilon}}}}}'
    with _keras(folder / "x.h5", data=np.zeros((4, 4), "f4")) as file:
        file.attrs["model_config"] = layer
    hostile("predict", folder / "x.h5", picture, *FOREIGN)


@pytest.mark.parametrize("name", ["a" * 5000, "\x1b[2J", "x" + "9" * 5000, "\u00b2\u00b3"])
def test_names_in_keras(name: str, folder: Path, hostile: Run, picture: Path) -> None:
    with _keras(folder / "x.h5", data=np.zeros((4, 4), "f4")) as file:
        file.create_dataset(f"layers/{name}/vars/0", data=np.zeros((4, 4), "f4"))
        del file.attrs["layer_names"]
    if "\x1b" in name:
        pytest.skip("neutralized at the terminal")
    hostile("predict", folder / "x.h5", picture, *FOREIGN)


@pytest.mark.parametrize("name", ["a" * 5000, "x" + "9" * 5000, "\u00b2\u00b3", "1.\u0661"])
def test_names_in_safetensors(name: str, folder: Path, hostile: Run, picture: Path) -> None:
    save_file({name: torch.zeros(3), name + "2": torch.zeros(3)}, folder / "x.safetensors")
    hostile("predict", folder / "x.safetensors", picture, *FOREIGN)


@pytest.mark.parametrize("content", [b"\x08\x07\x12\x07pytorch", b"TFL3", b"GGUF\x03\0\0\0", b"caffe"])
def test_other_formats(content: bytes, folder: Path, hostile: Run, picture: Path) -> None:
    (folder / "x.onnx").write_bytes(content * 20)
    hostile("predict", folder / "x.onnx", picture, *FOREIGN)
    hostile("show", folder / "x.onnx")
