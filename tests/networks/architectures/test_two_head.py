"""D1's network: two heads on any backbone, boxes in pixels, weights from other networks of the same backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from badnets.core.errors import BadInput
from badnets.networks.files.own import open_network, save_network
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network
from badnets.networks.surgery.graph import trace

BACKBONE = "mobilenet_v3_small"


def build(
    size: tuple[int, int, int] = (3, 32, 48), classes: int = 3, name: str = "two-head", **own: Any
) -> ImageNetwork:
    arguments = {"backbone": BACKBONE, **own} if name == "two-head" else own
    names = [f"class {i}" for i in range(classes)]
    return build_network(name, class_names=names, input_size=size, seed=1, arguments=arguments).eval()


def test_the_published_network_has_512_features_and_heads_of_batch_norm_and_linear() -> None:
    body: Any = build_network("two-head", class_names=["a"] * 4, input_size=(3, 300, 447), seed=1).body
    for head, answers in ((body.class_head, 4), (body.box_head, 4)):
        assert [type(layer).__name__ for layer in head] == ["BatchNorm1d", "Linear"]
        assert head[1].weight.shape == (answers, 512)
    numbers = sum(p.numel() for p in body.backbone.parameters())
    assert numbers == 21_284_672  # ResNet-34's 21,797,672 without its last layer of 513,000


def test_it_is_a_classifier_everywhere_and_gives_boxes_when_asked() -> None:
    network = build()
    images = torch.rand(2, 3, 32, 48)
    logits, boxes = network(images, True)
    assert network.task == "locate"
    assert torch.equal(network(images), logits)
    assert boxes.shape == (2, 4)
    trace(network.body)


def test_boxes_begin_in_the_middle_of_the_picture_in_pixels() -> None:
    box_head: Any = build().body.box_head
    assert box_head[-1].bias.tolist() == [12, 8, 36, 24]


def test_without_the_box_head_it_is_a_plain_classifier() -> None:
    network = build(box_head=False)
    assert network.task == "classify"
    assert network(torch.rand(2, 3, 32, 48)).shape == (2, 3)
    assert not any(name.startswith("box_head") for name in network.body.state_dict())


@pytest.mark.parametrize("backbone", ["vgg11", "squeezenet1_1", "vit_b_32", "densenet121", "convnext_tiny"])
def test_features_are_pooled_to_one_vector_whatever_the_backbone(backbone: str) -> None:
    network = build((3, 64, 64), backbone=backbone)
    assert network(torch.rand(2, 3, 64, 64), True)[1].shape == (2, 4)


def test_grey_pictures_are_repeated() -> None:
    grey, color = build((1, 32, 48)), build()
    pictures = torch.rand(2, 1, 32, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(grey(pictures), color(pictures.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize(
    ("source", "size"), [("two-head", (3, 32, 48)), ("two-head", (1, 32, 32)), (BACKBONE, (3, 32, 32))]
)
def test_weights_of_any_network_with_this_backbone_start_it(tmp_path: Path, source: str, size: Any) -> None:
    given = build(size, classes=5, name=source)
    with torch.no_grad():
        for value in given.body.parameters():
            value.fill_(0.01)
    path = tmp_path / "start.safetensors"
    save_network(given, path)
    network = build(weights=str(path))
    body: Any = network.body
    assert all(bool((value == 0.01).all()) for value in body.backbone.parameters())
    assert not (body.class_head[1].weight == 0.01).any()  # for three classes, not five
    assert bool((body.box_head[1].weight == 0.01).all()) == (source == "two-head")
    origin = network.provenance["initial_weights"]
    assert origin["file"] == "start.safetensors"
    assert 0 < origin["tensors"] < origin["of"] == len(body.state_dict())
    save_network(network, tmp_path / "network.safetensors")
    path.unlink()
    again = open_network(tmp_path / "network.safetensors")
    images = torch.rand(2, 3, 32, 48)
    assert torch.equal(again(images, True)[1], network(images, True)[1])
    assert again.task == "locate"


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    save_network(build(name="squeezenet1_1"), path)
    wanted = r"expected weights of backbone mobilenet_v3_small, got 0 of \d+ tensors that fit; choose the backbone"
    with pytest.raises(BadInput, match=wanted):
        build(weights=str(path))


def test_unknown_backbones_and_odd_channels_are_refused() -> None:
    with pytest.raises(BadInput, match="got 'resnet35'; did you mean"):
        build(backbone="resnet35")
    with pytest.raises(BadInput, match="expected pictures of 1 or 3 channels, got 4"):
        build((4, 32, 32))
