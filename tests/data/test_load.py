from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from badnets.core.errors import BadInput
from badnets.data.load import detect, load


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    path = tmp_path / "things.v1.npz"
    np.savez(path, images=np.zeros((20, 4, 4), np.uint8), labels=np.arange(20) % 2)
    return path


def test_a_path_with_a_name(npz: Path) -> None:
    assert load(npz).train.name == "things.v1"
    assert load(str(npz)).train.name == "things.v1"
    assert load("npz", path=npz).train.name == "things.v1"
    assert load("mine", path=str(npz)).train.name == "mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minst", "expected a data set or a path, got 'minst'; did you mean 'mnist'?"),
        ("qqq", r"known: cifar10, coco, digits, .*signs-us"),
        ("./absent", "expected a file or folder at absent, got nothing"),
        ("absent.tar.gz", "expected a file or folder at absent.tar.gz, got nothing"),
        (Path("absent"), "expected a file or folder at absent, got nothing"),
        ("folder", "expected a path with data 'folder', got none; say where it lies"),
        ("npz", "expected a path with data 'npz', got none; say where it lies"),
    ],
)
def test_unknown_name(name: str | Path, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load(name)


@pytest.mark.parametrize(("file", "hint"), [("x.zip", "unpack it"), ("x.txt", "name the source")])
def test_other_file(tmp_path: Path, file: str, hint: str) -> None:
    (tmp_path / file).write_text("")
    with pytest.raises(BadInput, match=rf"{file}; .*{hint}"):
        detect(tmp_path / file)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"select": 1.0}, "select"),
        ({"select": -0.1}, "select"),
        ({"test_share": 0.0}, "test_share"),
        ({"test_share": 1.0}, "test_share"),
        ({"size": 0}, "size"),
        ({"size": (3, -1)}, "size"),
        ({"size": (3, 4, 5)}, "size"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load("digits", **arguments)


def test_entrance_needs_no_heavy_import() -> None:
    code = "import sys, badnets.data.load; print({'torch', 'sklearn', 'jinja2', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
