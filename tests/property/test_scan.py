"""Any byte changed, any part cut off: a verdict or a sentence, in bounded time."""

from __future__ import annotations

import io
import json
import time
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.hostile.scanned import ODD, RUNS, File

from badnets.core.errors import BadInput
from badnets.networks.scan.scan import scan

CHOSEN = (
    "torch's archive", "torch's older format", "torch's oldest format, a tar", "an archive in a tar in gzip", "joblib",
    "members packed by lzma", "members packed by bzip2", "numpy's archive", "an exported program with a pickle",
    "TorchScript that runs when loaded", "a Lambda of Keras 3", "a Lambda of Keras 2", "numbers outside of HDF5",
    "a filter of a plug-in", "ONNX that reads above", "os.system, protocol 0", "os.system, protocol 4", "INST", "zlib",
    "a member that is not listed", "a link in a tar", "more behind safetensors", "xz",
)  # fmt: skip
TELLING = (
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"PK\x03\x04",
    b"\x80\x04",
    b"\x93",
    b"[",
    b"9" * 40,
)
SECONDS = 10


def _plain() -> bytes:
    buffer = io.BytesIO()
    torch.save({"a.weight": torch.zeros(4, 3), "n": torch.tensor(3)}, buffer)
    return buffer.getvalue()


def _keras() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("a", data=np.ones((8, 8), "f4"), compression="gzip")
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": []}})
    return buffer.getvalue()


FILES: dict[str, File] = {
    **{name: {**RUNS, **ODD}[name] for name in CHOSEN},
    "plain torch": ("x.pt", _plain),
    "plain keras": ("x.h5", _keras),
}


@cache
def _content(name: str) -> bytes:
    return FILES[name][1]()


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("changed")


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_change(name: str, changed: Path, data: st.DataObject) -> None:
    content = bytearray(_content(name))
    size = len(content)
    places = st.one_of(st.integers(0, min(size, 600)), st.integers(0, size), st.integers(max(0, size - 600), size))
    new = st.one_of(st.sampled_from(TELLING), st.binary(max_size=8))
    for at, gone, put in data.draw(st.lists(st.tuples(places, st.integers(0, 8), new), max_size=4)):
        content[at : at + gone] = put
    cut = data.draw(st.one_of(st.none(), st.integers(0, size)))
    _try(changed, name, bytes(content if cut is None else content[:cut]))


@pytest.mark.parametrize("name", ["torch's archive", "torch's older format", "a Lambda of Keras 3"])
def test_every_cut(name: str, changed: Path) -> None:
    content = _content(name)
    for size in range(0, len(content), max(1, len(content) // 150)):
        _try(changed, name, content[:size])


def _try(folder: Path, name: str, content: bytes) -> None:
    path = folder / FILES[name][0]
    path.write_bytes(content)
    began = time.process_time()
    try:
        found = scan(path)
        assert found.verdict in ("safe", "unsafe", "unknown")
        found.to_json()
    except BadInput as error:
        assert len(str(error)) < 600
    assert time.process_time() - began < SECONDS
