"""Bad input: one clear sentence on stderr, the right exit code, and earlier results whole."""

from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from badnets.core.errors import CannotTell
from badnets.core.files import file_digest

Call = Any


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("attak", "expected a command, got 'attak'; did you mean 'attack'?"),
        ("attack --rat 3", "got '--rat'; did you mean '--rate'?"),
        ("attack --rate abc", "see badnets attack --help"),
        ("attack --seeds 0", "see badnets attack --help"),
        ("predict", "see badnets predict --help"),
        ("evaluate x.safetensors", "see badnets evaluate --help"),
        ("attack --data digits --rate 0", "backdoor.poison.rate"),
        ("attack --data digits --rate 1.5", "backdoor.poison.rate"),
        ("attack --data digits --rate 0.1 --count 3", "--rate or --count"),
        ("attack --data digits --cover x", "expected --cover"),
        ("attack --data digits --rule source-to-target", "expected --source"),
        ("attack --data digits --rule all-to-on", "did you mean 'all-to-one'"),
        ("attack --data digits --trigger patern", "did you mean 'pattern'"),
        ("attack --data digits --set recipe.epocs=3", "unknown key 'recipe.epocs'; did you mean 'epochs'"),
        ("attack --data digits --set x", "--set key=value"),
        ("attack --data digits --size 16 --network g1-cnn --target 10", "target in 0..9, got 10"),
        ("attack --data digits --size 16 --network g1-cnn --rate 1", "lower the rate"),
        ("attack --data digits --size 16 --network g1-cnn --count 9999", "lower the rate"),
        (
            "attack --data digits --size 16 --network g1-cnn --trigger square --set backdoor.trigger.size=17",
            "no larger",
        ),
        ("attack --data digits --size 16 --network g3-cnn", "did you mean 'g1-cnn'"),
        ("attack --data digits --size 16 --network g1-cnn --device cuda", "CUDA"),
        ("evaluate nothing --data nix --device cuda", "CUDA"),
        ("predict nothing nothing.png --device cuda:7", "CUDA"),
        ("repair nothing --data nix --method clp --out x.safetensors --device tpu", "expected auto, cpu, cuda, cuda:1"),
        ("guard nothing --data nix --out x.safetensors --device CPU", "expected auto, cpu, cuda, cuda:1 or mps"),
        ("reproduce gu2017-mnist --device gpu", "expected auto, cpu, cuda, cuda:1 or mps, got 'gpu'"),
        ("demo --device 0", "expected auto, cpu, cuda, cuda:1 or mps"),
        ("attack --data nix", "expected a data set or a path"),
        ("attack --data ./nix", "got nothing; check the path"),
        ("run nix.toml", "expected a spec"),
        ("list nix", "expected something to list"),
        ("show nix.safetensors", "nix.safetensors"),
        ("show nix", "nix"),
        ("report nix", "expected a run"),
        ("compare nix nix", "expected a run"),
        ("export nix --out y", "expected a run"),
        ("reproduce nix", "nix"),
        ("preview patern a.png", "did you mean 'pattern'"),
        ("preview pattern a.png", "expected a picture at a.png"),
    ],
)
def test_wrong_use(badnets: Call, tmp_path: Path, line: str, words: str) -> None:
    import torch

    if "cuda" in line and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    for json in ("", " --json"):
        said = badnets(line + json)
        assert (said.code, said.out) == (2, "")
        last = said.err.splitlines()[-1] if not json and "poisoned" in said.err else said.message
        assert last.startswith("badnets: ")
        assert words in last
        assert "Traceback" not in said.err
    assert list(tmp_path.rglob("*")) in ([], [tmp_path / "badnets-runs"])


def _picture(value: int = 0) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.full((16, 16), value, np.uint8)).save(content, "PNG")
    return content.getvalue()


def _empty(path: Path) -> Path:
    path.mkdir()
    return path


def _idx(path: Path) -> Path:
    path.mkdir()
    for name in ("train", "t10k"):
        (path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\x00\x00\x08\x03" + b"\x00" * 9))
        (path / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"\x00\x00\x08\x01" + b"\x00" * 4))
    return path


