"""Names of networks: those that are made of numbers, those that are nearly right, and forms of names."""

from __future__ import annotations

import pytest

from badnets.core.errors import BadInput
from badnets.networks.architecture import ARCHITECTURES
from badnets.networks.names import nearest_network
from badnets.networks.registry import find_architecture, parse_network

TORCHVISION = ["vgg16", "vgg16_bn", "wide_resnet50_2", "mobilenet_v2", "mobilenet_v3_small", "resnet34"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("WRN-16-1", "'wrn-16-1'"),
        ("wide-resnet28_10", "'wrn-28-10'"),
        ("PreActResNet18", "'preact-resnet18'"),
        ("resnet-9", "'resnet9'"),
        ("ResNet_20", "'resnet20'"),
        ("VGG16", "'cifar-vgg16', 'vgg16', 'vgg16_bn'"),
        ("vgg16_cifar", "'cifar-vgg16', 'vgg16_bn', 'vgg16'"),
        ("MobileNetV2", "'cifar-mobilenet-v2', 'mobilenet_v2'"),
        ("mobilenet_v3_smal", "'mobilenet_v3_small'"),
    ],
)
def test_the_nearest_has_the_same_word_and_numbers(name: str, hint: str) -> None:
    assert nearest_network(name, TORCHVISION) == f"did you mean {hint}?"


def test_wideresnet_is_wrn() -> None:
    hint = nearest_network("wideresnet", TORCHVISION)
    assert hint.startswith("did you mean 'wrn-")
    assert "wide_resnet50_2" not in hint


def test_any_depth_and_width_of_a_wide_resnet_is_found_unlisted() -> None:
    assert "wrn-22-8" not in list(ARCHITECTURES)
    assert find_architecture("wrn-22-8").name == "wrn-22-8"
    for name in ("wrn-17-2", "wrn-16-0", "wrn-16-65", "wrn-4-1", "wrn-1210-1"):
        with pytest.raises(BadInput, match=f"expected wrn-DEPTH-WIDTH of depth 10, 16, 22, .*, got '{name}'"):
            find_architecture(name)


def test_an_unknown_name_lists_one_of_each_shape_in_one_sentence() -> None:
    with pytest.raises(BadInput, match=r"known: .*, or a classifier of torchvision") as refused:
        find_architecture("qqqq")
    assert len(str(refused.value)) <= 400


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("timm:resnet18", ("timm:resnet18", {})),
        ("timm:vit_tiny_patch16_224:patch_size=4", ("timm:vit_tiny_patch16_224", {"patch_size": 4})),
        ("a/b.py:Net", ("a/b.py:Net", {})),
        ("C:/a/b.py:Net:width=3,deep=true", ("C:/a/b.py:Net", {"width": 3, "deep": True})),
        ("wrn-28-10:layout=layer", ("wrn-28-10", {"layout": "layer"})),
    ],
)
def test_parse(text: str, expected: tuple[str, dict[str, object]]) -> None:
    assert parse_network(text) == expected
