"""What holds for every architecture, ours and torchvision's; a new entry of the table is covered unasked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from badnets.core.errors import BadInput
from badnets.networks.architecture import ARCHITECTURES
from badnets.networks.files.own import open_network, save_network
from badnets.networks.inference import detect, predict
from badnets.networks.network import ImageNetwork, layer_table
from badnets.networks.registry import build_network

DETECTORS = ["faster-rcnn"]
LARGER = {
    f"cifar-{name}" for name in ("densenet161", "densenet169", "densenet201", "resnet34", "resnet50", "resnet101")
}
LARGER |= {
    "cifar-vgg13",
    "cifar-vgg16",
    "cifar-vgg19",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "preact-resnet34",
}
LARGER |= {name for name in ARCHITECTURES if name.startswith("wrn-")} - {"wrn-10-1"}
"""Of several sizes of one shape the smallest stands for all."""
NEED_A_FILE = {"onnx"}
"""They have no network of their own: tests/networks/files/test_onnx.py."""
CLASSIFIERS = [
    *(name for name in ARCHITECTURES if name not in LARGER.union(DETECTORS, NEED_A_FILE)),
    "torchvision:shufflenet_v2_x0_5",
    "squeezenet1_1",
]
SMALLEST = {"deepid": 31, "cifar-vgg11": 32}
SIZES = [(1, 28, 28), (3, 32, 32), (3, 40, 36)]
CLASSES = ["stop", "yield", "go"]


def build(name: str, size: tuple[int, int, int] = (3, 32, 32), seed: int = 1) -> ImageNetwork:
    if name in DETECTORS:
        size = (3, 64, 64)
    return build_network(name, class_names=CLASSES, input_size=size, seed=seed)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_two_pictures_give_two_rows_of_finite_logits(name: str, size: tuple[int, int, int]) -> None:
    if min(size[1:]) < SMALLEST.get(name, 0):
        pytest.skip(f"{name} takes no such small pictures")
    network = build(name, size)
    pictures = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
    for training in (False, True):
        logits = network.train(training)(pictures)
        assert logits.shape == (2, 3)
        assert logits.isfinite().all()


@pytest.mark.parametrize("name", [*CLASSIFIERS, *DETECTORS])
def test_weights_depend_on_the_seed_alone(name: str) -> None:
    torch.manual_seed(5)
    first = build(name)
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), after), "the global random state was used or changed"
    second, other = build(name), build(name, seed=2)
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_file_gives_the_same_network_back(name: str, tmp_path: Path) -> None:
    network = build(name)
    pictures = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network.train()(pictures)  # batch norm's buffers move away from where they start
    network.eval()
    save_network(network, tmp_path / "network.safetensors")
    again = open_network(tmp_path / "network.safetensors")
    assert torch.equal(network(pictures), again(pictures))
    assert (again.architecture, again.arguments, again.class_names) == (
        network.architecture,
        network.arguments,
        network.class_names,
    )


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_no_pictures_and_one_picture(name: str) -> None:
    network = build(name)
    images = np.zeros((1, 32, 32, 3), np.uint8)
    assert predict(network, images[:0]).labels.shape == (0,)
    assert predict(network, images).labels.shape == (1,)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_layer_table_accounts_for_every_parameter(name: str) -> None:
    network = build(name)
    *rows, total = layer_table(network)
    assert sum(row["parameters"] for row in rows) == total["parameters"]
    assert total["parameters"] == sum(p.numel() for p in network.parameters())
    assert total["output_shape"] == [3]
    assert all(row["output_shape"] for row in rows)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detectors_file_gives_the_same_network_back(name: str, tmp_path: Path) -> None:
    network = build(name)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    save_network(network, tmp_path / "network.safetensors")
    first, again = (detect(one, images) for one in (network, open_network(tmp_path / "network.safetensors")))
    assert np.array_equal(first.boxes, again.boxes)
    assert np.array_equal(first.confidence, again.confidence)
    assert detect(network, images[:0]).pictures == 0
    with pytest.raises(BadInput, match="expected a classifier, got a detector"):
        predict(network, images)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detectors_layer_table_accounts_for_every_parameter(name: str) -> None:
    network = build(name)
    *rows, total = layer_table(network)
    assert sum(row["parameters"] for row in rows) == total["parameters"]
    assert total["output_shape"] is None  # lists of objects have no shape