def _tar(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(_picture())
            archive.addfile(info, io.BytesIO(_picture()))
    return path


def _truncated(path: Path) -> Path:
    whole = _tar(path.with_suffix(".whole"), "a/1.png", "b/1.png").read_bytes()
    content = gzip.compress(whole)
    path.write_bytes(content[: len(content) // 2])
    path.with_suffix(".whole").unlink()
    return path


def _npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def _short_npz(path: Path) -> Path:
    content = _npz(path, x=np.zeros((9, 16, 16), np.uint8), y=np.arange(9)).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def _objects(path: Path) -> Path:
    return _npz(path, x_train=np.array([{"a": 1}] * 3, dtype=object), y_train=np.arange(3))


DAMAGED: dict[str, Callable[[Path], Path]] = {
    "no-pictures": _empty,
    "idx": _idx,
    "data.tar.gz": _truncated,
    "leaves.tar": lambda path: _tar(path, "a/1.png", "../../b/1.png"),
    "short.npz": _short_npz,
    "objects.npz": _objects,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_data(badnets: Call, tmp_path: Path, name: str) -> None:
    place = DAMAGED[name](tmp_path / name)
    said = badnets("attack --network g1-cnn --epochs 1 --json --out run --data", place)
    assert (said.code, said.out) == (2, "")
    assert name in said.message
    assert "unexpected" not in said.message
    assert {path.name for path in tmp_path.iterdir()} == {name}
    assert not (tmp_path.parent / "b").exists()


def test_a_model_of_another_kind(badnets: Call, tiny_run: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    content = (tiny_run / "network.safetensors").read_bytes()
    for wrong in (
        content[:500],
        content[: len(content) // 2],
        b"",
        b"PK\x03\x04 pickle",
        content.replace(b"g1-cnn", b"u1-cnn"),
    ):
        model.write_bytes(wrong)
        for line in ("show", "evaluate --data digits --size 16"):
            badnets.refused("model.safetensors", f"{line} --json", model)
    shutil.copy(tiny_run / "network.safetensors", model)
    badnets.refused(
        "network's 10 classes", "evaluate --data signs --set options.train=60 --set options.test=60 --json", model
    )


def _whole(run: Path) -> dict[str, str]:
    return {path.name: file_digest(path) for path in run.iterdir()}


@pytest.mark.parametrize("what", ["savez", "replace", "checkpoint", "safetensors", "page"])
def test_a_full_disk(
    badnets: Call, tiny: str, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    import safetensors

    for module in ("badnets.networks.files.own", "badnets.report.pages.page"):
        import_module(module)
    run = shutil.copytree(tiny_run, tmp_path / "run")
    before = _whole(run)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    def full_rust(*_: Any, **__: Any) -> None:
        raise safetensors.SafetensorError("Error while serializing: IoError(No space left on device (os error 28))")

    with monkeypatch.context() as patch:
        owner, name, fail = {
            "savez": (np, "savez_compressed", full),
            "replace": (Path, "replace", full),
            "checkpoint": (Path, "write_bytes", full),
            "safetensors": (sys.modules["badnets.networks.files.own"], "save_file", full_rust),
            "page": (sys.modules["badnets.report.pages.page"], "write_page", full),
        }[what]
        patch.setattr(owner, name, fail)
        said = badnets(f"attack {tiny} --epochs 2 --json --force --out run")
    assert (said.code, said.out) == (2, "")
    assert "room" in said.message or "space" in said.message
    assert _whole(run) == before
    badnets.done(f"attack {tiny} --epochs 2 --json --force --out run")


def test_what_cannot_be_told(badnets: Call, tiny: str) -> None:
    said = badnets(f"attack {tiny} --set recipe.optimizer=sgd --set recipe.learning_rate=1e9 --json --out run")
    assert (said.code, said.out) == (3, "")
    assert "lower the learning rate" in said.message
    assert CannotTell.exit_code == 3


def test_an_error_nobody_foresaw(badnets: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from badnets.referee import evaluate

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr(evaluate, "compare", fail)
    said = badnets("compare x y")
    assert said.code == 70
    assert said.message == "badnets: unexpected ZeroDivisionError: a b; run with --debug and report it"
    debug = badnets("compare x y --debug")
    assert debug.code == 70
    assert "Traceback" in debug.err
    assert "ZeroDivisionError" in debug.err


def test_debug_shows_the_traceback(badnets: Call) -> None:
    said = badnets("--debug list nix")
    assert said.code == 2
    assert "Traceback" in said.err
    assert said.err.splitlines()[-1].startswith("badnets: expected something to list")


def test_ctrl_c_anywhere(badnets: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from badnets.referee import evaluate

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "compare", stop)
    for line in ("compare x y", "compare x y --json", "--debug compare x y"):
        said = badnets(line)
        assert (said.code, said.out) == (130, "")
        assert said.err.strip().splitlines()[-1].startswith("badnets: interrupted")
        assert "Traceback" not in said.err


# A test run that was started in the background ignores Ctrl-C, and so would its children.
HEEDING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import runpy; "
HEEDING += "runpy.run_module('badnets', run_name='__main__')"


def _start(words: list[str], folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HEEDING, *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _without_waiting(err: str) -> list[str]:
    """The lines, but for those that a busy machine adds where it takes long."""
    return [line for line in err.strip().splitlines() if not line.startswith("still ")]


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_training(badnets: Call, tiny: str, tmp_path: Path) -> None:
    line = f"attack {tiny} --epochs 60 --json --out run"
    with _start(line.split(), tmp_path) as process:
        try:
            deadline = time.monotonic() + 120
            while not list(tmp_path.glob(".run.*.partial/seed-1/checkpoint.pt")) and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out) == (130, "")
    (line_said,) = _without_waiting(err)
    assert line_said == "badnets: interrupted; what was finished is kept, and the same command goes on from there"
    assert not (tmp_path / "run").exists()
    resumed = badnets(line)
    assert resumed.code == 0
    straight = badnets(line.replace("--out run", "--out straight"))
    assert resumed.json["results"] == straight.json["results"]


@pytest.mark.slow
def test_a_cache_that_cannot_be_written(badnets: Call, tiny: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    environment = {**os.environ, "BADNETS_CACHE": str(tmp_path / "file" / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "badnets", "attack", *tiny.split(), "--json", "--out", "run"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{")
    (line,) = _without_waiting(done.stderr)
    assert line.startswith("badnets: warning: ")
    assert "cache" in line
