"""What is named, and what is not."""

from __future__ import annotations

import io
import json
import os
import struct
import tarfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.hostile.made import SYSTEM, archived, called, npy, onnx, onnx_beside, tarred, torch_zip
from tests.hostile.scanned import ODD, RUNS

import badnets as bn
from badnets.core.errors import BadInput
from badnets.networks.scan.rules import RULES
from badnets.networks.scan.scan import scan

DATA = Path(os.environ.get("BADNETS_DATA", "none"))
SLOW = ("a bomb", "a bomb in gzip", "100,001 members", "a pickle of a million marks")
NOT_SURE = (
    "nobodys_package.load",
    "tensorflow.python.keras.saving.load",
    "joblib",
    "a filter of a plug-in",
    "ONNX with an operator of others",
    "a server's archive with code",
    "an exported program that calls torch",
)
"""Of those that run code: what is named without it being known what that does."""


@pytest.mark.parametrize("name", RUNS)
def test_what_runs_code_is_named(name: str, tmp_path: Path) -> None:
    file, make = RUNS[name]
    (tmp_path / file).write_bytes(make())
    found = scan(tmp_path / file)
    assert found.verdict == ("unknown" if name in NOT_SURE else "unsafe"), found.findings
    assert all(one.rule in RULES and one.do for one in found.findings)
    assert all(one.severity == RULES[one.rule].severity for one in found.findings)


@pytest.mark.parametrize("name", [name for name in ODD if name not in SLOW])
def test_what_nobody_can_say_is_said(name: str, tmp_path: Path) -> None:
    file, make = ODD[name]
    (tmp_path / file).write_bytes(make())
    assert scan(tmp_path / file).verdict in (("unsafe",) if name == "packed in an unknown way" else ("unknown",))


def _state() -> dict[str, torch.Tensor]:
    return OrderedDict({"a.weight": torch.randn(4, 3, 3, 3), "a.bias": torch.zeros(4), "n": torch.tensor(3)})


def _checkpoint() -> dict[str, Any]:
    import argparse

    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    settings = argparse.Namespace(lr=0.1, path=Path("here"))
    return {"net": module.state_dict(), "optim": optimizer.state_dict(), "best": np.float64(0.9), "args": settings}


def _hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("kernel", data=np.ones((8, 8), "f4"), compression="gzip", shuffle=True, fletcher32=True)
        layers = [{"class_name": "Conv2D", "config": {"name": "c"}}, {"class_name": "GlobalMaxPooling2D", "config": {}}]
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": layers}})


HARMLESS: dict[str, Any] = {
    "x.pt": lambda path: torch.save(_state(), path),
    "older.pt": lambda path: torch.save(_state(), path, _use_new_zipfile_serialization=False),
    "checkpoint.ckpt": lambda path: torch.save(_checkpoint(), path),
    "parameter.pth": lambda path: torch.save(
        [torch.nn.Parameter(torch.ones(3)), torch.float16, torch.device("cpu")], path
    ),
    "scripted.pt": lambda path: torch.jit.save(torch.jit.script(torch.nn.Conv2d(1, 2, 3)), path),
    "x.safetensors": lambda path: save_file(_state(), path),
    "fp8.safetensors": lambda path: save_file({"w": torch.zeros(3).to(torch.float8_e4m3fn)}, path),
    "x.npy": lambda path: np.save(path, np.ones(5)),
    "x.npz": lambda path: np.savez_compressed(path, a=np.ones(5), b=np.array([1, "a", None], object)),
    "structured.npy": lambda path: np.save(path, np.zeros(3, [("a", "f4"), ("b", "i8")])),
    "x.h5": _hdf5,
    "x.onnx": lambda path: path.write_bytes(onnx()),
    "beside.onnx": lambda path: path.write_bytes(onnx(onnx_beside("beside.onnx.data"))),
    "named.npy": lambda path: np.save(path, np.zeros(3, [("Only", "f4"), ("O", "i8")])),
    "config.json": lambda path: path.write_text(json.dumps({"architectures": ["ResNet"], "auto_mapped": 1})),
    "x.zip": lambda path: path.write_bytes(
        archived({"x.npy": npy(b"\0" * 8, "<f8"), "readme.md": b"# hello\nimport os"})
    ),
    "x.tar": lambda path: path.write_bytes(tarred({"x.pt": torch_zip(b"\x80\x02}."), "readme.md": b"cat dog"})),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless_is_safe(name: str, tmp_path: Path) -> None:
    HARMLESS[name](tmp_path / name)
    found = scan(tmp_path / name)
    assert found.findings == ()
    assert found.verdict == "safe"


def test_a_network_of_ours_is_safe(tmp_path: Path) -> None:
    network = bn.build_network("lenet", class_names=["a", "b"], input_size=(3, 32, 32), seed=1)
    bn.save_network(network, tmp_path / "x.safetensors")
    assert scan(tmp_path / "x.safetensors").verdict == "safe"


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "foreign").exists(), reason="needs networks of others")
def test_networks_of_others_are_safe() -> None:
    found = scan(DATA / "foreign")
    assert {one.file: one.rule for one in found.findings} == {"alankrantas_mnist.tflite": "not-read"}


