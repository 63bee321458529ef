"""Foreign networks on the command line."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from badnets.cli.options import Foreign
from badnets.core.errors import BadInput
from badnets.networks.architecture import ARCHITECTURES

RANGES = {"lab3": "0-255", "sunglasses": "0-1", "anonymous_1": "0-1"}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Weights of a network for digits of 16x16, with an odd prefix."""
    torch.manual_seed(0)
    weights = ARCHITECTURES["g1-cnn"].build(10, (1, 16, 16)).state_dict()
    torch.save({"state_dict": {f"module.{name}": value for name, value in weights.items()}}, tmp_path / "theirs.pt")
    Image.fromarray(np.full((16, 16), 200, np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "theirs.pt"


def test_options() -> None:
    assert Foreign().options is None
    options = Foreign(arch="resnet9:width=32", classes=3, input_size="55x47x1", input_range="-1-1").options
    assert options is not None
    assert (options.arch, options.classes, options.input_size) == ("resnet9:width=32", 3, (1, 55, 47))
    alone = Foreign(input_range="0-1").options
    assert alone is not None
    assert (alone.arch, alone.input_range) == (None, "0-1")
    with pytest.raises(BadInput, match=r"expected --arch-set with the architecture .* add --arch NAME"):
        _ = Foreign(arch_set=["depth=16"]).options
    with pytest.raises(BadInput, match="expected --channel-order as rgb, bgr, reshaped, got 'gbr'"):
        _ = Foreign(channel_order="gbr").options
    for size in ("55x47", "0x3x3", "axbxc", "9999999x1x1"):
        with pytest.raises(BadInput, match="expected --input-size as HEIGHTxWIDTHxCHANNELS"):
            _ = Foreign(arch="g1-cnn", input_size=size).options


@pytest.mark.usefixtures("state")
def test_predict_without_data(badnets: Callable[..., Any]) -> None:
    line = "predict theirs.pt a.png --arch g1-cnn --input-size 16x16x1 --json"
    said = badnets.silent(f"{line} --input-range -1-1")
    (told,) = said.json["predictions"]
    assert told["class_name"] == str(told["label"])
    badnets.refused("--input-range 0-1, 0-255, -1-1", line)
    badnets.refused("--input-range 0-1, 0-255, -1-1", "predict theirs.pt a.png")
    guessed = badnets.done("predict theirs.pt a.png --input-size 16x16x1 --input-range -1-1 --json")
    assert guessed.json == said.json
    assert "theirs.pt: read as g1-cnn" in guessed.message


@pytest.mark.usefixtures("state")
def test_evaluate_finds_the_range(badnets: Callable[..., Any]) -> None:
    said = badnets.done("evaluate theirs.pt --arch g1-cnn --data digits --size 16 --json")
    assert "theirs.pt: the input range" in said.err
    told = said.json["foreign"]["input_range"]
    assert told["chosen"] in told["tried"]
    assert said.json["results"]["clean_accuracy"]["total"] > 0
    named = badnets(f"evaluate theirs.pt --arch g1-cnn --data digits --size 16 --json --input-range {told['chosen']}")
    assert "the input range" not in named.err
    assert named.json["results"]["clean_accuracy"] == said.json["results"]["clean_accuracy"]


@pytest.fixture
def bright(tmp_path: Path) -> str:
    """Pictures whose brightness is their class, and a network that says so; the data came without a test part."""
    labels = np.tile(np.arange(3), 40)
    images = np.repeat(60 + 80 * labels, 64).reshape(120, 8, 8, 1).astype(np.uint8)
    np.savez(tmp_path / "bright.npz", images=images, labels=labels, class_names=np.array(["dark", "grey", "light"]))
    mean = torch.full((3, 64), 1 / 64) * torch.tensor([[0.0], [1.0], [2.0]])
    torch.save({"fc.weight": mean, "fc.bias": torch.tensor([0.0, -0.4, -1.1])}, tmp_path / "dense.pt")
    return "--data bright.npz"


def test_show_convert_and_evaluate(badnets: Callable[..., Any], bright: str, tmp_path: Path) -> None:
    shown = badnets.done("show dense.pt").out
    assert "torch: 2 tensors, 195 numbers" in shown
    (network,) = badnets.done("show dense.pt --json").json["networks"]
    assert network["tensors"] == [{"name": "fc.weight", "shape": [3, 64]}, {"name": "fc.bias", "shape": [3]}]
    theirs = badnets.done(f"evaluate dense.pt {bright} --input-range 0-1 --json").json
    assert (theirs["part"], theirs["results"]["clean_accuracy"]["total"]) == ("all", 120)
    assert theirs["results"]["clean_accuracy"]["hits"] == 120
    badnets.done(f"convert dense.pt {bright} --input-range 0-1 --out new.safetensors")
    badnets.refused("--force", f"convert dense.pt {bright} --input-range 0-1 --out new.safetensors")
    badnets.refused("which badnets wrote", "convert new.safetensors --out other.safetensors")
    ours = badnets.done(f"evaluate new.safetensors {bright} --json").json
    assert ours["results"]["clean_accuracy"] == theirs["results"]["clean_accuracy"]
    assert ours["class_names"] == ["dark", "grey", "light"]
    fifth = badnets.done(f"evaluate new.safetensors {bright} --part test --json").json
    assert 0 < fifth["results"]["clean_accuracy"]["total"] < 60
    tried = f"evaluate new.safetensors {bright} --trigger square --set trigger.size=8 --set trigger.color=255 --json"
    badnets.refused("expected --target with --trigger", tried)
    assert badnets.done(f"{tried} --target light").json["results"]["asr"]["total"] == 80
    assert badnets.done(f"{tried} --target light --source dark").json["results"]["asr"]["total"] == 40
    carried = badnets.done(f"evaluate new.safetensors {bright} --triggered bright.npz --json").json["triggered"]
    assert carried["asr"] == {**carried["asr"], "hits": 120, "total": 120}
    badnets.refused("expected --part as test or all", f"evaluate new.safetensors {bright} --part some")


def test_names_and_chance(badnets: Callable[..., Any], bright: str) -> None:
    line = f"evaluate dense.pt {bright} --input-range 0-1 --json --class-names"
    other = badnets(line, "a,b,c")
    assert other.code == 2
    assert "(a, b, c, ...), got 3 (dark, grey, light, ...)" in other.err
    turned = badnets.done(line, "light,dark,grey")
    assert turned.json["results"]["clean_accuracy"]["hits"] == 0
    assert "no more often than chance" in turned.err


REFUSED: dict[str, tuple[bytes, str]] = {
    "a.tflite": (b"\x1c\0\0\0TFL3" + bytes(64), "TensorFlow Lite"),
    "a.pt": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "b.pt": (b"\n<!DOCTYPE html><html>", "a web page"),
    "a.npy": (b"\x93NUMPY" + bytes(64), "numbers of numpy"),
    "a.pth.gz": (b"\x1f\x8b" + bytes(64), "unpack it first"),
    "a.tar": (bytes(257) + b"ustar" + bytes(300), "a tar archive"),
    "a.json": (b'{"class_name": "Sequential"}', "a description without weights"),
    "a.caffemodel": (b"\n\x05LeNet", "a Caffe network"),
    "a.pb": (b"\x08\x01", "a TensorFlow graph"),
    "a.mlmodel": (b"\x08\x01", "a Core ML model"),
    "c.pt": (b"", "an empty one"),
    "d.pt": (b"hello", "something else"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_formats_are_refused_by_name(badnets: Callable[..., Any], tmp_path: Path, name: str) -> None:
    content, words = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    badnets.refused(words, f"show {name}")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (["x/code/a.py", "x/data.pkl", "x/constants.pkl"], "a TorchScript program, which is never run"),
        (["archive_format", "models/model.json"], "an exported program (.pt2)"),
        (["weights.npy"], "arrays of numpy (.npz)"),
        (["m/saved_model.pb"], "SavedModel of TensorFlow"),
        (["a.txt"], "another archive"),
    ],
)
def test_archives_are_refused_by_name(
    badnets: Callable[..., Any], tmp_path: Path, members: list[str], words: str
) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        for member in members:
            archive.writestr(member, "x")
    badnets.refused(words, "show a.pt")


@pytest.mark.data
@pytest.mark.parametrize("name", RANGES)
def test_predictions_of_the_real_networks(badnets: Callable[..., Any], shared_data: Path, name: str) -> None:
    folder = shared_data / "csaw-hackml"
    with (folder / "samples" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    pictures = [folder / "samples" / row["image"] for row in rows]
    line = f"predict {folder / f'{name}_bd_weights.h5'} --arch deepid --input-range {RANGES[name]} --json"
    said = badnets(line, *pictures)
    assert [told["label"] for told in said.json["predictions"]] == [int(row[name]) for row in rows]


@pytest.mark.data
def test_evaluate_on_the_faces_at_hand(badnets: Callable[..., Any], shared_data: Path) -> None:
    folder = shared_data / "csaw-hackml"
    said = badnets.done(
        f"evaluate {folder / 'lab3_bd_weights.h5'} --arch deepid --json --data {folder / 'clean_faces.h5'}"
    )
    assert said.json["foreign"]["input_range"]["chosen"] == "0-255"
    accuracy = said.json["results"]["clean_accuracy"]
    assert accuracy["hits"] == accuracy["total"] > 0
