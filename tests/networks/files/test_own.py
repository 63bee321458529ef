"""Network files: exact, readable, and closed to whatever is not one."""

from __future__ import annotations

import errno
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.networks.files import own as files
from badnets.networks.files.header import read_header
from badnets.networks.files.own import open_network, save_network
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network, wrap

Edit = Callable[[dict[str, Any]], None]


def small(**changes: Any) -> ImageNetwork:
    settings: dict[str, Any] = {"class_names": ["stop", "Vorfahrt gewähren"], "input_size": (3, 8, 8), "seed": 1}
    network = build_network("resnet9", arguments={"width": 2}, mean=[0.1, 0.2, 0.3], std=[0.5, 0.25, 0.7], **settings)
    network.provenance.update({"backdoor": {"target": 0}, **changes})
    return network


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "network.safetensors"
    save_network(small(), target)
    return target


def rewrite(path: Path, *, outer: Edit | None = None, inner: Edit | None = None) -> None:
    """Change the JSON of a file: ``outer`` the safetensors header, ``inner`` ours."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    if inner:
        own = json.loads(header["__metadata__"]["badnets"])
        inner(own)
        header["__metadata__"]["badnets"] = json.dumps(own)
    if outer:
        outer(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_the_same_logits_bit_for_bit(tmp_path: Path, dtype: torch.dtype, order: torch.memory_format) -> None:
    network = small().to(dtype)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=order)
    pictures = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    network.train()(pictures)
    network.eval()
    save_network(network, tmp_path / "a.safetensors")
    again = open_network(tmp_path / "a.safetensors")
    assert not again.training
    assert torch.equal(network(pictures), again(pictures))
    state, other = network.state_dict(), again.state_dict()
    assert {name: value.dtype for name, value in state.items()} == {name: value.dtype for name, value in other.items()}
    assert [p.stride() for p in network.parameters()] == [p.stride() for p in again.parameters()]
    assert all(p.requires_grad for p in again.parameters())


def test_everything_that_is_known_comes_back(path: Path) -> None:
    network, again = small(), open_network(path, expect_classes=2)
    for field in ("architecture", "arguments", "class_names", "input_size", "provenance"):
        assert getattr(again, field) == getattr(network, field), field
    assert torch.equal(again.mean, network.mean)
    assert torch.equal(again.std, network.std)


def test_equal_networks_give_equal_files(path: Path, tmp_path: Path) -> None:
    save_network(open_network(path), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_opening_leaves_the_global_random_state(path: Path) -> None:
    before = torch.random.get_rng_state()
    open_network(path)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_header_is_readable_by_others(path: Path) -> None:
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["badnets"])
        shapes = {name: ["F32", file.get_slice(name).get_shape()] for name in file.keys() if "tracked" not in name}  # noqa: SIM118 (not a dict)
    ours = read_header(path)
    assert {name: entry for name, entry in ours["tensors"].items() if "tracked" not in name} == shapes
    assert header["format"] == ours["format"] == "badnets/network/1"
    assert header["class_names"] == ours["class_names"] == ["stop", "Vorfahrt gewähren"]
    assert ours["provenance"] == {"backdoor": {"target": 0}}
    json.dumps(ours)


class Tied(nn.Module):
    """Two layers with one weight, and a buffer that is a view of another."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("long", torch.arange(4.0))
        self.register_buffer("part", self.get_buffer("long")[1:])

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.second(self.first(x.mean((2, 3)))) + self.get_buffer("part")
        return result


def test_a_wrapped_module_with_shared_tensors(tmp_path: Path) -> None:
    network = wrap(Tied(), class_names=list("abc"), input_size=(3, 4, 4))
    save_network(network, tmp_path / "tied.safetensors")
    assert set(read_header(tmp_path / "tied.safetensors")["tensors"]) == {
        "first.weight",
        "first.bias",
        "second.bias",
        "long",
        "part",
    }
    fresh = Tied()
    again = open_network(tmp_path / "tied.safetensors", module=fresh)
    pictures = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(pictures), again(pictures))
    assert again.body is fresh
    assert fresh.first.weight is fresh.second.weight
    with pytest.raises(BadInput, match=r"'custom'.*badnets.open\(path, module=...\)"):
        open_network(tmp_path / "tied.safetensors")
    with pytest.raises(BadInput, match=r"expected tensor 'weight' of \[3, 3\] for custom, got none"):
        open_network(tmp_path / "tied.safetensors", module=nn.Linear(3, 3))


def test_a_failed_write_leaves_the_earlier_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "save_file", full)
    with pytest.raises(BadInput, match=r"could not write .* No space left"):
        save_network(small(), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_numbers_that_json_lacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="finite"):
        save_network(small(loss=float("nan")), tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.pkl"])
def test_pickles_are_neither_written_nor_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=r"expected a name ending in \.safetensors"):
        save_network(small(), tmp_path / name)
    torch.save({}, tmp_path / name)
    with pytest.raises(BadInput, match="may run code when opened; weights alone can be opened with --arch"):
        open_network(tmp_path / name)
    (tmp_path / name).rename(tmp_path / "a.safetensors")
    with pytest.raises(BadInput, match="it looks pickled"):
        open_network(tmp_path / "a.safetensors")


