"""State dicts in safetensors and torch's own files; nothing in them runs."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.networks.architecture import ARCHITECTURES
from badnets.networks.files.foreign import ForeignWarning, open_foreign
from badnets.networks.network import ImageNetwork

SIZE = (3, 32, 32)


def resnet() -> nn.Module:
    torch.manual_seed(0)
    body = ARCHITECTURES["resnet9"].build(5, SIZE, width=2)
    body.train()(torch.rand(8, *SIZE))
    return body.eval()


def opened(path: Path, arch: str = "resnet9:width=2") -> ImageNetwork:
    return open_foreign(path, arch=arch, input_size=SIZE, input_range="-1-1")


def same(network: ImageNetwork, body: nn.Module) -> None:
    pictures = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(network(pictures), body(pictures * 2 - 1), atol=1e-5)


def prefixed(prefix: str) -> Callable[[dict[str, Tensor]], Any]:
    return lambda state: {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    "put",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3, "best": 0.5},
        lambda state: {"model": state, "optimizer": {"lr": 0.1}},
        lambda state: {"model_state_dict": state},
        lambda state: {"net": prefixed("module.")(state), "acc": 93.0},
        prefixed("module."),
        prefixed("_orig_mod.module.body."),
        lambda state: {name: value for name, value in state.items() if "num_batches" not in name},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_state_dicts_as_people_save_them(tmp_path: Path, put: Callable[[Any], Any], zipped: bool) -> None:
    body = resnet()
    torch.save(put(dict(body.state_dict())), tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    network = opened(tmp_path / "a.pth")
    same(network, body)
    assert network.classes == 5
    assert network.provenance["foreign"] is True
    assert network.provenance["file"] == "a.pth"
    assert (network.provenance["file_format"], network.provenance["matched"]) == ("torch", "names")


def test_safetensors_without_our_header_whatever_its_name(tmp_path: Path) -> None:
    body = resnet()
    save_file({name: value.half() for name, value in body.state_dict().items()}, tmp_path / "a.dat")
    network = opened(tmp_path / "a.dat")
    assert network.provenance["file_format"] == "safetensors"
    assert next(network.parameters()).dtype == torch.float32
    pictures = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(network(pictures), body(pictures * 2 - 1), atol=0.05)


@pytest.mark.parametrize("kind", ["torch", "safetensors"])
def test_other_names_are_matched_by_shape_and_order(tmp_path: Path, kind: str) -> None:
    """Sorted names must not mix up a batch norm's four vectors, nor part 10 and part 2."""
    body = resnet()
    state: dict[str, Tensor] = {}
    modules = [(name, module) for name, module in body.named_modules() if list(module.parameters(recurse=False))]
    for number, (_, module) in enumerate(modules):
        state |= {f"layers.{number}.{name}": value for name, value in module.state_dict().items()}
    assert len(modules) > 10
    path = tmp_path / "a.pt"
    if kind == "torch":
        torch.save(state, path)
    else:
        save_file(state, path)
    with pytest.warns(ForeignWarning, match=r"a\.pt: its tensors have other names than those of resnet9"):
        network = opened(path)
    same(network, body)
    assert network.provenance["matched"] == "shapes and order"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arch": "resnet9:width=3"}, r"tensor 'prep.conv.weight' of \[3, 3, 3, 3\].*got \[2, 3, 3, 3\]"),
        ({"arch": "g1-cnn"}, r"expected a tensor of \[16, 3, 5, 5\] for 'conv1.weight' of g1-cnn"),
        ({"classes": 7}, r"'fc.weight' of \[7, 16\] for resnet9 of 7 classes, got \[5, 16\]"),
        ({"class_names": ["a", "b"]}, r"a name for each of its 5 classes, got 2 \(a, b\)"),
        ({"input_range": "0-2"}, "expected an input range"),
        ({"input_range": None}, "expected an input range .* or clean data to try them on"),
        ({"input_size": None}, "add --input-size"),
        ({"arch": "resnet-9"}, "did you mean 'resnet9'"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    torch.save(resnet().state_dict(), tmp_path / "a.pt")
    options = {"arch": "resnet9:width=2", "input_size": SIZE, "input_range": "0-1"} | change
    with pytest.raises(BadInput, match=message):
        open_foreign(tmp_path / "a.pt", **options)


def test_tensors_too_many_too_few_and_not_finite(tmp_path: Path) -> None:
    state = dict(resnet().state_dict())
    torch.save({**state, "more.weight": torch.zeros(3)}, tmp_path / "a.pt")
    with pytest.raises(BadInput, match=r"a\.pt: expected no tensor 'more.weight'"):
        opened(tmp_path / "a.pt")
    torch.save({name: value for name, value in state.items() if name != "fc.bias"}, tmp_path / "a.pt")
    with pytest.raises(BadInput, match=r"expected a tensor of \[5\] for 'fc.bias'"):
        opened(tmp_path / "a.pt")
    torch.save({**state, "fc.bias": torch.full((5,), float("inf"))}, tmp_path / "a.pt")
    with pytest.raises(BadInput, match=r"finite numbers in tensor 'fc.bias', got infinity"):
        opened(tmp_path / "a.pt")


class Payload:
    """Makes a folder when unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.place),))


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.h5", "a.safetensors", "a"])
@pytest.mark.parametrize("how", ["pickle", "old", "zip", "protocol 0", "inside"])
def test_pickles_are_not_run(tmp_path: Path, name: str, how: str) -> None:
    path, place = tmp_path / name, tmp_path / "was-run"
    evil = Payload(place)
    if how == "pickle":
        path.write_bytes(pickle.dumps(evil))
    elif how == "protocol 0":
        path.write_bytes(pickle.dumps(evil, protocol=0))
    elif how == "inside":
        torch.save({"state_dict": dict(resnet().state_dict()), "hook": evil}, path)
    else:
        torch.save(evil, path, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(BadInput, match=r"expected .*got") as caught:
        opened(path)
    assert "weights_only" not in str(caught.value)
    assert not place.exists()


def test_whole_modules_and_programs_are_refused(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(3, 3)), tmp_path / "a.pt")
    with pytest.raises(BadInput, match=r"it needs torch\.nn\..*nothing in it was run.*save its state_dict\(\)"):
        opened(tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
        for name in ("b/data.pkl", "b/code/__torch__.py", "b/constants.pkl"):
            archive.writestr(name, b"x")
    with pytest.raises(BadInput, match="got a TorchScript program"):
        opened(tmp_path / "b.pt")


def test_archives_that_are_no_torch_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
        archive.writestr("hello.txt", b"x")
    with pytest.raises(BadInput, match="got another archive"):
        opened(tmp_path / "b.pt")
    with zipfile.ZipFile(tmp_path / "c.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c/data.pkl", bytes(1 << 20))
    with pytest.raises(BadInput, match="got packed ones"):
        opened(tmp_path / "c.pt")


def test_truncated_empty_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    for zipped in (True, False):
        torch.save(resnet().state_dict(), path, _use_new_zipfile_serialization=zipped)
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(BadInput, match=r"a\.pt: expected plain weights, got (something else|a truncated)"):
            opened(path)
    save_file({"a": torch.zeros(9)}, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadInput, match=r"a\.pt: expected dtype, shape and place .* truncated or damaged"):
        opened(path)
    for content, message in ((b"", "got an empty one"), (struct.pack("<Q", 9), "got something else")):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=message):
            opened(path)
    with pytest.raises(BadInput, match="got nothing; check the path"):
        opened(tmp_path / "b.pt")
    with pytest.raises(BadInput, match="got a folder"):
        opened(tmp_path)


@pytest.mark.parametrize("value", [3, [torch.zeros(2)], {}, {"a": 1}, {"state_dict": {"a": 2}}])
def test_files_without_a_state_dict(tmp_path: Path, value: Any) -> None:
    torch.save(value, tmp_path / "a.pt")
    with pytest.raises(BadInput, match=r"expected (a state dict|tensors by name).*got"):
        opened(tmp_path / "a.pt")


def test_odd_tensors_are_named(tmp_path: Path) -> None:
    torch.save({"a": torch.eye(3).to_sparse()}, tmp_path / "a.pt")
    with pytest.raises(BadInput, match="expected tensor 'a' as plain numbers"):
        opened(tmp_path / "a.pt")


def test_damaged_files_never_raise_anything_else(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = ARCHITECTURES["g1-cnn"].build(3, (1, 16, 16)).state_dict()
    rng = np.random.default_rng(0)
    path = tmp_path / "a.pt"
    for save in (torch.save, partial(torch.save, _use_new_zipfile_serialization=False), save_file):
        save(state, path)
        whole = path.read_bytes()
        for round_ in range(40):
            places = rng.integers(0, 4000 if round_ % 2 else len(whole), 20)
            broken = bytearray(whole)
            for place in (*places, *(-places[:5] % 600 - 600)):  # the end too, where an archive's list is
                broken[place] = rng.integers(256)
            path.write_bytes(bytes(broken))
            with contextlib.suppress(BadInput), warnings.catch_warnings():
                warnings.simplefilter("ignore", ForeignWarning)
                open_foreign(path, arch="g1-cnn", input_size=(1, 16, 16), input_range="0-1")
