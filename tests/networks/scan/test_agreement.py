"""``open`` and ``scan`` know the same list: what one opens the other calls safe, what one names the other refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.hostile.made import called, torch_older, torch_zip
from tests.hostile.scanned import ODD, RUNS

from badnets.core.errors import BadInput
from badnets.networks.files.formats.kinds import read_foreign
from badnets.networks.files.tensors import harmless, load_torch
from badnets.networks.scan.known import OURS, TORCH, kind_of
from badnets.networks.scan.programs import _OUTSIDE, _SPACES
from badnets.networks.scan.scan import scan

OPENED = (".pt", ".pth", ".pkl", ".ckpt", ".bin", ".safetensors", ".h5", ".keras", ".gguf", ".tflite", ".zip", ".npz")
BOTH = {name: file for name, file in {**RUNS, **ODD}.items() if file[0].endswith(OPENED)}
SLOW = ("a bomb", "100,001 members")
HARD = ("a pickle among numbers", "a second data.pkl", "a member that is not listed", "behind the archive")
"""In which what is named lies where ``open`` does not look."""


@pytest.mark.parametrize("name", [name for name in BOTH if name not in (*SLOW, *HARD)])
def test_what_is_named_is_refused(name: str, tmp_path: Path) -> None:
    file, make = BOTH[name]
    (tmp_path / file).write_bytes(make())
    assert scan(tmp_path / file).findings
    with pytest.raises(BadInput):
        read_foreign(tmp_path / file)


@pytest.mark.parametrize("name", HARD)
def test_what_is_opened_beside_is_named(name: str, tmp_path: Path) -> None:
    file, make = BOTH[name]
    (tmp_path / file).write_bytes(make())
    assert scan(tmp_path / file).findings


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["os.system", "torch.nn.modules.linear.Linear", "nobody.Here", "datetime.date"])
def test_both_name_the_same_global(name: str, zipped: bool, tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes((torch_zip if zipped else torch_older)(called(name)))
    with pytest.raises(BadInput, match=f"it needs {re.escape(name)}, and nothing in it was run"):
        load_torch(tmp_path / "x.pt")
    named = [one for one in scan(tmp_path / "x.pt").findings if name in one.what]
    assert len(named) == (kind_of(name) != "plain")  # a date is harmless, but no part of a network


@pytest.mark.parametrize(
    "value",
    [
        {"w": torch.zeros(3)},
        {"w": torch.nn.Parameter(torch.zeros(3)), "epoch": np.int64(3), "dtype": torch.bfloat16},
        {
            "path": Path("x"),
            "scores": {1, 2},
            "size": torch.Size([3]),
            "b": bytearray(b"x"),
            "w": torch.eye(3).to_sparse(),
        },
    ],
)
def test_what_is_opened_is_safe(value: Any, tmp_path: Path) -> None:
    for number, zipped in enumerate((True, False)):
        torch.save(value, tmp_path / f"{number}.pt", _use_new_zipfile_serialization=zipped)
        load_torch(tmp_path / f"{number}.pt")
        assert scan(tmp_path / f"{number}.pt").verdict == "safe"


def test_our_list_is_what_is_handed_to_torch() -> None:
    assert {one[1] for one in harmless() if isinstance(one, tuple)} == OURS


def test_torchs_list_is_in_ours() -> None:
    from torch._weights_only_unpickler import _get_allowed_globals

    assert set(_get_allowed_globals()) <= TORCH


def test_no_other_operator_of_torch_takes_a_file() -> None:
    named = {"filename", "file_name", "path", "url", "location"}
    schemas = [s for s in torch._C._jit_get_all_schemas() if s.name.partition("::")[0] in _SPACES]
    taking = {s.name for s in schemas if any(a.name in named and str(a.type) == "str" for a in s.arguments)}
    assert len(schemas) > 1000
    assert {name.partition("::")[2] for name in taking} <= set(_OUTSIDE)