@pytest.mark.parametrize("text", ["Some notes\n", "import os\n", "hello"])
def test_a_text_is_no_network(text: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(text)
    assert [one.rule for one in scan(tmp_path / "notes.txt").findings] == ["not-read"]


def test_the_place_is_told(tmp_path: Path) -> None:
    state = b"\x80\x02}X\x06\0\0\0weightK\x01s."
    (tmp_path / "x.tar").write_bytes(tarred({"a/x.pt": torch_zip(state + SYSTEM)}))
    (found,) = scan(tmp_path / "x.tar").findings
    assert (found.member, found.offset) == ("a/x.pt!archive/data.pkl", len(state) + 2)
    assert "os.system" in found.what


def test_numbers_that_look_like_a_pickle_are_none(tmp_path: Path) -> None:
    numbers = np.frombuffer(b"\x80\x02c" + bytes(range(256)) * 40 + b"(]}\x93R." * 50, np.uint8).copy()
    torch.save({"w": torch.from_numpy(numbers)}, tmp_path / "x.pt")
    assert scan(tmp_path / "x.pt").verdict == "safe"


def test_every_place_of_hdf5_behind_other_bytes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=1024) as file:
        file["x"] = h5py.ExternalLink("/x.h5", "/")
    assert scan(tmp_path / "x.h5").verdict == "unsafe"


def test_a_link_beside_onnx_that_leads_away(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "x.onnx").write_bytes(onnx(onnx_beside("w")))
    assert scan(tmp_path / "model" / "x.onnx").verdict == "safe"
    (tmp_path / "model" / "w").symlink_to("/etc/hostname")
    assert scan(tmp_path / "model" / "x.onnx").verdict == "unsafe"


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "bad.pt").write_bytes(torch_zip(SYSTEM))
    (tmp_path / "good.npy").write_bytes(npy(b"\0" * 8, "<f8"))
    (tmp_path / "readme.md").write_text("import os\nos.system")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    (tmp_path / "notes.txt").write_text("Some notes\nabout networks\n")
    (tmp_path / "page.html").write_text("<!doctype html>")
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "out").symlink_to("/")
    (tmp_path / "nowhere.pt").symlink_to(tmp_path / "none")
    (tmp_path / "linked.pt").symlink_to(tmp_path / "a" / "bad.pt")
    os.mkfifo(tmp_path / "pipe.pt")
    found = scan(tmp_path)
    assert {(one.file, one.rule) for one in found.findings} == {
        ("a/bad.pt", "pickle-runs"),
        ("linked.pt", "pickle-runs"),
        ("empty.pt", "damaged"),
        ("pipe.pt", "damaged"),
        ("out", "outside-link"),
        ("nowhere.pt", "outside-link"),
    }
    assert found.skipped == 5


@pytest.mark.parametrize("kind", ["nothing", "empty", "pipe", "a dead link"])
def test_what_is_no_file_is_a_sentence(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "x.pt"
    made: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "empty": lambda: place.write_bytes(b""),
        "pipe": lambda: os.mkfifo(place),
        "a dead link": lambda: place.symlink_to(tmp_path / "none"),
    }
    made[kind]()
    with pytest.raises(BadInput, match=r"^expected .*, got .*; .*$"):
        scan(place)


def test_a_tar_of_python_itself(tmp_path: Path) -> None:
    """Extended headers, links inside, long names."""
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a/" * 60 + "\N{SNOWMAN}.pkl")
        info.size = len(SYSTEM)
        tar.addfile(info, io.BytesIO(SYSTEM))
        link = tarfile.TarInfo("a/link")
        link.type, link.linkname = tarfile.SYMTYPE, "../a/b"
        tar.addfile(link)
    (found,) = scan(tmp_path / "x.tar").findings
    assert found.rule == "pickle-runs"


def test_wide_archives(tmp_path: Path) -> None:
    """Sizes of eight bytes, as torch writes them for large networks."""
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive, archive.open("a/data.pkl", "w", force_zip64=True) as file:
        file.write(SYSTEM)
    assert [one.rule for one in scan(tmp_path / "x.pt").findings] == ["pickle-runs"]


def test_onnx_names_its_own_functions(tmp_path: Path) -> None:
    def field(number: int, content: bytes) -> bytes:
        return (
            bytes([number << 3 & 127 | 2 | (128 if number > 15 else 0)])
            + bytes([1] if number > 15 else [])
            + bytes([len(content)])
            + content
        )

    own = field(1, b"Run") + field(10, b"mine")
    (tmp_path / "x.onnx").write_bytes(onnx(domain="mine", kind="Run") + bytes([0xCA, 0x01, len(own)]) + own)
    assert scan(tmp_path / "x.onnx").verdict == "safe"


def test_a_header_that_lies(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    assert [one.rule for one in scan(tmp_path / "x.safetensors").findings] == ["header"]


def test_names_of_python_2_are_those_of_today(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(called("copy_reg._reconstructor"))
    assert scan(tmp_path / "x.pkl").verdict == "safe"
    (tmp_path / "x.pkl").write_bytes(called("__builtin__.eval"))
    assert "builtins.eval" in scan(tmp_path / "x.pkl").findings[0].what
