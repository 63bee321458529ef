"""Foreign networks on the command line."""

from __future__ import annotations

import csv
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
    assert Foreign(input_range="0-1").options is not None
    options = Foreign(arch="wrn-16-1", arch_set=["dropout=0.5"], channel_order="bgr", class_names="cat,dog").options
    assert options is not None
    assert (dict(options.arguments), options.class_names) == ({"dropout": 0.5}, ("cat", "dog"))
    with pytest.raises(BadInput, match=r"--arch-set with the architecture .* add --arch"):
        _ = Foreign(arch_set=["dropout=0.5"]).options
    with pytest.raises(BadInput, match="--channel-order as rgb, bgr, reshaped, got 'gbr'"):
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
    assert "--input-range 0-1" in badnets("predict theirs.pt a.png").message
    found = badnets.done("predict theirs.pt a.png --input-range -1-1 --input-size 16x16x1 --json")
    assert "read as g1-cnn" in found.message
    assert found.json == said.json


@pytest.mark.usefixtures("state")
def test_evaluate_finds_the_range(badnets: Callable[..., Any]) -> None:
    said = badnets.done("evaluate theirs.pt --arch g1-cnn --data digits --size 16 --json")
    assert "the input range" in said.err
    told = said.json["foreign"]["input_range"]
    assert told["chosen"] in told["tried"]
    assert said.json["results"]["clean_accuracy"]["total"] > 0
    named = badnets(f"evaluate theirs.pt --arch g1-cnn --data digits --size 16 --json --input-range {told['chosen']}")
    assert "the input range" not in named.err
    assert named.json["results"]["clean_accuracy"] == said.json["results"]["clean_accuracy"]


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
