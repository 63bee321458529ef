"""Networks of others whose classes are in another order, that are one of two in a file, or a folder of a hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from badnets.networks.registry import build_network

SIDE = 12
NAMES = [str(number) for number in range(SIDE)]
TEXTS = sorted(NAMES)  # 0, 1, 10, 11, 2, ...: as torchvision's ImageFolder numbers folders
Badnets = Any


def columns(path: Path, names: list[str]) -> None:
    """Pictures with one bright column each, whose number is their class."""
    labels = np.arange(240) % len(names)
    images = np.random.default_rng(0).integers(0, 60, (240, SIDE, SIDE, 1), np.uint8)
    images[np.arange(240), :, labels] = 255
    np.savez(path, images=images, labels=labels, class_names=np.array(names))


def weights(classes: list[int]) -> dict[str, torch.Tensor]:
    """A dense layer that says which of the columns ``classes`` is bright."""
    masks = torch.zeros(len(classes), SIDE, SIDE)
    masks[torch.arange(len(classes)), :, torch.tensor(classes)] = 1
    return {"fc.weight": masks.flatten(1), "fc.bias": torch.zeros(len(classes))}


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """A network whose classes are in the order of texts, and pictures in that of numbers."""
    columns(tmp_path / "data.npz", NAMES)
    torch.save(weights([int(name) for name in TEXTS]), tmp_path / "theirs.pt")
    return tmp_path / "theirs.pt"


@pytest.mark.usefixtures("image_folder")
@pytest.mark.parametrize("named", ["", " --class-names imagefolder", f" --class-names {','.join(TEXTS)}"])
def test_the_order_of_an_image_folder(badnets: Badnets, named: str) -> None:
    """All of its numbers are names of the data's classes, too, in another order: 2 of 12 would be right."""
    done = badnets.done(f"evaluate theirs.pt --data data.npz --json{named}")
    accuracy = done.json["results"]["clean_accuracy"]
    assert accuracy["hits"] == accuracy["total"] == 240
    assert done.json["class_names"] == TEXTS
    assert ("in the order of texts" in done.err) == (not named)


@pytest.mark.usefixtures("image_folder")
@pytest.mark.parametrize("target", ["2", "10"])
def test_a_target_is_looked_up_once(badnets: Badnets, target: str) -> None:
    """Class "2" is number 4 here, and number 4 must not be taken for class "4"."""
    line = f"evaluate theirs.pt --data data.npz --class-names imagefolder --trigger square --target {target} --json"
    done = badnets.done(line).json
    assert done["resolved"]["backdoor"]["rule"]["target"] == TEXTS.index(target)
    assert done["results"]["asr"]["total"] == 220
    attacked = {row["class"] for row in done["results"]["per_class"] if row.get("asr") is None}
    assert attacked == {target}  # pictures of the target are no successes


def test_the_one_of_two_networks_that_knows_as_many_classes(badnets: Badnets, tmp_path: Path) -> None:
    columns(tmp_path / "data.npz", NAMES[:5])
    large, small = weights(list(range(SIDE))), weights(list(range(5)))
    torch.save({"teacher": large, "student": small}, tmp_path / "theirs.pt")
    accuracy = badnets.done("evaluate theirs.pt --data data.npz --json").json["results"]["clean_accuracy"]
    assert accuracy["hits"] == accuracy["total"] == 240


def test_a_folder_of_the_hub(badnets: Badnets, tmp_path: Path) -> None:
    """It says itself what it is, so nothing is tried."""
    pytest.importorskip("timm")
    place = tmp_path / "hub"
    place.mkdir()
    network = build_network("timm:resnet18", class_names=["cat", "dog"], input_size=(3, 32, 32), seed=1)
    save_file(
        {name: value.contiguous() for name, value in network.body.state_dict().items()}, place / "model.safetensors"
    )
    sizes = {"input_size": [3, 32, 32], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    config = {"architecture": "resnet18", "num_classes": 2, "label_names": ["cat", "dog"], "pretrained_cfg": sizes}
    (place / "config.json").write_text(json.dumps(config))
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(20) % 2, class_names=np.array(["dog", "cat"]))
    done = badnets.done("evaluate hub --data data.npz --json").json
    assert done["results"]["clean_accuracy"]["total"] == 20
    assert done["network"] == "hub"
    assert badnets.done("show hub --json").json["class_names"] == ["cat", "dog"]
    badnets.done("convert hub --out hub.safetensors")
    again = badnets.done("evaluate hub.safetensors --data data.npz --json").json
    assert again["results"] == done["results"]