@pytest.mark.parametrize("open_file", [open_network, read_header])
def test_files_that_are_no_network(tmp_path: Path, open_file: Callable[[Path], object]) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(BadInput, match="got nothing; check the path"):
        open_file(path)
    with pytest.raises(BadInput, match="got a folder"):
        open_file(tmp_path)
    for content in (b"hello, world", struct.pack("<Q", 1 << 60) + b"{}", b"123"):
        path.write_bytes(content)
        with pytest.raises(BadInput, match="expected a safetensors file, got something else"):
            open_file(path)
    path.write_bytes(b"")
    with pytest.raises(BadInput, match="it is empty"):
        open_file(path)
    for text in (b'{"a": }', b'{"a":' * 100_000):
        path.write_bytes(struct.pack("<Q", len(text)) + text)
        with pytest.raises(BadInput, match="expected JSON in the header"):
            open_file(path)
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(BadInput, match="without its header; foreign files need --arch"):
        open_file(path)


@pytest.mark.parametrize("keep", [60, 0.3, 0.999999])
def test_truncated_files_are_called_so(path: Path, keep: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep > 1 else len(data) * keep)])
    with pytest.raises(BadInput, match="the file is truncated"):
        open_network(path)


def test_bytes_after_the_end_are_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(BadInput, match="the file is damaged"):
        open_network(path)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 1 << 60]},
        {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4]},
        {"dtype": "wide", "shape": [1], "data_offsets": [0, 4]},
        {"shape": [1], "data_offsets": [0, 4]},
        "F32",
    ],
)
def test_hostile_tensor_entries_are_refused(path: Path, entry: object) -> None:
    def change(header: dict[str, Any]) -> None:
        header["fc.bias"] = entry

    rewrite(path, outer=change)
    with pytest.raises(BadInput):
        open_network(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format", "badnets/network/2", "wrong format"),
        ("architecture", "resnet10", "did you mean 'resnet"),
        ("architecture", 9, "wrong architecture"),
        ("arguments", {"width": "wide"}, "'width'"),
        ("arguments", {"width": 200}, r"expected tensor 'prep.conv.weight' of \[200, 3, 3, 3\].*got \[2, 3, 3, 3\]"),
        ("arguments", {"weights": "/etc/passwd"}, "unknown key"),
        ("class_names", [], "wrong class_names"),
        ("class_names", ["a", "b", "c"], r"'fc.weight' of \[3, 16\] for resnet9, got \[2, 16\]"),
        ("class_names", "ab", "wrong class_names"),
        ("input_size", [3, 8], "wrong input_size"),
        ("input_size", [3, 10**9, 8], "wrong input_size"),
        ("input_size", [3, 4, 4], "at least 8x8"),
        ("mean", [0.5], "one for each channel"),
        ("std", [0.5, 0.5, 0.0], "wrong std"),
        ("provenance", None, "wrong provenance"),
        ("shared", {"fc.bias": "absent"}, "to share tensor 'absent'"),
        ("shared", {"fc.bias": "fc.weight"}, "got no such pair"),
    ],
)
def test_wrong_headers_are_refused_by_field(path: Path, field: str, value: object, message: str) -> None:
    rewrite(path, inner=lambda header: header.update({field: value}))
    with pytest.raises(BadInput, match=message):
        open_network(path)


def test_a_hostile_size_takes_no_memory(tmp_path: Path) -> None:
    network = build_network("g1-cnn", class_names=["a", "b"], input_size=(1, 28, 28), seed=0)
    save_network(network, tmp_path / "a.safetensors")
    rewrite(tmp_path / "a.safetensors", inner=lambda header: header.update(input_size=[1, 16384, 16384]))
    with pytest.raises(BadInput, match=r"a\.safetensors: expected at most 4,194,304 pixels .* BADNETS_LIMITS=64"):
        open_network(tmp_path / "a.safetensors")


def test_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    network = small()
    save_network(network, path)
    header = json.dumps({k: v for k, v in read_header(path).items() if k != "tensors"})
    state = network.body.state_dict()
    for change, message in [
        ({**state, "fc.bias": torch.zeros(2, dtype=torch.int64)}, "expected tensor 'fc.bias' as torch.float32"),
        (
            {k: v for k, v in state.items() if k != "fc.bias"},
            r"expected tensor 'fc.bias' of \[2\] for resnet9, got none",
        ),
        ({**state, "more": torch.zeros(1)}, r"expected no tensor 'more' for resnet9, got one of \[1\]"),
    ]:
        save_file(change, path, metadata={"badnets": header})
        with pytest.raises(BadInput, match=message):
            open_network(path)


def test_another_number_of_classes_is_refused(path: Path) -> None:
    with pytest.raises(BadInput, match="expected a network of 43 classes, got one of 2"):
        open_network(path, expect_classes=43)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_a_flipped_byte_in_the_header_never_escapes_as_another_error(path: Path, place: float, byte: int) -> None:
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    data[int(place * (8 + length))] = byte
    damaged = path.with_name("damaged.safetensors")
    damaged.write_bytes(bytes(data))
    try:
        open_network(damaged)
    except BadInput as error:
        assert str(damaged) in str(error)
