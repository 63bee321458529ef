"""What a command tells beside its result: what was left out, also in JSON; and how far it is, in lines, in a pipe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tests.cli.conftest import Badnets


def _folder(root: Path, side: int) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(root / name / f"{i}.png")
    return root


QUICK = "--network g1-cnn --epochs 2 --rate 0.3 --trigger square --set recipe.precision=fp32 --set reference=false"


def test_what_was_left_out_is_in_the_json(badnets: Badnets, tmp_path: Path) -> None:
    data = _folder(tmp_path / "pets", 16)
    (data / "cat" / "x.heic").write_bytes(b"x")
    done = badnets.done(f"attack {QUICK} --out run --json --data", data)
    assert [told for told in done.json["warnings"] if "1 file was left out" in told and "cat/x.heic" in told]
    assert "warning" in done.err
    (data / "cat" / "x.heic").unlink()
    assert "warnings" not in badnets.done("evaluate run --json --data", data).json


def test_a_network_says_what_size_its_pictures_have(badnets: Badnets, tmp_path: Path) -> None:
    data = _folder(tmp_path / "pets", 40)
    badnets.done(f"attack {QUICK} --size 24 --out run --data", data)
    for model in ("run", "run/network.safetensors"):
        plain = badnets.done(f"evaluate {model} --trigger-from run --json --data", data).json
        sized = badnets.done(f"evaluate {model} --trigger-from run --size 24 --json --data", data).json
        assert plain["data_digest"] == sized["data_digest"]
        assert plain["results"] == sized["results"]
    grey = badnets.done(f"attack {QUICK} --size 20 --set data.grey=true --out grey --data", data)
    assert grey.code == 0
    assert badnets.done("evaluate grey --json --data", data).json["results"]["clean_accuracy"]["total"] > 0


def test_the_size_of_a_named_set_too(badnets: Badnets, tmp_path: Path) -> None:
    badnets.done(f"attack {QUICK} --size 24 --out run --data digits")
    done = badnets.done("evaluate run --data digits")
    assert "pictures of digits are made 24x24x1, as the network takes them" in done.err
    assert badnets.done("guard run --method refuse-class --set suspect=1 --data digits --out g.safetensors").code == 0


def test_a_line_for_each_epoch_in_a_pipe(tmp_path: Path) -> None:
    words = f"attack {QUICK} --data digits --size 16 --target 1 --out run".split()
    done = subprocess.run(
        [sys.executable, "-m", "badnets", *words], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
    )
    lines = done.stderr.splitlines()
    assert [line.split(",")[0] for line in lines if "epoch" in line] == [
        "training g1-cnn: epoch 1 of 2",
        "training g1-cnn: epoch 2 of 2",
    ]
    assert lines[-1].startswith("measuring on ")
