"""Classifiers of timm, by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from badnets.core.errors import BadInput
from badnets.networks.files.own import open_network, save_network
from badnets.networks.registry import build_network, find_architecture, parse_network

NAMES = ["a", "b", "c"]


@pytest.fixture
def timm() -> Any:
    from badnets.networks.operators import import_torchvision

    import_torchvision()
    return pytest.importorskip("timm", reason="needs the extra timm")


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("text", "size"),
    [("timm:resnet18", (1, 32, 32)), ("timm:vit_tiny_patch16_224:patch_size=4,depth=2", (3, 16, 24))],
)
def test_a_model_is_built_for_these_pictures_and_its_file_gives_it_back(
    text: str, size: tuple[int, int, int], tmp_path: Path
) -> None:
    name, arguments = parse_network(text)
    network = build_network(name, class_names=NAMES, input_size=size, seed=1, arguments=arguments).eval()
    pictures = torch.rand(2, *size)
    assert network(pictures).shape == (2, 3)
    save_network(network, tmp_path / "network.safetensors")
    again = open_network(tmp_path / "network.safetensors")
    assert (again.architecture, again.arguments) == (name, arguments)
    assert torch.equal(again(pictures), network(pictures))


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("timm:resnet-18", "expected a classifier of timm, got 'resnet-18'; did you mean 'resnet18'"),
        ("timm:resnet18:pretrained=true", "got 'pretrained'; leave it away"),
        ("timm:resnet18:checkpoint_path=/etc/passwd", "got 'checkpoint_path'; leave it away"),
        ("timm:vit_tiny_patch16_224:depth=1000000000", "expected depth of at most 4,096, got 1000000000"),
        ("timm:resnet18:nonsense=1", "got 32x32x3 and {'nonsense': 1}"),
    ],
)
def test_what_cannot_be_built_is_refused(text: str, said: str) -> None:
    name, arguments = parse_network(text)
    with pytest.raises(BadInput, match=said):
        build_network(name, class_names=NAMES, input_size=(3, 32, 32), seed=1, arguments=arguments)


def test_without_timm_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(BadInput, match=r"expected the package timm .* run pip install 'badnets\[timm\]'"):
        find_architecture("timm:resnet18")


def test_nothing_of_ours_imports_timm_before_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    find_architecture("torchvision:resnet18")
    assert "timm" not in sys.modules
